"""Measures how many faces the limits of curation reject, as they are and made worse.

    python -m benchmarks.face_scores --faces=FOLDER

The folder has pictures of faces at any depth, cropped as `prepare clips` crops them. A row is a
change of the picture; its columns are quantiles of the scores `sharpness` and `frontality`, and the
share of faces that each of their default limits rejects.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tqdm

from data_builders import command
from data_builders.prepare import curate, scores
from wav2pix_jax.common import images
from wav2pix_jax.common.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")


def _shades(factor: float, towards: float | None) -> Callable[[np.ndarray], np.ndarray]:
  def change(face: np.ndarray) -> np.ndarray:
    centre = face.mean() if towards is None else towards
    return (centre + factor * (face.astype(np.float32) - centre)).round().clip(0, 255)

  return change


def _blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
  return lambda face: cv2.GaussianBlur(face, (0, 0), sigma)


def _tilted(degrees: float) -> Callable[[np.ndarray], np.ndarray]:
  middle = (scores.SIDE - 1) / 2
  turn = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
  size = (scores.SIDE, scores.SIDE)
  return lambda face: cv2.warpAffine(face, turn, size, borderMode=cv2.BORDER_REPLICATE)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  "as it is": lambda face: face,
  "brightness x 0.6": _shades(0.6, 0),
  "brightness x 0.4": _shades(0.4, 0),
  "contrast x 0.5": _shades(0.5, None),
  "Gaussian blur of 1 px": _blurred(1),
  "Gaussian blur of 2 px": _blurred(2),
  "Gaussian blur of 3 px": _blurred(3),
  "tilted by 8 degrees": _tilted(8),
  "tilted by 15 degrees": _tilted(15),
}


def main() -> int:
  """Runs the command line."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.face_scores", description=__doc__)
  parser.add_argument("--faces", type=Path, required=True, help="folder of pictures of faces")
  return command.exit_status(lambda: _measure(parser.parse_args().faces))


def _measure(folder: Path) -> int:
  paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
  if not paths:
    raise UserError(f"--faces={folder}: no pictures in it; expected {', '.join(SUFFIXES)} files.")
  found: dict[str, list[dict[str, float]]] = {name: [] for name in CHANGES}
  for path in tqdm.tqdm(paths, "Scoring", unit=" faces"):
    face = images.resize(images.decode(path.read_bytes()), scores.SIDE)
    for name, change in CHANGES.items():
      found[name].append(scores.of_face(change(face).astype(np.uint8)))
  print(f"{len(paths)} faces of {folder}")
  print("change                 | sharpness 1% 50% 95% | rejected | frontality 2% 50% | rejected")
  for name, scored in found.items():
    sharpness, frontality = (
      np.array([face[score] for face in scored]) for score in ("sharpness", "frontality")
    )
    cells = [
      f"{name:22}",
      "       " + " ".join(f"{q:4.2f}" for q in np.quantile(sharpness, [0.01, 0.5, 0.95])),
      f"{np.mean(sharpness < curate.LIMITS['sharpness']):8.1%}",
      "        " + " ".join(f"{q:4.2f}" for q in np.quantile(frontality, [0.02, 0.5])),
      f"{np.mean(frontality < curate.LIMITS['frontality']):8.1%}",
    ]
    print(" | ".join(cells))
  return 0


if __name__ == "__main__":
  sys.exit(main())
