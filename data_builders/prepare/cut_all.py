"""Cuts all videos of a folder, on this machine or on Apache Beam, and writes one manifest."""

import dataclasses
import functools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path

import tqdm

from data_builders.prepare import cut, manifest, media, videos
from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, from_json, write_whole
from wav2pix_jax.common.workers import CrashedError, workers

SETTINGS = "settings.json"
REPORT = "report.jsonl"

Work = Callable[[videos.Video], cut.VideoReport]
Run = Callable[[Work, Sequence[videos.Video]], list[cut.VideoReport]]


def make(folder: Path, out: Path, settings: cut.Settings, run: Run) -> list[cut.VideoReport]:
  """Cuts every video of a folder, and writes `manifest.jsonl` and `report.jsonl` into `out`.

  The folder has one folder of videos per identity, and optionally `identities.csv`. The settings
  must be those of the clips that `out` has, if any. Removes the clips of videos that no longer
  exist, and what a killed run left behind. `run` is `run_here`, or what `on_beam.run_on` returns.

  Returns:
    One report per video, sorted by name.

  Raises:
    UserError: There are no videos, the settings differ, or `out` cannot be written.
  """
  found = videos.find(folder)
  genders = videos.read_genders(folder)
  with exclusively(out, wait=False):
    _check_settings(out, settings)
    work = functools.partial(cut.cut, out=str(out.resolve()), settings=settings)
    reports = sorted(run(work, found), key=lambda report: report.video)
    usable = [video for video in found if not video.problem]
    folders = dict.fromkeys(cut.folder_of(video, str(out)) for video in usable)
    for done in list((out / manifest.MEDIA).rglob(cut.DONE)):
      if done.parent not in folders:
        shutil.rmtree(done.parent)
    lines = [line for folder in folders for line in cut.read_done(folder).get("clips", ())]
    clips = [manifest.of_fields(line) for line in lines]
    languages = {video.name: video.language() for video in usable}
    clips = [
      dataclasses.replace(
        clip, gender=genders.get(clip.identity, ""), language=languages[clip.video]
      )
      for clip in clips
    ]
    manifest.write(out / manifest.MANIFEST, clips)
    manifest.write_json_lines(out / REPORT, map(dataclasses.asdict, reports))
  return reports


def run_here(work: Work, found: Sequence[videos.Video]) -> list[cut.VideoReport]:
  """Cuts videos in one process per core, with a progress bar that counts seconds of video.

  A process that crashes, as decoders may, takes the others with it. Those that were running are
  then cut again, each in a process of its own; the video whose process crashes again has a problem.
  """
  reports: list[cut.VideoReport] = []
  seconds = _durations(found)
  waiting = sorted(found, key=lambda video: -seconds[video])  # the longest first
  suspects: list[videos.Video] = []
  total = round(sum(seconds.values()))
  with tqdm.tqdm(desc="Cutting", total=total, unit=" s of video") as bar:

    def add(report: cut.VideoReport, video: videos.Video) -> None:
      reports.append(report)
      waiting.remove(video)
      left = sum(seconds[video] for video in [*waiting, *suspects])
      bar.set_postfix(videos=f"{len(reports)}/{len(found)}", refresh=False)
      bar.update(max(total - round(left) - bar.n, 0))

    while waiting:
      running: dict[Future[cut.VideoReport], videos.Video] = {}
      started: list[videos.Video] = []
      try:
        with workers(len(waiting)) as pool:
          running = {pool.submit(work, video): video for video in waiting}
          for done in as_completed(running):
            started = [video for future, video in running.items() if future.running()]
            add(done.result(), running[done])
      except CrashedError:
        suspects += started or waiting[:1]
        waiting = [video for video in waiting if video not in suspects]
    for video in suspects:
      waiting.append(video)
      try:
        with workers(1) as pool:
          add(pool.submit(work, video).result(), video)
      except CrashedError:
        problem = "the process that read it crashed, or was killed for lack of memory"
        add(cut.VideoReport(video.name, problem=problem), video)
  return reports


def _durations(found: Sequence[videos.Video]) -> dict[videos.Video, float]:
  """Returns lengths in seconds, for the progress bar."""
  try:
    with workers(len(found)) as pool:
      return dict(zip(found, pool.map(media.duration, found, chunksize=16), strict=True))
  except CrashedError:
    return dict.fromkeys(found, 0.0)


def summary(reports: Sequence[cut.VideoReport], out: Path) -> str:
  """Returns a summary of what was cut and of the problems, for the terminal."""
  identities = {report.video.split("/")[0] for report in reports}
  total = Counter[str]()
  for report in reports:
    total.update(clips=report.clips, searched=report.looked_at, several=report.several)
  hours = sum(report.seconds for report in reports) / 3600
  lines = [
    f"{len(reports):,} videos of {len(identities):,} identities, {hours:.2f} hours: "
    f"{total['clips']:,} clips from {total['searched']:,} pictures that were searched for faces."
  ]
  if total["several"]:
    lines.append(
      f"{total['several']:,} pictures show several faces; the most confident one was kept."
    )
  problems = [f"  {report.video!r}: {report.problem}" for report in reports if report.problem]
  if problems:
    lines += [f"{len(problems):,} videos have problems:", *problems[:20]]
  if len(problems) > 20:
    lines.append(f"  and {len(problems) - 20:,} more")
  return "\n".join([*lines, f"{out / REPORT} has one line per video."])


def _check_settings(out: Path, settings: cut.Settings) -> None:
  """Writes the settings, or raises UserError if the clips have been made with other ones."""
  path, now = out / SETTINGS, dataclasses.asdict(settings)
  if not path.exists():
    write_whole(path, json.dumps(now))
  try:
    before = {"speech_seconds": schema.CLIP_SECONDS} | from_json(path.read_text())
  except (OSError, ValueError, TypeError) as error:
    raise UserError(f"{path}: damaged ({error}); choose another --out.") from error
  other = ", ".join(f"--{name}={before[name]}" for name in now if before[name] != now[name])
  if other:
    raise UserError(
      f"{out} has clips made with {other}; use the same settings, or choose another --out."
    )
