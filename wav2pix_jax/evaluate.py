"""Evaluation: how good the faces are that a run draws from speech it has not learned from."""

import dataclasses
import json
from pathlib import Path
from typing import Any

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
  path = out / "metrics.json"
  before = _read(path)
  run = checkpoint.load(workdir)
  builder = data.prepare(run.config.dataset)
  if split not in builder.info.splits:
    splits = ", ".join(sorted(builder.info.splits))
    raise UserError(f"--split={split}: dataset {builder.info.full_name} has {splits}.")
  names = data.identity_names(builder)
  size = run.config.image_size
  records, training = data.load(builder, split, size), data.load(builder, schema.TRAIN, size)
  run_info.identities(workdir, names)
  run_info.refuse_other_records(workdir, {schema.TRAIN: training.digest})

  missing = {}
  describe = None
  try:
    describe = dlib_faces.describer()
  except dlib_faces.UnavailableError as error:
    missing = dict.fromkeys(metrics.BY_DLIB, str(error))
  who = identify.identifier(builder, size)
  chosen = data.evenly(records, CHUNKS)
  others = data.evenly(training, REFERENCE, chosen if split == schema.TRAIN else None)
  identity = records.identity[chosen]
  held_out = metrics.make_out(records.faces[chosen], identity, who, describe, f"Real {split} faces")
  reference = metrics.make_out(
    training.faces[others], training.identity[others], who, describe, "Real training faces"
  )
  speech = data.centred_examples(records, run.config.dataset, chosen)[schema.SPEECH]
  draw = generate.drawer(run.nets.generator)
  draws = []
  for d in range(DRAWS):
    keys = [generate.key(SEED, split, int(record), d) for record in chosen]
    faces, _ = draw(run.state.drawing, speech, keys)
    title = f"Drawn faces, {d + 1} of {DRAWS}"
    draws.append(metrics.make_out(faces, identity, who, describe, title))

  rows = metrics.measure(draws, held_out, reference)
  missing |= {
    name: "too few faces" for name in metrics.TITLES if name not in rows and name not in missing
  }
  step = int(run.state.step)
  write_whole(path, _json(before | {split: _part(step, rows, missing, names, len(chosen))}))
  print(f"Step {step} of {workdir}: {len(chosen)} chunks of {split} speech, {DRAWS} draws each.\n")
  print(metrics.table(rows, names))
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
