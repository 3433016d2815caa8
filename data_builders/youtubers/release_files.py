"""The published pairs of face and speech, out of a folder or an archive of the release."""

import dataclasses
import hashlib
import io
import re
import tarfile
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tqdm

from wav2pix_jax import schema
from wav2pix_jax.errors import UserError

LAYOUT = "dataset/{train,test}/<identity>/{cropped_face,preprocessed}_frame_<n>.{png,wav}"
_PAIRED = re.compile(
  r"(?:^|/)dataset/(train|test)/([^/]+)/"
  r"(?:(cropped_face)_frame_(\d+)\.png|(preprocessed)_frame_(\d+)\.wav)$"
)


@dataclasses.dataclass(frozen=True)
class Pair:
  """One published pair.

  Attributes:
    split: "train" or "test", as published.
    identity: name of the folder it lies in.
    number: of its file names.
    face: the image file; JPEG data with channels in BGR order.
    speech: int16 [T], 16 kHz mono.
  """

  split: str
  identity: str
  number: int
  face: bytes
  speech: np.ndarray


def read_pairs(source: Path) -> list[Pair]:
  """Every pair, by split, identity and number; a face or a sound alone is left out.

  Args:
    source: folder, `.zip` or `.tar.*` that holds the release's `dataset/` at any depth.

  Raises:
    UserError: no such source, an archive that cannot be read, no pairs in it, or a sound that is
      not 16 kHz, mono, 16 bit.
  """
  faces, sounds = {}, {}
  try:
    for path, data in tqdm.tqdm(_files(source), f"Reading {source.name}", unit=" files"):
      if match := _PAIRED.search(path):
        split, identity, face, face_number, _, sound_number = match.groups()
        if face:
          faces[split, identity, int(face_number)] = data
        else:
          sounds[split, identity, int(sound_number)] = _speech(path, data)
  except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
    raise UserError(
      f"dataset.source {source}: cannot be read ({error}); expected a folder, .zip or .tar.xz."
    ) from error
  pairs = [Pair(*key, faces[key], sounds[key]) for key in sorted(faces.keys() & sounds.keys())]
  if not pairs:
    raise UserError(f"dataset.source {source}: no pairs of face and speech found as {LAYOUT}.")
  return pairs


def digest(source: Path) -> str:
  """Hexadecimal SHA-256 of an archive, or of the names and contents in a folder.

  Raises:
    UserError: no such source, or one that cannot be read.
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
  """(path inside the source, content) of every file."""
  if source.is_dir():
    for path in sorted(source.rglob("*")):
      if path.is_file():
        yield path.relative_to(source.parent).as_posix(), path.read_bytes()
  elif zipfile.is_zipfile(source):
    with zipfile.ZipFile(source) as archive:
      for name in archive.namelist():
        yield name, archive.read(name)
  else:
    with tarfile.open(source) as archive:
      for member in archive:
        if content := archive.extractfile(member):
          yield member.name, content.read()


def _speech(path: str, data: bytes) -> np.ndarray:
  try:
    with wave.open(io.BytesIO(data)) as sound:
      form = sound.getframerate(), sound.getnchannels(), sound.getsampwidth()
      samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.int16)
  except (wave.Error, EOFError) as error:
    raise UserError(f"{path}: not a WAV file ({error}).") from error
  if form != (schema.SAMPLE_RATE, 1, 2):
    raise UserError(f"{path}: (rate, channels, bytes) are {form}; expected (16000, 1, 2).")
  return samples
