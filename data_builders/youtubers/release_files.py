"""Reads the published pairs of face and speech from a folder or archive of the release."""

import dataclasses
import hashlib
import io
import lzma
import os
import re
import tarfile
import wave
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tqdm

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError

LAYOUT = "dataset/{train,test}/<identity>/{cropped_face,preprocessed}_frame_<n>.{png,wav}"
_PAIRED = re.compile(
  r"(?:^|/)dataset/(train|test)/([^/]+)/"
  r"(?:cropped_face_frame_(\d+)\.png|preprocessed_frame_(\d+)\.wav)$"
)
# The exceptions that damaged, encrypted or unknown archives raise.
_UNREADABLE = (
  *(OSError, EOFError, KeyError, NotImplementedError, RuntimeError),
  *(lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
)


@dataclasses.dataclass(frozen=True)
class Pair:
  """A published pair of a face and speech."""

  split: str  # the published split, "train" or "test"
  identity: str  # name of the identity, from the folder
  number: int  # number of the pair, from the file names
  face: bytes  # the image file, JPEG data with channels in BGR order
  speech: np.ndarray  # int16 [T], 16 kHz mono


def read_pairs(source: Path) -> list[Pair]:
  """Returns all pairs, sorted by split, identity and number. Faces and sounds alone are left out.

  The source is a folder, `.zip` or `.tar.*` that contains the release's `dataset/` at any depth.

  Raises:
    UserError: The source cannot be read, has no pairs, or has a sound that is not 16 kHz, mono, 16
      bit.
  """
  faces, sounds = {}, {}
  try:
    for path, data in tqdm.tqdm(_files(source), f"Reading {source.name}", unit=" files"):
      if match := _PAIRED.search(path):
        split, identity, face, sound = match.groups()
        if face:
          faces[split, identity, int(face)] = data
        else:
          sounds[split, identity, int(sound)] = _speech(path, data)
  except _UNREADABLE as error:
    reason = str(error).partition("\n")[0]
    raise UserError(
      f"dataset.source {source}: cannot be read ({reason}); expected a folder, .zip or .tar.xz."
    ) from error
  pairs = [Pair(*key, faces[key], sounds[key]) for key in sorted(faces.keys() & sounds.keys())]
  if not pairs:
    raise UserError(f"dataset.source {source}: no pairs of face and speech found as {LAYOUT}.")
  return pairs


def digest(source: Path) -> str:
  """Returns the SHA-256 of an archive, or of the names and contents of a folder's pairs, in hex.

  Raises UserError if the source cannot be read.
  """
  try:
    if source.is_dir():
      total = hashlib.sha256()
      for path, data in _files(source):
        total.update(f"{path} {len(data)} ".encode() + data)
      return total.hexdigest()
    with source.open("rb") as file:
      return hashlib.file_digest(file, "sha256").hexdigest()
  except OSError as error:
    raise UserError(f"dataset.source {source}: cannot be read ({error.strerror}).") from error


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
  """Yields the path and content of each file of a folder's pairs, or of an archive."""
  if source.is_dir():
    walk = os.walk(source, followlinks=True)
    paths = sorted(Path(folder, name) for folder, _, names in walk for name in names)
    for path in paths:
      if _PAIRED.search(name := path.relative_to(source.parent).as_posix()):
        yield name, path.read_bytes()
  elif zipfile.is_zipfile(source):
    with zipfile.ZipFile(source) as archive:
      for name in archive.namelist():
        yield name, archive.read(name)
  else:
    with tarfile.open(source) as archive:
      for member in archive:
        if member.isfile() and (content := archive.extractfile(member)):
          yield member.name, content.read()


def _speech(path: str, data: bytes) -> np.ndarray:
  try:
    with wave.open(io.BytesIO(data)) as sound:
      form = sound.getframerate(), sound.getnchannels(), sound.getsampwidth()
      samples = sound.readframes(sound.getnframes())
  except (wave.Error, EOFError) as error:
    raise UserError(f"{path}: not a WAV file ({error}).") from error
  if form != (schema.SAMPLE_RATE, 1, 2):
    raise UserError(f"{path}: (rate, channels, bytes) are {form}; expected (16000, 1, 2).")
  if len(samples) < 2:
    raise UserError(f"{path}: holds no samples; expected about a second of speech.")
  return np.frombuffer(samples[: len(samples) // 2 * 2], "<i2").astype(np.int16)
