"""Reads faces that another system wrote as `<clip>_<draw>.png`."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wav2pix_jax.common import images
from wav2pix_jax.common.errors import UserError, listed

SHOWN = 5  # names in a message
_NAME = re.compile(r"(.+)_(\d+)\.png")


def read(folder: Path, clips: Sequence[str], size: int) -> np.ndarray:
  """Returns the faces of clips at a size, uint8 [draws, clips, size, size, 3].

  Every clip must have the same number of draws, which are numbered from 0. Other files in the
  folder are ignored.

  Raises:
    UserError: There is no such folder, faces are missing, or one is no square picture.
  """
  if not folder.is_dir():
    raise UserError(f"--faces={folder}: no such folder; expected <clip>_<draw>.png in it.")
  found: dict[str, dict[int, Path]] = {clip: {} for clip in clips}
  for path in sorted(folder.iterdir()):
    if (match := _NAME.fullmatch(path.name)) and match[1] in found:
      found[match[1]][int(match[2])] = path
  draws = max(1, *map(len, found.values()))
  wanted = [(clip, draw) for draw in range(draws) for clip in clips]
  missing = [f"{clip}_{draw:02d}.png" for clip, draw in wanted if draw not in found[clip]]
  if missing:
    raise UserError(
      f"--faces={folder}: {len(missing):,} of {len(wanted):,} faces are missing "
      f"({listed(missing, SHOWN)}); --list has the clips of a config, and all need equally many "
      "draws."
    )
  faces = [_read(found[clip][draw], size) for clip, draw in wanted]
  return np.stack(faces).reshape(draws, len(clips), size, size, 3)


def _read(path: Path, size: int) -> np.ndarray:
  try:
    face = images.decode(path.read_bytes())
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
    raise UserError(f"{path}: not a picture that can be read ({error}).") from error
  if face.shape[0] != face.shape[1]:
    raise UserError(f"{path}: {face.shape[1]} x {face.shape[0]} pixels; expected a square face.")
  return face if len(face) == size else images.resize(face, size)
