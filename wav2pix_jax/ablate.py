"""Ablations: runs that differ in one thing, in one table."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tqdm
from ml_collections import ConfigDict

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import write_whole
from wav2pix_jax.metrics import noise

MAIN = Path(__file__).parent.parent / "main.py"
DONE = "trained"  # a file in the workdir
COLUMNS = {
  "identity_accuracy": "right person: classifier",
  "verified": "dlib",
  "retrieved_5": "speaker among 5",
  "gender": "gender",
  "landmarks": "landmarks",
  "frechet_distance": "Frechet distance",
  "spread_of_chunks": "spread",
  "mouth": "mouth",
}
COMPARED = "identity_accuracy"


@dataclasses.dataclass(frozen=True)
class Job:
  """A run with one seed.

  Attributes:
    name: of the run.
    seed: of its training.
    run: from the config.
  """

  name: str
  seed: int
  run: Any

  def workdir(self, out: Path) -> Path:
    """Where it lives."""
    return out / f"{self.name}_{self.seed}"

  @property
  def noises(self) -> tuple[str, ...]:
    """What it is evaluated in, "" for none; further seeds only tell runs apart, in none."""
    return ("",) if self.seed else ("", *self.run.noises)


def ablate(config: ConfigDict, out: Path) -> None:
  """Trains and evaluates what has not been, and writes `table.md` and `table.json`.

  The first run is what the others are compared with. Those whose identity accuracy has an interval
  that overlaps with the first one's are run with further seeds, as is the first.

  Args:
    config: as `configs/ablations.py`.
    out: a folder for the runs and the table; what lies there is gone on with.

  Raises:
    UserError: a run failed, in its own words.
  """
  first = [Job(name, 0, run) for name, run in config.runs.items()]
  for job in tqdm.tqdm(first, "Runs", unit=" runs"):
    _do(job, config, out)
  again = [
    Job(job.name, seed, job.run) for job in _close(first, out) for seed in range(1, config.seeds)
  ]
  for job in tqdm.tqdm(again, "Further seeds", unit=" runs"):
    _do(job, config, out)
  table = list(_lines([*first, *again], config, out))
  write_whole(out / "table.json", json.dumps(table, indent=2) + "\n")
  text = _markdown(table)
  write_whole(out / "table.md", text)
  print(f"{text}\nWritten to {out / 'table.md'} and table.json.")


def _do(job: Job, config: ConfigDict, out: Path) -> None:
  """Trains and evaluates, unless that is done."""
  workdir = job.workdir(out)
  done = workdir / DONE
  if not done.exists():
    fields = (*config.flags, *job.run.flags, f"seed={job.seed}")
    flags = [f"--config.{field}" for field in fields]
    _main(f"--config={job.run.config or config.config}", f"--workdir={workdir}", *flags)
    write_whole(done, "")
  draws = f"--num_draws={config.num_draws}"
  evaluating = "--mode=evaluate", f"--workdir={workdir}", f"--split={job.run.split}", draws
  for added in job.noises:
    if _part(job, out, added) is None:
      _main(*evaluating, *([f"--noise={added}"] if added else []))


def _main(*flags: str) -> None:
  run = subprocess.run([sys.executable, MAIN, *flags], capture_output=True, text=True)
  if run.returncode:
    said = run.stderr.strip().splitlines() or ["nothing"]
    raise UserError(f"main.py {' '.join(flags)} failed: {said[-1].removeprefix('error: ')}")


def _part(job: Job, out: Path, added: str) -> Any:
  """What `evaluate` found; None before that."""
  path = job.workdir(out) / "metrics.json"
  title = f"{job.run.split}, {noise.parse(added)}" if added else job.run.split
  return json.loads(path.read_text()).get(title) if path.exists() else None


def _close(jobs: Sequence[Job], out: Path) -> list[Job]:
  """The first, and those that its interval does not tell from it; none if it tells all."""
  rows = [_part(job, out, "")["rows"].get(COMPARED) for job in jobs]
  low, high = rows[0]["interval"]
  close = [
    job
    for job, row in zip(jobs[1:], rows[1:], strict=True)
    if row and row["interval"][0] <= high and row["interval"][1] >= low
  ]
  return [jobs[0], *close] if close else []


def _lines(jobs: Sequence[Job], config: ConfigDict, out: Path) -> Iterator[dict[str, Any]]:
  """A line of the table for each run and noise."""
  for name, run in config.runs.items():
    for added in ("", *run.noises):
      seeds = [job for job in jobs if job.name == name and added in job.noises]
      parts = [_part(job, out, added) for job in seeds]
      title = f"{run.title}; {noise.parse(added)}" if added else run.title
      rows = {
        row: [part["rows"][row] for part in parts]
        for row in COLUMNS
        if all(row in part["rows"] for part in parts)
      }
      yield {"title": title, "split": run.split, "chunks": parts[0]["chunks"], "rows": rows}


def _markdown(table: Sequence[dict[str, Any]]) -> str:
  """The lines; of one seed with its interval, of several each."""
  lines = [f"| | {' | '.join(COLUMNS.values())} |", "|" + " --- |" * (len(COLUMNS) + 1)]
  for line in table:
    cells = [_cell(line["rows"].get(row, [])) for row in COLUMNS]
    lines.append(f"| {line['title']} | {' | '.join(cells)} |")
  for split in dict.fromkeys(line["split"] for line in table):
    first = next(line["rows"] for line in table if line["split"] == split)
    for kind in ("real", "baseline"):
      cells = [f"{first[row][0][kind]:.2f}" if row in first else "" for row in COLUMNS]
      lines.append(f"| *{kind}, {split}* | {' | '.join(cells)} |")
  return "\n".join(lines) + "\n"


def _cell(rows: Sequence[dict[str, Any]]) -> str:
  values = ", ".join(f"{row['value']:.2f}" for row in rows)
  if len(rows) != 1:
    return values
  low, high = rows[0]["interval"]
  return f"{values} ({low:.2f} to {high:.2f})"
