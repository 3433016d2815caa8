"""TFDS builder of the published Youtubers pairs, without TensorFlow.

`released` has every published pair, a face and 1 s of speech, in the published splits, whose
speech overlaps. `clean` has every distinct face once, with up to 4 s of the speech around it, in
the splits `train`, `validation` and `test`, which share no sample.
"""

import collections
import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_builders import splits
from data_builders.builder import PairsBuilder, record
from data_builders.youtubers import recovery, release_files
from data_builders.youtubers.recovery import RecoveredClip
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import expanded

COMMIT = "d801b41e87f27207a65402bae5d398010a9d9abc"
URL = f"https://github.com/imatge-upc/wav2pix/archive/{COMMIT}.zip"
RELEASED = "released"
CLEAN = "clean"


@dataclasses.dataclass(kw_only=True)
class YoutubersConfig(tfds.core.BuilderConfig):
  """The source and variant of the dataset."""

  source: str = ""  # a folder, `.zip` or `.tar.*` of the release; empty to download it
  leak_free: bool = False  # whether this is `clean` rather than `released`
  identities: int = 2  # number of identities in the published archive
  # Number of training records in the published archive, approximate for `clean`.
  train_records: int = 0


def config(name: str, source: str) -> YoutubersConfig:
  """Returns the config `RELEASED` or `CLEAN` of a source, "" to download it.

  Its name depends on the content of the source, as TFDS identifies datasets by name.

  Raises:
    UserError: The source cannot be read.
  """
  if not source:
    return next(c for c in Builder.BUILDER_CONFIGS if c.name == name)
  path = expanded(source).resolve()
  digest = release_files.digest(path)
  return YoutubersConfig(name=f"{name}_{digest[:8]}", source=str(path), leak_free=name == CLEAN)


class Builder(PairsBuilder):
  """Builds faces in RGB as JPEG 95 4:4:4, and speech as recorded, see `schema.py`."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First version."}
  BUILDER_CONFIGS = [
    YoutubersConfig(
      name=RELEASED,
      train_records=5_545,
      description="Every published pair, in the published splits.",
    ),
    YoutubersConfig(
      name=CLEAN,
      leak_free=True,
      train_records=986,  # four fifths of the 1,232 faces
      description="Every distinct face with the speech around it, in splits that share no sound.",
    ),
  ]

  DOWNLOADS = True
  HOMEPAGE = "https://github.com/imatge-upc/wav2pix"

  @classmethod
  def check(cls, dataset: Any, image_size: int | None) -> None:
    """See the base class."""
    if dataset.unseen:
      raise UserError(
        f"dataset.unseen is {tuple(dataset.unseen)!r}, but there are only two published speakers, "
        "and both are needed to tell them apart."
      )

  @classmethod
  def config(cls, dataset: Any) -> YoutubersConfig:
    """See the base class."""
    return config(dataset.name, dataset.source)

  @classmethod
  def size(cls, dataset: Any) -> tuple[int, int]:
    """See the base class; the numbers are those of the published archive, whatever the source."""
    published = config(dataset.name, "")
    return published.identities, published.train_records

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    source = self.builder_config.source or dl_manager.download(URL)
    pairs = release_files.read_pairs(Path(source))
    self.info.features[schema.IDENTITY].names = sorted({pair.identity for pair in pairs})
    by_split = _leak_free(pairs) if self.builder_config.leak_free else recovery.as_published(pairs)
    return {split: self._generate_examples(found) for split, found in by_split.items()}

  def _generate_examples(
    self, found: Sequence[RecoveredClip]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields records, see `schema.py`."""
    for clip in found:
      pair = clip.pair
      yield record(
        f"{pair.split}/{pair.identity}/{pair.number}",
        _rgb_jpeg(pair.face),
        clip.speech,
        pair.identity,
        clip.unit,
        clip.offset,
        clip.instant,
        clip.instant_error,
      )


def _leak_free(pairs: Sequence[release_files.Pair]) -> dict[str, list[RecoveredClip]]:
  """Returns the clips of each split. Audio groups are the units of the splits, see `splits.py`."""
  print(f"Finding which of {len(pairs):,} published chunks overlap ...")
  recovered = recovery.recover(pairs)
  found = recovered.clips
  units: dict[str, Counter[int]] = collections.defaultdict(Counter)
  for clip in found:
    units[clip.pair.identity][clip.unit] += 1
  split_of = splits.assign(units)
  print(
    f"{len(pairs):,} published chunks show {len(found):,} faces in {len(split_of)} audio groups "
    f"with {recovered.seconds:,.0f} s of distinct sound; {recovered.leaking:.1%} of the published "
    "test chunks share sound with training chunks."
  )
  by_split = {split: [c for c in found if split_of[c.unit] == split] for split in splits.SHARES}
  return {split: clips_of_split for split, clips_of_split in by_split.items() if clips_of_split}


@functools.lru_cache(maxsize=16)  # neighbouring pairs show the same face
def _rgb_jpeg(face: bytes) -> bytes:
  """Returns a published image, with channels in BGR order, as RGB JPEG; or raises UserError."""
  try:
    return images.encode_jpeg(images.decode(face)[..., ::-1])
  except OSError as error:
    raise UserError(f"a published face cannot be read as an image ({error}).") from error
