"""Videos to clips: every video by `cut`, here or on Beam; then one manifest and one report."""

import dataclasses
import functools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

import tqdm

from data_builders.prepare import cut, manifest, videos
from data_builders.workers import workers
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, write_whole

SETTINGS = "settings.json"
REPORT = "report.jsonl"

Work = Callable[[videos.Video], cut.VideoReport]
Run = Callable[[Work, Sequence[videos.Video]], list[cut.VideoReport]]


def make(folder: Path, out: Path, settings: cut.Settings, run: Run) -> list[cut.VideoReport]:
  """Cuts every video of a folder, and writes `manifest.jsonl` and `report.jsonl`.

  Clips of videos that are no longer there are removed, as is what a killed run left.

  Args:
    folder: with a folder of videos for each identity, and perhaps `identities.csv`.
    out: for the clips.
    settings: of the cut; the same as before, if `out` has clips.
    run: `run_here`, or the same on Beam.

  Returns:
    A report for each video, in order of names.

  Raises:
    UserError: no videos, other settings than before, or `out` cannot be written.
  """
  found = videos.find(folder)
  genders = videos.read_genders(folder)
  with exclusively(out, wait=False):
    _settle(out, settings)
    work = functools.partial(cut.cut, out=str(out.resolve()), settings=settings)
    reports = sorted(run(work, found), key=lambda report: report.video)
    _remove_all_but(out, found)
    made: list[manifest.Clip] = []
    for video in found:
      done = {} if video.problem else cut.read_done(cut.folder_of(video, str(out)))
      for line in done.get("clips", ()):
        clip = manifest.from_json(line)
        made.append(dataclasses.replace(clip, gender=genders.get(clip.identity, "")))
    manifest.write(out / manifest.MANIFEST, made)
    lines = (json.dumps(dataclasses.asdict(report)) for report in reports)
    write_whole(out / REPORT, "".join(f"{line}\n" for line in lines))
  return reports


def run_here(work: Work, found: Sequence[videos.Video]) -> list[cut.VideoReport]:
  """A process for each core; the bar counts bytes of video."""
  largest_first = sorted(found, key=lambda video: -video.size)
  total = sum(video.size for video in found)
  reports = []
  with (
    workers(len(found)) as pool,
    tqdm.tqdm(desc="Cutting", total=total, unit="B", unit_scale=True) as bar,
  ):
    begun = {pool.submit(work, video): video.size for video in largest_first}
    for ended in as_completed(begun):
      reports.append(ended.result())
      bar.set_postfix(videos=f"{len(reports)}/{len(found)}", refresh=False)
      bar.update(begun[ended])
  return reports


def summary(reports: Sequence[cut.VideoReport], out: Path) -> str:
  """What was made and what went wrong, to be read."""
  identities = Counter[str]()
  for report in reports:
    identities[report.video.split("/")[0]] += report.clips
  clips, hours = sum(identities.values()), sum(report.seconds for report in reports) / 3600
  several = sum(report.several for report in reports)
  lines = [
    f"{len(reports):,} videos of {len(identities):,} identities, {hours:.2f} hours: {clips:,} "
    f"clips in {sum(report.looked_at for report in reports):,} pictures looked at."
  ]
  if several:
    lines.append(f"{several:,} pictures have several faces; the most confident was kept.")
  problems = [report for report in reports if report.problem]
  if problems:
    lines.append(f"{len(problems):,} videos have problems:")
  shown = problems[:20]
  lines += [f"  {report.video!r}: {report.problem}" for report in shown]
  if len(problems) > len(shown):
    lines.append(f"  and {len(problems) - len(shown):,} more")
  return "\n".join([*lines, f"A line for each video is in {out / REPORT}."])


def _settle(out: Path, settings: cut.Settings) -> None:
  """Raises UserError where there are clips of other settings."""
  path, wanted = out / SETTINGS, dataclasses.asdict(settings)
  if not path.exists():
    write_whole(path, json.dumps(wanted))
  before = json.loads(path.read_text())
  other = ", ".join(f"--{name}={before[name]}" for name in wanted if before[name] != wanted[name])
  if other:
    raise UserError(f"{out} has clips made with {other}; keep to that, or name another --out.")


def _remove_all_but(out: Path, found: Sequence[videos.Video]) -> None:
  """Removes what was cut of videos that are gone."""
  kept = {cut.folder_of(video, str(out)) for video in found if not video.problem}
  for done in list((out / manifest.MEDIA).rglob(cut.DONE)):
    if done.parent not in kept:
      shutil.rmtree(done.parent)
