"""Measures planted systems, and any others, by the same rows.

python -m benchmarks.judged --config=demo --out=judged --workdir=runs/demo --faces=NAME=FOLDER

The planted systems know what no system may know, or nothing, and show what the rows notice:

- real faces: those of the clips, which are the ceiling;
- shuffled: real faces of the split, of any clips;
- one mean face: that of all training faces, always;
- copied: a training face of the right person;
- looked up: a training face of the person whom logistic regression on the cepstra of the speech
  names, a system without any network.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import turns, voices
from wav2pix_jax import data, evaluate, metrics
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.files import expanded
from wav2pix_jax.metrics import evaluation_set
from wav2pix_jax.metrics.evaluation_set import EvaluationSet

DRAWS = 2
SEED = 0
ROWS = (
  *("identity_accuracy", "gender", "verified", "retrieved_1", "retrieved_5", "frechet_distance"),
  *("mouth", "sync", "spread_of_chunks", "spread_of_draws"),
)


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__, rounds=False)
  parser.add_argument("--config", required=True, help="a config file, or the name of one")
  parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="of the config")
  parser.add_argument("--split", default=schema.TEST)
  parser.add_argument("--out", type=Path, required=True, help="folder for the planted faces")
  parser.add_argument("--workdir", type=Path, action="append", default=[], help="a run, as well")
  parser.add_argument("--faces", action="append", default=[], metavar="NAME=FOLDER")
  flags = parser.parse_args()
  config = voices.config_of(flags.config, flags.set)
  of = evaluation_set.choose(None, config, flags.split)
  parts: dict[str, Mapping[str, Any]] = {}
  for name, draw in PLANTED.items():
    folder = flags.out / name.replace(" ", "_")
    write_faces(folder, of, draw(of))
    evaluate.evaluate_faces(folder, config, flags.split, folder)
    parts[name] = _part(folder, of)
  for workdir in flags.workdir:
    folder = flags.out / f"run_{workdir.name}"
    evaluate.evaluate(workdir, flags.split, folder)
    parts[f"run {workdir.name}"] = _part(folder, of)
  for assignment in flags.faces:
    name, _, folder = assignment.partition("=")
    evaluate.evaluate_faces(expanded(folder), config, flags.split, flags.out / f"faces_{name}")
    parts[name] = _part(flags.out / f"faces_{name}", of)
  table = {
    name: {metrics.TITLES[row]: _cell(part, row) for row in ROWS} for name, part in parts.items()
  }
  turns.show(table)
  turns.write(flags.json, {"config": flags.config, "split": flags.split, "rows": parts})


def write_faces(folder: Path, of: EvaluationSet, draws: np.ndarray) -> None:
  """Writes faces uint8 [draws, N, S, S, 3] of the clips of an evaluation set as any system does."""
  for draw, faces in enumerate(draws):
    for clip, face in zip(of.clips, faces, strict=True):
      images.save_png(folder / f"{clip}_{draw:02d}.png", face)


def _real(of: EvaluationSet) -> np.ndarray:
  return np.stack([of.real] * DRAWS)


def _shuffled(of: EvaluationSet) -> np.ndarray:
  rng = np.random.default_rng(SEED)
  return np.stack([rng.permutation(of.real) for _ in range(DRAWS)])


def _mean(of: EvaluationSet) -> np.ndarray:
  face = _training(of).faces.mean(0).round().astype(np.uint8)
  return np.broadcast_to(face, (DRAWS, len(of.chosen), *face.shape))


def _copied(of: EvaluationSet) -> np.ndarray:
  return _faces_of(_training(of), of.identity)


def _looked_up(of: EvaluationSet) -> np.ndarray:
  training = _training(of)
  name = voices.regression(voices.cepstra)(of.config, training)
  return _faces_of(training, name(of.windows).argmax(1))


PLANTED: dict[str, Callable[[EvaluationSet], np.ndarray]] = {
  "real faces": _real,
  "shuffled": _shuffled,
  "one mean face": _mean,
  "copied": _copied,
  "looked up": _looked_up,
}


def _training(of: EvaluationSet) -> data.Records:
  return data.load(of.builder, schema.TRAIN, of.config.image_size)


def _faces_of(training: data.Records, identity: np.ndarray) -> np.ndarray:
  """Returns training faces of the people with these labels, [DRAWS, N, S, S, 3]."""
  rng = np.random.default_rng(SEED)
  picked = [
    [rng.choice(np.flatnonzero(training.identity == label)) for label in identity]
    for _ in range(DRAWS)
  ]
  return training.faces[np.array(picked)]


def _part(folder: Path, of: EvaluationSet) -> Mapping[str, Any]:
  return json.loads((folder / evaluate.METRICS).read_text())[of.title]["rows"]


def _cell(rows: Mapping[str, Any], row: str) -> str:
  return f"{rows[row]['value']:.3f}" if row in rows else "-"


if __name__ == "__main__":
  main()
