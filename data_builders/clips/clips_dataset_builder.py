"""TFDS builder of clips cut from videos: array_record, no TensorFlow."""

import collections
import dataclasses
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from data_builders import splits
from data_builders.builder import PairsBuilder
from data_builders.prepare import manifest
from data_builders.prepare.manifest import Clip
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError

CLIPS = "clips"


@dataclasses.dataclass(kw_only=True)
class ClipsConfig(tfds.core.BuilderConfig):
  """Which clips.

  Attributes:
    source: the manifest; media lie beside it.
    unseen: identities that are in no split but `unseen`.
  """

  source: Path
  unseen: tuple[str, ...]


def config(source: str, unseen: Sequence[str]) -> ClipsConfig:
  """A config under a name that changes with the manifest: TFDS tells datasets apart by name.

  Args:
    source: folder that `prepare clips` wrote (what `prepare curate` kept of it, if it was used),
      or a manifest in one.
    unseen: identities that are in no split but `unseen`.

  Raises:
    UserError: no such manifest.
  """
  path = Path(source).expanduser().resolve()
  if path.is_dir():
    curated = path / manifest.CURATED
    path = curated if curated.exists() else path / manifest.MANIFEST
  try:
    content = path.read_bytes()
  except OSError as error:
    raise UserError(
      f"dataset.source {source}: no clips that can be read ({error.strerror}); name the --out of "
      "python -m data_builders.prepare clips."
    ) from error
  without = sorted(set(unseen))
  digest = hashlib.sha256(content + json.dumps(without).encode()).hexdigest()
  return ClipsConfig(name=f"{CLIPS}_{digest[:8]}", source=path, unseen=tuple(without))


def clips_of_splits(chosen: ClipsConfig) -> tuple[list[str], dict[str, list[tuple[int, Clip]]]]:
  """Who is to be learned, in the order of labels; and of each split the clips with their unit.

  Units are videos, numbered in order of names, and divided by the rule of `splits.py`.

  Raises:
    UserError: a manifest that cannot be read or has a clip twice, or unseen identities that are not
      in it or leave fewer than two.
  """
  clips = manifest.read(chosen.source)
  twice = [clip for clip, count in Counter(clip.id for clip in clips).items() if count > 1]
  if twice:
    raise UserError(f"{chosen.source}: has the clip {twice[0]!r} twice; keep one of its lines.")
  everyone = sorted({clip.identity for clip in clips})
  learned = splits.learned(everyone, chosen.unseen, str(chosen.source))
  unit_of = {source: unit for unit, source in enumerate(sorted({clip.source for clip in clips}))}
  units: dict[str, Counter[int]] = {identity: Counter() for identity in learned}
  for clip in clips:
    if clip.identity in units:
      units[clip.identity][unit_of[clip.source]] += 1
  split_of = splits.assign(units)
  found: dict[str, list[tuple[int, Clip]]] = collections.defaultdict(list)
  for clip in clips:
    unit = unit_of[clip.source]
    found[split_of.get(unit, schema.UNSEEN)].append((unit, clip))
  order = (*splits.SHARES, schema.UNSEEN)
  return learned, {split: found[split] for split in order if split in found}


class Builder(PairsBuilder):
  """Faces as the files that `prepare clips` wrote, JPEG 95 4:4:4. See `schema.py`."""

  VERSION = tfds.core.Version("1.1.0")
  RELEASE_NOTES = {"1.1.0": "Who is unseen has a label, after all others."}

  @classmethod
  def check(cls, dataset: Any, image_size: int | None) -> None:
    """See the base class."""
    if not dataset.source:
      raise UserError(
        "dataset.source is empty; name the folder of clips that python -m data_builders.prepare "
        "made."
      )

  @classmethod
  def config(cls, dataset: Any) -> ClipsConfig:
    """See the base class."""
    return config(dataset.source, dataset.unseen)

  @classmethod
  def size(cls, dataset: Any) -> tuple[int, int]:
    """See the base class."""
    learned, by_split = clips_of_splits(cls.config(dataset))
    return len(learned), len(by_split[schema.TRAIN])

  def genders(self) -> dict[str, str]:
    """See the base class."""
    return {clip.identity: clip.gender for clip in manifest.read(self.builder_config.source)}

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    del dl_manager
    learned, by_split = clips_of_splits(self.builder_config)
    self.info.features[schema.IDENTITY].names = [*learned, *self.builder_config.unseen]
    return {split: self._generate_examples(split, found) for split, found in by_split.items()}

  def _generate_examples(
    self, split: str, found: Sequence[tuple[int, Clip]]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Records as `schema.py` says.

    Raises:
      UserError: media that are missing, or not as `prepare clips` wrote them.
    """
    folder = self.builder_config.source.parent
    for unit, clip in tqdm.tqdm(found, f"Packing {split} clips", unit=" clips"):
      yield (
        clip.id,
        {
          schema.ID: clip.id,
          schema.FACE: io.BytesIO(_face(folder / clip.face)),
          schema.SPEECH: _speech(folder / clip.speech),
          schema.IDENTITY: clip.identity,
          schema.OFFSET: 0,
          schema.INSTANT: schema.CLIP_SAMPLES // 2,
          schema.INSTANT_ERROR: 0,
          schema.UNIT: unit,
        },
      )


def _face(path: Path) -> bytes:
  try:
    return path.read_bytes()
  except OSError as error:
    raise UserError(f"{path}: a face that cannot be read ({error.strerror}).") from error


def _speech(path: Path) -> np.ndarray:
  speech = audio.read(path)
  if len(speech) != schema.CLIP_SAMPLES:
    raise UserError(f"{path}: {len(speech):,} samples; a clip has {schema.CLIP_SAMPLES:,}.")
  return speech
