"""TFDS builder of clips that were cut from videos, without TensorFlow."""

import collections
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
import tqdm

from data_builders import splits
from data_builders.builder import PairsBuilder, record
from data_builders.prepare import manifest
from data_builders.prepare.manifest import Clip
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import expanded

CLIPS = "clips"


@dataclasses.dataclass(kw_only=True)
class ClipsConfig(tfds.core.BuilderConfig):
  """The clips of a dataset."""

  # The manifest. The media are beside it.
  source: Path
  unseen: tuple[str, ...]  # names of identities that are in no split but `unseen`


def config(source: str, unseen: Sequence[str]) -> ClipsConfig:
  """Returns a config whose name depends on the manifest, as TFDS identifies datasets by name.

  The source is a folder that `prepare clips` wrote, or a manifest in it. For a folder, the clips
  that `prepare curate` kept are used, if there are any. Unseen identities are in no split but
  `unseen`.

  Raises:
    UserError: The manifest cannot be read.
  """
  path = expanded(source).resolve()
  if path.is_dir():
    curated = path / manifest.CURATED
    path = curated if curated.exists() else path / manifest.MANIFEST
  try:
    content = path.read_bytes()
  except OSError as error:
    raise UserError(
      f"dataset.source {source}: no clips that can be read ({error.strerror}); expected the --out "
      "of python -m data_builders.prepare clips."
    ) from error
  without = sorted(set(unseen))
  digest = hashlib.sha256(content + json.dumps(without).encode()).hexdigest()
  return ClipsConfig(name=f"{CLIPS}_{digest[:8]}", source=path, unseen=tuple(without))


def clips_of_splits(chosen: ClipsConfig) -> tuple[list[str], dict[str, list[tuple[int, Clip]]]]:
  """Returns the identities to learn, in the order of labels, and each split's (unit, clip) pairs.

  Units are videos, see `splits.divide`.

  Raises:
    UserError: The manifest cannot be read or has a clip twice, or unseen identities do not exist or
      leave fewer than two others.
  """
  clips = manifest.read(chosen.source)
  twice = [clip for clip, count in Counter(clip.id for clip in clips).items() if count > 1]
  if twice:
    raise UserError(f"{chosen.source}: has the clip {twice[0]!r} twice; remove one of the lines.")
  everyone = sorted({clip.identity for clip in clips})
  learned = splits.learned(everyone, chosen.unseen, str(chosen.source))
  known = [clip for clip in clips if clip.identity in learned]
  unseen = [clip for clip in clips if clip.identity not in learned]
  found: dict[str, list[tuple[int, Clip]]] = collections.defaultdict(list)
  items = [splits.Item(clip.identity, clip.source, clip.video, clip.time) for clip in known]
  for clip, place in zip(known, splits.divide(items), strict=True):
    if place:
      found[place[0]].append((place[1], clip))
  sources = sorted({clip.source for clip in unseen})
  found[schema.UNSEEN] = [(sources.index(clip.source), clip) for clip in unseen]
  order = (*splits.SHARES, schema.UNSEEN)
  return learned, {split: found[split] for split in order if found[split]}


class Builder(PairsBuilder):
  """Builds records from the files that `prepare clips` wrote, see `schema.py`."""

  VERSION = tfds.core.Version("1.2.0")
  RELEASE_NOTES = {
    "1.1.0": "Unseen identities have labels, after all others.",
    "1.2.0": "Identities with a single video are split by time; speech of up to 4 s.",
  }

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
    sources: dict[str, set[str]] = {identity: set() for identity in learned}
    for split in splits.SHARES:
      for _, clip in by_split.get(split, ()):
        sources[clip.identity].add(clip.source)
    splits.warn_of_single_units(sources)
    self.info.features[schema.IDENTITY].names = [*learned, *self.builder_config.unseen]
    return {split: self._generate_examples(split, found) for split, found in by_split.items()}

  def _generate_examples(
    self, split: str, found: Sequence[tuple[int, Clip]]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields records; raises UserError where media are not as `prepare clips` wrote them."""
    folder = self.builder_config.source.parent
    for unit, clip in tqdm.tqdm(found, f"Packing {split} clips", unit=" clips"):
      try:
        face = (folder / clip.face).read_bytes()
      except OSError as error:
        raise UserError(
          f"{folder / clip.face}: a face that cannot be read ({error.strerror})."
        ) from error
      speech = audio.read(folder / clip.speech)
      if len(speech) > schema.CLIP_SAMPLES:
        raise UserError(
          f"{folder / clip.speech}: {len(speech):,} samples; expected at most "
          f"{schema.CLIP_SAMPLES:,}."
        )
      instant = len(speech) // 2
      offset = schema.CLIP_SAMPLES // 2 - instant
      yield record(clip.id, face, speech, clip.identity, unit, offset, instant)
