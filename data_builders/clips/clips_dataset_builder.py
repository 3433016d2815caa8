"""TFDS builder of clips that were cut from videos, without TensorFlow."""

import collections
import dataclasses
import hashlib
import json
import sys
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

  Units are videos, numbered in order of their names. `splits.py` assigns them to splits. The clips
  of an identity with a single video are split by time, see `splits.by_time`.

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
  unit_of = {source: unit for unit, source in enumerate(sorted({clip.source for clip in clips}))}
  units: dict[str, Counter[int]] = {identity: Counter() for identity in learned}
  for clip in clips:
    if clip.identity in units:
      units[clip.identity][unit_of[clip.source]] += 1
  split_of = splits.assign(units)
  single = {identity for identity, sizes in units.items() if len(sizes) == 1}
  found: dict[str, list[tuple[int, Clip]]] = collections.defaultdict(list)
  for clip in clips:
    if clip.identity not in single:
      unit = unit_of[clip.source]
      found[split_of.get(unit, schema.UNSEEN)].append((unit, clip))
  for identity in sorted(single):
    own = [clip for clip in clips if clip.identity == identity]
    parts = splits.by_time([(clip.video, clip.time) for clip in own], schema.CLIP_SECONDS)
    for split, part in parts.items():
      unit = unit_of[own[0].source] + len(unit_of) * list(splits.SHARES).index(split)
      found[split] += [(unit, own[i]) for i in part]
  order = (*splits.SHARES, schema.UNSEEN)
  return learned, {split: found[split] for split in order if split in found}


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
    _warn_of_single_videos(learned, by_split)
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


def _warn_of_single_videos(
  learned: Sequence[str], by_split: dict[str, list[tuple[int, Clip]]]
) -> None:
  """Says whose splits share a video."""
  sources: dict[str, set[str]] = collections.defaultdict(set)
  for split in splits.SHARES:
    for _, clip in by_split.get(split, ()):
      sources[clip.identity].add(clip.source)
  single = [identity for identity in learned if len(sources[identity]) == 1]
  if single:
    print(
      f"warning: of {', '.join(single)} there is one video only, which is split by time, with gaps "
      "of the length of a clip. Recording and clothes are the same in all splits, so figures "
      "flatter; give each identity three videos.",
      file=sys.stderr,
    )
