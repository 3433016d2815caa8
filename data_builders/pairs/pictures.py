"""Reads pictures of any format as square JPEG files."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from wav2pix_jax.common import images

_ORIENTATION = 0x0112  # of EXIF
# What Pillow raises for a file that is not a picture, or a damaged one.
UNREADABLE = (
  *(OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error),
  Image.DecompressionBombError,
)


def read_jpeg(path: Path) -> bytes:
  """Returns a picture as a square JPEG file in RGB.

  Such a file is returned as it is. Others are turned upright, laid on white where they are
  transparent, cropped to the square in their middle, and encoded by `images.encode_jpeg`.

  Raises one of `UNREADABLE`: It is not a picture that Pillow reads, or one of more than 8 bits.
  """
  data = path.read_bytes()
  with Image.open(io.BytesIO(data)) as image:
    image.load()  # raises what a truncated file raises
    upright = image.getexif().get(_ORIENTATION, 1) == 1
    if (image.format, image.mode) == ("JPEG", "RGB") and image.width == image.height and upright:
      return data
    return images.encode_jpeg(square(rgb(image)))


def rgb(image: Image.Image) -> np.ndarray:
  """Returns a picture upright, on white: uint8 [H, W, 3]; raises ValueError for more bits."""
  if image.mode.startswith(("I", "F")):
    raise ValueError("more than 8 bits per channel; save it with 8")
  image = ImageOps.exif_transpose(image)
  if image.has_transparency_data:
    layers = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
  return np.asarray(image.convert("RGB"))


def square(picture: np.ndarray) -> np.ndarray:
  """Returns the square in the middle of [H, W, 3]."""
  side = min(picture.shape[:2])
  top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
  return picture[top : top + side, left : left + side]
