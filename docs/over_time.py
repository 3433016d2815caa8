"""Draws a run's faces over time: python docs/over_time.py runs/demo docs/demo_over_time.jpg.

The top row has real faces; the rows below have faces generated from their speech after more and
more steps, cut out of the grids of held-out speech in the run's `samples/`.
"""

import sys
from pathlib import Path

import numpy as np

from wav2pix_jax.common import images
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import write_whole
from wav2pix_jax.metrics.snapshot import GRID_BANDS, GRID_COLUMNS
from wav2pix_jax.runtime import run_config

ROWS = 5  # of generated faces, each after about twice as many steps as the one above


def main(workdir: Path, picture: Path) -> None:
  """Writes the picture.

  Args:
    workdir: The run's directory.
    picture: The JPEG file to write.

  Raises:
    UserError: There is no such run, or it has no grids.
  """
  size = run_config.read(workdir)[0].image_size
  grids = {int(path.name.split("_")[1]): path for path in workdir.glob("samples/*_held_out.png")}
  if not grids:
    raise UserError(f"{workdir}/samples: no grid of held-out speech; train for longer.")
  steps = np.array(sorted(grids))
  wanted = np.geomspace(steps[0], steps[-1], ROWS)
  chosen = np.unique([steps[np.abs(steps - step).argmin()] for step in wanted])
  rows = [_row(grids[step], 1, size) for step in chosen]
  labels = [f"generated from held-out speech after {step:,} steps" for step in chosen]
  sheet = images.grid([_row(grids[chosen[-1]], 0, size), *rows], ["real", *labels])
  write_whole(picture, images.encode_jpeg(sheet))


def _row(path: Path, row: int, size: int) -> list[np.ndarray]:
  """Returns the faces in a row of each band of a grid, side by side."""
  faces = []
  for band in np.split(images.decode(path.read_bytes()), GRID_BANDS):
    bottom = (row + 1) * (size + images.LABEL_HEIGHT)
    strip = band[bottom - size : bottom, : GRID_COLUMNS * size]
    faces += np.split(strip, GRID_COLUMNS, axis=1)
  return faces


if __name__ == "__main__":
  if len(sys.argv) != 3:
    sys.exit("usage: python docs/over_time.py WORKDIR FILE.jpg")
  try:
    main(Path(sys.argv[1]), Path(sys.argv[2]))
  except UserError as error:
    sys.exit(f"error: {error}")
