"""Evaluation: how good the faces are that a run draws from speech it has not learned from."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax import data
from wav2pix_jax.common import dlib_faces, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import write_whole
from wav2pix_jax.metrics import evaluation_set, identity_classifier, metrics, vgg_face
from wav2pix_jax.metrics.evaluation_set import Chunks
from wav2pix_jax.metrics.noise import Noise
from wav2pix_jax.reports import report
from wav2pix_jax.runtime import checkpoint

METRICS, REPORT = "metrics.json", "report.html"
RESAMPLES = 300  # for the intervals
SHOWN = 6  # chunks of each identity in the report, at most


def measure(
  of: Chunks, draws: np.ndarray, vgg: Path | None = None
) -> tuple[dict[str, metrics.Row], dict[str, str]]:
  """What `evaluation_set.draw` drew, measured: the rows, and why others are missing.

  Args:
    of: what was drawn from.
    draws: what was drawn.
    vgg: a `vgg_face.mat`, where its row is wanted.

  Raises:
    UserError: it is not such a file.
  """
  missing = {}
  describe = describe_real = None
  try:
    describe = dlib_faces.describer()
    describe_real = dlib_faces.kept(describe, Path(of.builder.data_dir) / "described")
  except dlib_faces.UnavailableError as error:
    missing = dict.fromkeys(metrics.BY_DLIB, str(error))
  who = identity_classifier.identifier(of.builder, of.config.image_size)
  if of.split == schema.UNSEEN:
    missing |= dict.fromkeys(metrics.BY_CLASSIFIERS, "no classifier knows the unseen")
  elif not vgg:
    missing["vgg_face_accuracy"] = "--vgg_face=FILE was not given"
  known = of.known, of.known_identity
  name = vgg_face.namer(vgg, *known) if vgg and of.split != schema.UNSEEN else None
  genders = data.genders(of.builder)
  if not all(genders):
    missing["gender"] = "the genders are not known"
  look = functools.partial(metrics.make_out, identify=who, name=name)
  look_at_real = functools.partial(look, describe=describe_real)
  identity = of.records.identity[of.chosen]
  held_out = look_at_real(of.records.faces[of.chosen], identity, title=f"Real {of.split} faces")
  reference = look_at_real(*known, title="Real faces to compare with")
  drawn = [
    look(faces, identity, describe=describe, title=f"Drawn faces, {number} of {len(draws)}")
    for number, faces in enumerate(draws, 1)
  ]
  rows = metrics.measure(drawn, held_out, reference, RESAMPLES, genders if all(genders) else None)
  missing |= {
    name: "too few faces" for name in metrics.TITLES if name not in rows and name not in missing
  }
  return rows, missing


def evaluate(
  workdir: Path,
  split: str,
  out: Path,
  vgg: Path | None = None,
  added: Noise | None = None,
  draws: int = evaluation_set.DRAWS,
) -> None:
  """Draws from a split's speech, measures the faces, and tells, as `tell` does.

  The same checkpoint, split and machine give the same numbers.

  Args:
    workdir: of a run with a checkpoint.
    split: "train", "validation", "test" or "unseen".
    out: folder for `metrics.json` and `report.html`; made where it is missing.
    vgg: a `vgg_face.mat`, where its row is wanted.
    added: noise to draw under.
    draws: faces drawn from each chunk of speech.

  Raises:
    UserError: no such run or split, the dataset is not the one that the run learned from, or as
      `measure`.
  """
  _read(out / METRICS)  # before any work
  run = checkpoint.load(workdir)
  of = evaluation_set.choose(workdir, run.config, split, added)
  tell(workdir, of, int(run.state.step), evaluation_set.draw(run, of, draws), out, vgg)


def tell(
  workdir: Path, of: Chunks, step: int, draws: np.ndarray, out: Path, vgg: Path | None = None
) -> None:
  """Measures faces; prints a table, and writes `metrics.json` and `report.html`.

  Both have a part for each split and noise, and keep those of others.

  Args:
    workdir: of the run.
    of: what was drawn from.
    step: of the checkpoint.
    draws: what `evaluation_set.draw` drew.
    out: folder for the files.
    vgg: as of `evaluate`.

  Raises:
    UserError: they cannot be written.
  """
  rows, missing = measure(of, draws, vgg)
  counts = {"step": step, "chunks": len(of.chosen), "draws": len(draws)}
  part = counts | {"rows": _by_name(rows, of.names), "missing": missing}
  parts = _read(out / METRICS) | {of.title: part}
  write_whole(out / METRICS, json.dumps(parts, indent=2) + "\n")
  title = f"Step {step} of {workdir}: {len(of.chosen)} chunks of speech of {of.title}"
  about = f"{of.builder.info.full_name}; the faces below are from speech of {of.title}."
  page = report.page(str(workdir), about, parts, of.names, _examples(of, draws))
  write_whole(out / REPORT, page)
  print(f"{title}, {len(draws)} draws each.\n")
  print(metrics.table(rows, of.names))
  for reason in sorted(set(missing.values())):
    absent = ", ".join(metrics.TITLES[name] for name in missing if missing[name] == reason)
    print(f"\nMissing ({reason}): {absent}.")
  print(f"\nWritten to {out / METRICS} and, to look at and listen to, {out / REPORT}.")


def _examples(of: Chunks, draws: np.ndarray) -> list[report.Example]:
  identity = of.records.identity[of.chosen]
  shown = [metrics.evenly(np.flatnonzero(identity == who), SHOWN) for who in np.unique(identity)]
  return [
    report.Example(
      int(identity[i]), of.windows[i], np.asarray(of.records.faces[of.chosen[i]]), draws[:, i]
    )
    for i in np.concatenate(shown)
  ]


def _by_name(rows: dict[str, metrics.Row], names: list[str]) -> dict[str, Any]:
  """The rows, with names in the place of labels."""
  named = {}
  for name, row in rows.items():
    by_name = {
      field: {names[who]: value for who, value in getattr(row, field).items()}
      for field in ("by_identity", "intervals")
    }
    named[name] = dataclasses.asdict(row) | by_name
  return named


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
