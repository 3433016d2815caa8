"""Faces: decoding, encoding, resizing, scaling, and labelled grids."""

import contextlib
import io
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from wav2pix_jax.common.files import writing

JPEG_QUALITY = 95
LABEL_HEIGHT = 14  # pixels
# Fonts of Linux and macOS with many letters, those with most first.
FONTS = ("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "NotoSans-Regular.ttf", "DejaVuSans.ttf")


def decode(data: bytes) -> np.ndarray:
  """Returns an image file's pixels in the channel order of the file: uint8 [H, W, 3].

  Raises OSError if Pillow cannot read it, or it is truncated.
  """
  with Image.open(io.BytesIO(data)) as image:
    return np.asarray(image.convert("RGB"))


def encode_jpeg(face: np.ndarray) -> bytes:
  """Encodes uint8 [H, W, 3] as JPEG with quality 95, without chroma subsampling (4:4:4)."""
  out = io.BytesIO()
  Image.fromarray(face).save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
  return out.getvalue()


def resize(face: np.ndarray, size: int) -> np.ndarray:
  """Resizes uint8 [H, W, 3] to [size, size, 3]: bicubic, with antialiasing."""
  return np.asarray(Image.fromarray(face).resize((size, size), Image.Resampling.BICUBIC))


def to_float(face: np.ndarray) -> np.ndarray:
  """Converts uint8 [..., 3] in [0, 255] to float32 [..., 3] in [-1, 1]."""
  return face.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(face: np.ndarray) -> np.ndarray:
  """Converts float32 [..., 3] in [-1, 1] to uint8 [..., 3] in [0, 255], rounded and clipped.

  The array may be of NumPy or of any library with the array API, to which the result belongs.
  """
  xp = face.__array_namespace__()
  return xp.clip(xp.round((face + 1) * np.float32(127.5)), 0, 255).astype(np.uint8)


def grid(rows: Sequence[Sequence[np.ndarray]], labels: Sequence[str]) -> np.ndarray:
  """Returns a picture of faces in rows, each row below its label: uint8 [H, W, 3].

  A row has any number of faces, uint8 [S, S, 3]; shorter rows end in white.
  """
  size = rows[0][0].shape[0]
  font, labels = _lettering(labels)
  width = max(size * max(map(len, rows)), *(int(font.getlength(text)) + 4 for text in labels))
  sheet = Image.new("RGB", (width, (size + LABEL_HEIGHT) * len(rows)), "white")
  draw = ImageDraw.Draw(sheet)
  for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
    top = i * (size + LABEL_HEIGHT)
    draw.text((2, top), label, fill="black", font=font)
    for j, face in enumerate(row):
      sheet.paste(Image.fromarray(face), (j * size, top + LABEL_HEIGHT))
  return np.asarray(sheet)


def _lettering(labels: Sequence[str]) -> tuple[Any, Sequence[str]]:
  """Returns a font that has the labels' letters, and the labels; without accents if there is none.

  Pillow's own font has ASCII alone; other letters take a font of the system. What is no letter,
  such as a line break or a byte in no encoding, becomes "?".
  """
  labels = [
    "".join(letter if letter.isprintable() else "?" for letter in label) for label in labels
  ]
  size = LABEL_HEIGHT - 4
  if "".join(labels).isascii():
    return ImageFont.load_default(size), labels
  for name in FONTS:
    with contextlib.suppress(OSError):
      return ImageFont.truetype(name, size), labels
  plain = [unicodedata.normalize("NFKD", label).encode("ascii", "ignore") for label in labels]
  return ImageFont.load_default(size), [label.decode() for label in plain]


def enlarge(face: np.ndarray, least: int) -> np.ndarray:
  """Returns uint8 [H, H, 3] with at least so many pixels on a side."""
  return face if len(face) >= least else resize(face, least)


def encode_png(picture: np.ndarray, about: Mapping[str, str] | None = None) -> bytes:
  """Encodes uint8 [H, W, 3] as PNG, with text about it by keyword."""
  out, text = io.BytesIO(), PngImagePlugin.PngInfo()
  for keyword, value in (about or {}).items():
    text.add_itxt(keyword, value)
  Image.fromarray(picture).save(out, "PNG", pnginfo=text)
  return out.getvalue()


def save_png(path: str | Path, picture: np.ndarray, about: Mapping[str, str] | None = None) -> None:
  """Writes `encode_png` to a file; its folder is created if necessary.

  Raises UserError if it cannot be written.
  """
  with writing(path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(encode_png(picture, about))
