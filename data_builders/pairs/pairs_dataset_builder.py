"""TFDS builder of pictures beside recordings, without TensorFlow."""

import dataclasses
import hashlib
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from data_builders import splits
from data_builders.builder import PairsBuilder, record
from data_builders.pairs import pictures, table
from data_builders.pairs.table import Group, Line, Table
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import expanded

PAIRS = "pairs"
PART = 64  # lines that are read at a time
Heard = tuple[np.ndarray, int, int]  # speech, int16 [T], its instant, and the instant's error


@dataclasses.dataclass(kw_only=True)
class PairsConfig(tfds.core.BuilderConfig):
  """The pairs of a dataset."""

  source: Path  # the table
  match: str  # `table.LINE` or `table.IDENTITY`
  shortest: int  # least length of speech, samples
  unseen: tuple[str, ...]  # names of identities that are in no split but `unseen`


class Builder(PairsBuilder):
  """Builds records from a table of pictures and recordings, see `table.py` and `schema.py`."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First version."}

  @classmethod
  def check(cls, dataset: Any, image_size: int | None) -> None:
    """See the base class."""
    if not dataset.source:
      raise UserError(
        "dataset.source is empty; name a CSV file with the columns "
        f"{','.join(table.COLUMNS)}, such as python -m data_builders.prepare pairs writes."
      )
    ways = (table.LINE, table.IDENTITY)
    if dataset.pairs.match not in ways:
      raise UserError(
        f"dataset.pairs.match is {dataset.pairs.match!r}; choose from {', '.join(ways)}."
      )

  @classmethod
  def config(cls, dataset: Any) -> PairsConfig:
    """See the base class. The name depends on the table, and on size and date of its files."""
    path = expanded(dataset.source).resolve()
    match, shortest = dataset.pairs.match, dataset.window_samples
    read = table.read(path, match, dataset.unseen)
    about = f"{match} {shortest} {sorted(dataset.unseen)}"
    digest = hashlib.sha256(path.read_bytes() + about.encode())
    for file in sorted(_files(read)):
      stat = (path.parent / file).stat()
      digest.update(f"{stat.st_size} {int(stat.st_mtime)} ".encode())
    return PairsConfig(
      name=f"{PAIRS}_{digest.hexdigest()[:8]}",
      source=path,
      match=match,
      shortest=shortest,
      unseen=tuple(read.unseen),
    )

  @classmethod
  def size(cls, dataset: Any) -> tuple[int, int]:
    """See the base class."""
    read = table.read(expanded(dataset.source), dataset.pairs.match, dataset.unseen)
    return len(read.learned), sum(map(len, read.groups[schema.TRAIN].values()))

  @property
  def any_face(self) -> bool:
    """See the base class."""
    return self.builder_config.match == table.IDENTITY

  def genders(self) -> dict[str, str]:
    """See the base class."""
    return self._table().genders

  def _table(self) -> Table:
    config = self.builder_config
    return table.read(config.source, config.match, config.unseen)

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    del dl_manager
    read = self._table()
    for problem in read.problems:
      self._warn(problem)
    splits.warn_of_single_units(_units(read))
    self.info.features[schema.IDENTITY].names = [*read.learned, *read.unseen]
    return {
      split: self._generate_examples(split, groups)
      for split, groups in read.groups.items()
      if groups
    }

  def _generate_examples(
    self, split: str, groups: Mapping[str, Group]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields records; raises UserError where nothing of a split can be read."""
    found = 0
    title = f"Reading {split} pairs"
    with tqdm.tqdm(total=sum(map(len, groups.values())), desc=title, unit=" pairs") as bar:
      for identity, group in groups.items():
        bar.update(len(group))
        for name, face, (speech, instant, error), unit in self._pairs(group):
          found += 1
          about = {"offset": -1, "instant": instant, "instant_error": error}
          yield record(f"{identity}/{name}", face, speech, identity, unit, **about)
    if not found:
      raise UserError(f"{self.builder_config.source}: nothing of {split} can be read.")

  def _pairs(self, group: Group) -> Iterator[tuple[str, bytes, Heard, int]]:
    """Yields name, face, speech with its instant and the error of it, and unit of each pair.

    By line, a pair is a line. By identity, faces and recordings are cycled through until each was
    in a pair.
    """
    if self.builder_config.match == table.LINE:
      for start in range(0, len(group), PART):
        part = slice(start, start + PART)
        faces, speech = self._read(Group(group.faces[part], group.speech[part]))
        for (line, face), (_, heard, unit) in zip(faces, speech, strict=True):
          if face and heard:
            yield f"{line.number:06d}", face, heard, unit
      return
    faces, speech = self._read(group)
    shown = [(line.number, face) for line, face in faces if face]
    recordings = [(line.number, heard, unit) for line, heard, unit in speech if heard]
    for i in range(max(len(shown), len(recordings)) if shown and recordings else 0):
      of_face, face = shown[i % len(shown)]
      of_speech, heard, unit = recordings[i % len(recordings)]
      yield f"{of_speech:06d}_{of_face:06d}", face, heard, unit

  def _read(
    self, group: Group
  ) -> tuple[list[tuple[Line, bytes | None]], list[tuple[Line, Heard | None, int]]]:
    """Returns the faces of a group, and its speech with the number of the unit."""
    with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock
      faces = pool.map(self._face, group.faces)
      speech = pool.map(self._speech, [line for line, _ in group.speech])
      return list(zip(group.faces, faces, strict=True)), [
        (line, heard, unit) for (line, unit), heard in zip(group.speech, speech, strict=True)
      ]

  def _face(self, line: Line) -> bytes | None:
    """Returns a line's face as JPEG; None, after a warning, where it cannot be read."""
    try:
      return pictures.read_jpeg(self.builder_config.source.parent / line.face)
    except pictures.UNREADABLE as error:
      reason = str(error).partition("\n")[0]
      self._warn(f"line {line.number}: {line.face} is no picture that can be read ({reason})")
      return None

  def _speech(self, line: Line) -> Heard | None:
    """Returns a line's speech, the instant of its face, and that one's error; None as `_face`.

    Where the time of the face is known, this is the clip around it; otherwise the whole recording,
    with an error of `schema.CLIP_SAMPLES`, which stands for a moment that is not known.
    """
    config = self.builder_config
    try:
      speech = audio.read(config.source.parent / line.speech)
    except UserError as error:
      self._warn(f"line {line.number}: {error}")
      return None
    if len(speech) < config.shortest:
      self._warn(
        f"line {line.number}: {line.speech} has {len(speech):,} samples at 16 kHz; "
        f"dataset.window_samples are {config.shortest:,}"
      )
      return None
    if line.time is None:
      return speech, len(speech) // 2, schema.CLIP_SAMPLES
    instant = round(line.time * schema.SAMPLE_RATE)
    if instant > len(speech):
      seconds = len(speech) / schema.SAMPLE_RATE
      self._warn(f"line {line.number}: the time is {line.time:g} s, of {seconds:.1f} s of speech")
      return None
    start = max(0, instant - schema.CLIP_SAMPLES // 2)
    return speech[start : instant + schema.CLIP_SAMPLES // 2], instant - start, 0

  def _warn(self, problem: str) -> None:
    tqdm.tqdm.write(f"warning: {self.builder_config.source.name}, {problem}.", file=sys.stderr)


def _files(read: Table) -> set[str]:
  """Returns the paths of all files of a table."""
  groups = [group for by_identity in read.groups.values() for group in by_identity.values()]
  return {line.face for group in groups for line in group.faces} | {
    line.speech for group in groups for line, _ in group.speech
  }


def _units(read: Table) -> dict[str, set[str]]:
  """Returns the units of each identity that is in several splits."""
  units: dict[str, set[str]] = {}
  for name in read.learned:
    groups = [read.groups[split][name] for split in splits.SHARES if name in read.groups[split]]
    if len(groups) > 1:
      units[name] = {line.item.unit for group in groups for line, _ in group.speech}
  return units
