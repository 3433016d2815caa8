"""The mode `evaluate`: how good the faces are that a run generates from speech it did not learn."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from wav2pix_jax import data, metrics
from wav2pix_jax.common import audio, dlib_faces, face_folder, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import check_writable, from_json, write_whole, writing
from wav2pix_jax.common.indices import spread_evenly
from wav2pix_jax.metrics import Need, evaluation_set, identity_classifier, vgg_face
from wav2pix_jax.metrics.evaluation_set import EvaluationSet
from wav2pix_jax.metrics.expression import load_regressor
from wav2pix_jax.metrics.heard import hear
from wav2pix_jax.metrics.noise import Noise
from wav2pix_jax.metrics.sync_judge import EXACT, load_judge
from wav2pix_jax.reports import report, table
from wav2pix_jax.runtime import checkpoint

METRICS, REPORT = "metrics.json", "report.html"
RESAMPLES = 300  # for the intervals
SHOWN = 6  # chunks of each identity in the report, at most


def evaluate(
  workdir: Path,
  split: str,
  out: Path,
  vgg: Path | None = None,
  added: Noise | None = None,
  draws: int = evaluation_set.DRAWS,
) -> None:
  """Samples from a split's speech, measures the faces, and reports as `write_results` does.

  The same checkpoint, split and machine give the same numbers.

  Args:
    workdir: The directory of a run with a checkpoint.
    split: "train", "validation", "test" or "unseen".
    out: The directory for `metrics.json` and `report.html`.
    vgg: The file `vgg_face.mat`, if the metric that needs it is wanted.
    added: Noise to add to the speech.
    draws: Samples of each chunk of speech.

  Raises:
    UserError: There is no such run or split, the run was trained on another dataset, or as
      `measure`.
  """
  _check_out(out)
  run = checkpoint.load(workdir)
  of = evaluation_set.choose(workdir, run.config, split, added)
  faces = evaluation_set.sample(run.sampler, of, draws)
  voices: dict[str, float] = {}
  line = ""
  if split == schema.UNSEEN:
    known = evaluation_set.choose(workdir, run.config, schema.TEST)
    auroc = evaluation_set.tells_unknown_voices(run.sampler, known.windows, of.windows)
    voices["unknown_voices_auroc"] = auroc
    line = (
      f"Unknown voices are told from those of {schema.TEST} speech with an AUROC of {auroc:.2f}."
    )
  elif not added:
    seconds, recordings = evaluation_set.speakers_named(run.sampler, of)
    voices |= {"seconds_named": seconds, "recordings_named": recordings}
    line = (
      f"The auxiliary classifier names the speaker of {seconds:.1%} of the seconds, and of "
      f"{recordings:.1%} of the recordings."
    )
  write_results(f"step {run.step} of {workdir}", of, faces, out, vgg, {"step": run.step, **voices})
  if line:
    print(line)


def evaluate_faces(
  faces: Path, config: ConfigDict, split: str, out: Path, added: Noise | None = None
) -> None:
  """Measures faces that any system drew for the clips of `list_clips`, and reports them.

  Args:
    faces: A folder with `<clip>_<draw>.png`, of any size.
    config: The config of the dataset and the image size.
    split: The split of the clips.
    out: The directory for `metrics.json` and `report.html`.
    added: The noise that was in the speech.

  Raises:
    UserError: There is no such split, or faces are missing or cannot be read.
  """
  _check_out(out)
  of = evaluation_set.choose(None, config, split, added)
  write_results(
    f"the faces in {faces}", of, face_folder.read(faces, of.clips, config.image_size), out
  )


def list_clips(config: ConfigDict, split: str, out: Path, added: Noise | None = None) -> None:
  """Writes the speech of an evaluation set as `<clip>.wav`, for any system to draw faces from.

  Raises:
    UserError: There is no such split, or the files cannot be written.
  """
  check_writable(out)
  of = evaluation_set.choose(None, config, split, added)
  with writing(out):
    out.mkdir(parents=True, exist_ok=True)
  for clip, window in zip(of.clips, of.windows, strict=True):
    audio.write_wav(out / f"{clip}.wav", window)
  print(
    f"The speech of {len(of.clips)} clips of {of.title} is in {out}. Draw square faces as "
    f"<clip>_<draw>.png, such as {of.clips[0]}_00.png, each clip equally often, and measure them "
    "with --faces=FOLDER in place of --list."
  )


def _check_out(out: Path) -> None:
  """Raises UserError, before any work, if results cannot be added in a directory."""
  _read(out / METRICS)
  check_writable(out)


def measure(
  of: EvaluationSet, draws: np.ndarray, vgg: Path | None = None
) -> tuple[dict[str, metrics.Result], dict[str, str]]:
  """Returns the results of all metrics, and the reasons why others are missing.

  The draws are faces sampled from the evaluation set, uint8 [draws, N, S, S, 3].

  Raises:
    UserError: `vgg` is not a `vgg_face.mat`.
  """
  missing: dict[str, str] = {}
  describe = describe_real = name = None
  try:
    describe = dlib_faces.describer()
    describe_real = dlib_faces.cached(describe, Path(of.builder.data_dir) / "described")
  except dlib_faces.UnavailableError as error:
    missing |= dict.fromkeys(metrics.needing(Need.DLIB), str(error))
  if of.split == schema.UNSEEN:
    unknown = "the classifiers do not know unseen speakers"
    missing |= dict.fromkeys(metrics.needing(Need.KNOWN_IDENTITIES), unknown)
  elif vgg:
    name = vgg_face.fine_tuned(vgg, of.known, of.known_identity)
  else:
    missing |= dict.fromkeys(metrics.needing(Need.VGG_FACE), "--vgg_face=FILE was not given")
  genders = data.genders(of.builder)
  if not all(genders):
    genders = []
    missing = dict.fromkeys(metrics.needing(Need.GENDERS), "the genders are not known") | missing

  classify = identity_classifier.load_classifier(of.builder, of.config.image_size)
  judge = None
  if (of.records.instant_error[of.chosen] <= EXACT).all():
    judge = load_judge(of.builder, of.config.image_size)
  else:
    unknown = "the moments of the faces are not known exactly, see dataset.largest_instant_error"
    missing = dict.fromkeys(metrics.needing(Need.SPEECH), unknown) | missing
  express = load_regressor(of.builder, of.config.image_size)
  if express is None:
    unknown = "the truth of expressions is known of synthetic speakers only"
    missing |= dict.fromkeys(metrics.needing(Need.EXPRESSION), unknown)
  look = functools.partial(
    metrics.describe_faces,
    classify=classify,
    name=name,
    see=judge.see if judge else None,
    express=express,
  )
  look_at_real = functools.partial(look, describe=describe_real)
  held_out = look_at_real(of.real, of.identity, title=f"Real {of.split} faces")
  reference = look_at_real(of.known, of.known_identity, title="Real faces to compare with")
  generated = [
    look(faces, of.identity, describe=describe, title=f"Generated faces, {i} of {len(draws)}")
    for i, faces in enumerate(draws, 1)
  ]
  heard = hear(judge, of.records, of.chosen) if judge else None
  results = metrics.measure(generated, held_out, reference, RESAMPLES, genders, heard)
  too_few = dict.fromkeys(metrics.TITLES.keys() - results.keys(), "too few faces")
  return results, too_few | missing


def write_results(
  title: str,
  of: EvaluationSet,
  draws: np.ndarray,
  out: Path,
  vgg: Path | None = None,
  more: Mapping[str, float] | None = None,
) -> None:
  """Measures faces as `measure`, prints a table, and writes `metrics.json` and `report.html`.

  Both files are written into `out`, with a part for each split and noise, and keep the parts of
  earlier evaluations. The title says what the draws, uint8 [draws, N, S, S, 3], are. `more` figures
  go into `metrics.json`, too.

  Raises:
    UserError: As `measure`, or the files cannot be written.
  """
  results, missing = measure(of, draws, vgg)
  counts = {"chunks": len(of.chosen), "draws": len(draws), **(more or {})}
  missing = {name: missing[name] for name in metrics.TITLES if name in missing}
  part = counts | {"rows": _by_name(results, of.names), "missing": missing}
  parts = _read(out / METRICS) | {of.title: part}
  write_whole(out / METRICS, json.dumps(parts, indent=2) + "\n")
  about = f"{of.builder.info.full_name}; the faces below are from speech of {of.title}."
  page = report.page(title, about, parts, of.names, _examples(of, draws))
  write_whole(out / REPORT, page)
  print(
    f"{title[0].upper()}{title[1:]}: {len(of.chosen)} chunks of speech of {of.title}, "
    f"{len(draws)} samples each.\n"
  )
  print(table.table(results, of.names))
  for reason in dict.fromkeys(missing.values()):
    absent = ", ".join(metrics.TITLES[name] for name in missing if missing[name] == reason)
    print(f"\nMissing ({reason}): {absent}.")
  print(f"\nThe results are in {out / METRICS}, and with faces and speech in {out / REPORT}.")


def _examples(of: EvaluationSet, draws: np.ndarray) -> list[report.Example]:
  shown = [
    spread_evenly(np.flatnonzero(of.identity == label), SHOWN) for label in np.unique(of.identity)
  ]
  return [
    report.Example(int(of.identity[i]), of.windows[i], of.real[i], draws[:, i])
    for i in np.concatenate(shown)
  ]


def _by_name(results: dict[str, metrics.Result], names: list[str]) -> dict[str, Any]:
  """Returns the results with names in place of labels."""
  named = {}
  for metric, result in results.items():
    by_name = {
      field: {names[label]: value for label, value in getattr(result, field).items()}
      for field in ("by_identity", "intervals")
    }
    named[metric] = dataclasses.asdict(result) | by_name
  return named


def _read(path: Path) -> dict[str, Any]:
  """Returns what an earlier evaluation wrote; empty where there was none."""
  if not path.exists():
    return {}
  try:
    content = from_json(path.read_text())
  except ValueError:
    content = None
  if not isinstance(content, dict):
    raise UserError(f"{path}: not a file that --mode=evaluate writes; move it away.")
  return content
