"""The mode `ablate`: runs that differ in one thing each, compared in a table."""

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

COMMAND = (sys.executable, "-m", "wav2pix_jax.cli")
DONE = "trained"  # a file in the workdir of a run that has ended
COLUMNS = {
  "identity_accuracy": "identity accuracy",
  "verified": "verified",
  "retrieved_5": "speaker among nearest 5",
  "gender": "gender",
  "landmarks": "landmarks",
  "frechet_distance": "Frechet distance",
  "spread_of_chunks": "diversity",
  "mouth": "mouth",
  "sync": "sync",
  "closed_in_silence": "closed in silence",
}
COMPARED = "identity_accuracy"


@dataclasses.dataclass(frozen=True)
class Job:
  """A run with one seed."""

  name: str  # the run's name
  seed: int  # the seed of its training
  run: Any  # the run's entry in the config

  def workdir(self, out: Path) -> Path:
    """Returns the run's directory."""
    return out / f"{self.name}_{self.seed}"

  @property
  def noises(self) -> tuple[str, ...]:
    """The noises it is evaluated with, "" for none; further seeds are evaluated without."""
    return ("",) if self.seed else ("", *self.run.noises)


def ablate(config: ConfigDict, out: Path) -> None:
  """Trains and evaluates the runs of a config, and writes `table.md` and `table.json` into `out`.

  The config is like `configs/ablations.py`. Runs that `out` contains are resumed. The other runs
  are compared with the first. Those whose identity accuracy has an interval that overlaps with that
  of the first are repeated with further seeds, as is the first.

  Raises:
    UserError: A run failed; the message is the run's.
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
  """Trains and evaluates a run, unless that is done."""
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
  run = subprocess.run([*COMMAND, *flags], capture_output=True, text=True)
  if run.returncode:
    lines = run.stderr.strip().splitlines() or ["no message"]
    raise UserError(f"wav2pix {' '.join(flags)} failed: {lines[-1].removeprefix('error: ')}")


def _part(job: Job, out: Path, added: str) -> Any:
  """Returns the results that `evaluate` wrote; None before that."""
  path = job.workdir(out) / "metrics.json"
  title = f"{job.run.split}, {noise.parse(added)}" if added else job.run.split
  return json.loads(path.read_text()).get(title) if path.exists() else None


def _close(jobs: Sequence[Job], out: Path) -> list[Job]:
  """Returns the first run and those whose intervals overlap with its; none if there are none."""
  rows = [_part(job, out, "")["rows"].get(COMPARED) for job in jobs]
  low, high = rows[0]["interval"]
  close = [
    job
    for job, row in zip(jobs[1:], rows[1:], strict=True)
    if row and row["interval"][0] <= high and row["interval"][1] >= low
  ]
  return [jobs[0], *close] if close else []


def _lines(jobs: Sequence[Job], config: ConfigDict, out: Path) -> Iterator[dict[str, Any]]:
  """Yields a line of the table for each run and noise."""
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
  """Returns the table: the value and interval of one seed, or the values of several."""
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
