"""Evaluation: how good the faces are that a run draws from speech it has not learned from."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax import (
  checkpoint,
  data,
  dlib_faces,
  generate,
  identify,
  metrics,
  run_info,
  schema,
)
from wav2pix_jax.errors import UserError
from wav2pix_jax.files import write_whole

DRAWS = 3  # of each chunk of speech
CHUNKS, REFERENCE = 200, 400  # at most; of the split, and real faces of the training split
SEED = 0


@dataclasses.dataclass(frozen=True)
class Subject:
  """What is evaluated: chunks of a split's speech, and the real faces that drawn ones meet.

  Attributes:
    builder: of the dataset.
    config: of the run.
    split: of the dataset.
    names: of its identities.
    records: of the split.
    chosen: int [N], the records whose speech is drawn from.
    training: of the training split.
    reference: int [M], the training records to compare with, none of them chosen.
  """

  builder: Any
  config: Any
  split: str
  names: list[str]
  records: data.Records
  chosen: np.ndarray
  training: data.Records
  reference: np.ndarray


def subject(workdir: Path, config: Any, split: str) -> Subject:
  """What a run is evaluated on, from its dataset.

  Raises:
    UserError: no such split, or the dataset is not the one that the run learned from.
  """
  builder = data.prepare(config.dataset)
  if split not in builder.info.splits:
    splits = ", ".join(sorted(builder.info.splits))
    raise UserError(f"--split={split}: dataset {builder.info.full_name} has {splits}.")
  names, size = data.identity_names(builder), config.image_size
  records, training = data.load(builder, split, size), data.load(builder, schema.TRAIN, size)
  run_info.identities(workdir, names)
  run_info.refuse_other_records(workdir, {schema.TRAIN: training.digest})
  chosen = data.evenly(records, CHUNKS)
  reference = data.evenly(training, REFERENCE, chosen if split == schema.TRAIN else None)
  return Subject(builder, config, split, names, records, chosen, training, reference)


def draw(run: checkpoint.Run, of: Subject) -> np.ndarray:
  """Faces from the chosen chunks: uint8 [DRAWS, N, S, S, 3]."""
  examples = data.centred_examples(of.records, of.config.dataset, of.chosen)
  draw_all = generate.drawer(run.nets.generator)
  draws = []
  for d in range(DRAWS):
    keys = [generate.key(SEED, of.split, int(record), d) for record in of.chosen]
    draws.append(draw_all(run.state.drawing, examples[schema.SPEECH], keys)[0])
  return np.stack(draws)


def measure(of: Subject, draws: np.ndarray) -> tuple[dict[str, metrics.Row], dict[str, str]]:
  """What `draw` drew, measured: the rows, and why others are missing."""
  missing = {}
  describe = None
  try:
    describe = dlib_faces.describer()
  except dlib_faces.UnavailableError as error:
    missing = dict.fromkeys(metrics.BY_DLIB, str(error))
  who = identify.identifier(of.builder, of.config.image_size)

  def real(records: data.Records, chosen: np.ndarray, title: str) -> metrics.Faces:
    return metrics.make_out(records.faces[chosen], records.identity[chosen], who, describe, title)

  held_out = real(of.records, of.chosen, f"Real {of.split} faces")
  reference = real(of.training, of.reference, "Real training faces")
  drawn = [
    metrics.make_out(faces, held_out.identity, who, describe, f"Drawn faces, {d} of {len(draws)}")
    for d, faces in enumerate(draws, 1)
  ]
  rows = metrics.measure(drawn, held_out, reference)
  missing |= {
    name: "too few faces" for name in metrics.TITLES if name not in rows and name not in missing
  }
  return rows, missing


def evaluate(workdir: Path, split: str, out: Path) -> None:
  """Draws from a split's speech, measures the faces, prints a table and writes `metrics.json`.

  `metrics.json` has a part for each split; the parts of other splits stay. The same checkpoint,
  split and machine give the same numbers.

  Args:
    workdir: of a run with a checkpoint.
    split: "train", "validation" or "test".
    out: folder for `metrics.json`; made where it is missing.

  Raises:
    UserError: no such run or split, or the dataset is not the one that the run learned from.
  """
  _read(out / "metrics.json")  # before any work
  run = checkpoint.load(workdir)
  of = subject(workdir, run.config, split)
  report(workdir, of, int(run.state.step), draw(run, of), out)


def report(workdir: Path, of: Subject, step: int, draws: np.ndarray, out: Path) -> None:
  """Measures what was drawn at a step, prints a table and writes `metrics.json`, as `evaluate`."""
  rows, missing = measure(of, draws)
  path, part = out / "metrics.json", _part(step, rows, missing, of.names, len(of.chosen))
  write_whole(path, _json(_read(path) | {of.split: part}))
  print(
    f"Step {step} of {workdir}: {len(of.chosen)} chunks of {of.split} speech, "
    f"{len(draws)} draws each.\n"
  )
  print(metrics.table(rows, of.names))
  for reason in sorted(set(missing.values())):
    absent = ", ".join(metrics.TITLES[name] for name in missing if missing[name] == reason)
    print(f"\nMissing ({reason}): {absent}.")
  print(f"\nWritten to {path}.")


def _part(
  step: int,
  rows: dict[str, metrics.Row],
  missing: dict[str, str],
  names: list[str],
  chunks: int,
) -> dict[str, Any]:
  named = {}
  for name, row in rows.items():
    by_identity = {names[who]: value for who, value in row.by_identity.items()}
    named[name] = dataclasses.asdict(row) | {"by_identity": by_identity}
  return {"step": step, "chunks": chunks, "draws": DRAWS, "rows": named, "missing": missing}


def _json(content: dict[str, Any]) -> str:
  return json.dumps(content, indent=2) + "\n"


def _read(path: Path) -> dict[str, Any]:
  """What an earlier evaluation wrote; empty where there was none."""
  if not path.exists():
    return {}
  try:
    read = json.loads(path.read_text())
    assert isinstance(read, dict)
    return read
  except (ValueError, AssertionError) as error:
    raise UserError(f"{path}: not what --mode=evaluate writes; move it away.") from error
