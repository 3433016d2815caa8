"""TFDS builder of the synthetic speakers: array_record, no TensorFlow, no download."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds
import tqdm

from data_builders import splits
from data_builders.builder import PairsBuilder, record
from data_builders.synthetic import clips
from data_builders.synthetic.identity import Person, people
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.errors import UserError

SYNTHETIC = "synthetic"
_LEAST = {"identities": 2, "clips_per_identity": 3, "face_pixels": 16, "seed": 0}


@dataclasses.dataclass(kw_only=True)
class SyntheticConfig(tfds.core.BuilderConfig):
  """The size and seed of a dataset of synthetic speakers."""

  # Number of speakers. The first ten are always the same.
  identities: int
  clips_per_identity: int  # number of clips per speaker
  face_pixels: int  # side of a face, pixels
  seed: int  # seed of the clips, and of the speakers beyond the ten
  share: float = 0.0  # correlation of face and voice in size and age, see `random_identity`
  unseen: tuple[str, ...] = ()  # names of speakers that are in no split but `unseen`

  def people(self) -> list[Person]:
    """Returns all speakers."""
    return people(self.identities, self.seed, self.share)


def config(
  identities: int,
  clips_per_identity: int,
  face_pixels: int,
  seed: int,
  share: float = 0.0,
  unseen: Sequence[str] = (),
) -> SyntheticConfig:
  """Returns a config whose name contains all of its fields, as TFDS identifies datasets by name.

  Raises:
    UserError: Unseen speakers do not exist, or leave fewer than two others.
  """
  without = sorted(set(unseen))
  _learned(people(identities, seed), without)
  name = f"{SYNTHETIC}_{identities}x{clips_per_identity}_{face_pixels}px_s{seed}"
  if share:
    name += f"_share_{share:g}"
  if without:  # a digest, as the name of a folder must not be long
    name += f"_unseen_{hashlib.sha256(' '.join(without).encode()).hexdigest()[:8]}"
  return SyntheticConfig(
    name=name,
    description="Rendered faces that talk with synthesised voices.",
    identities=identities,
    clips_per_identity=clips_per_identity,
    face_pixels=face_pixels,
    seed=seed,
    share=share,
    unseen=tuple(without),
  )


def _learned(everyone: Sequence[Person], unseen: Sequence[str]) -> list[str]:
  return splits.learned([person.name for person in everyone], unseen, SYNTHETIC)


class Builder(PairsBuilder):
  """Builds faces as JPEG 95 4:4:4 with the 4 s of speech around them, see `schema.py`.

  Every clip is a different utterance, and utterances are the units of the splits, see `splits.py`.
  """

  # Raise this with every change of faces or voices: TFDS reuses a dataset of the same version.
  VERSION = tfds.core.Version("1.1.0")
  RELEASE_NOTES = {"1.1.0": "Each speaker has a microphone of their own."}
  BUILDER_CONFIGS = [config(10, 200, 128, 0), config(4, 10, 32, 0)]

  @classmethod
  def check(cls, dataset: Any, image_size: int | None) -> None:
    """See the base class."""
    if dataset.source:
      raise UserError(
        f"dataset.source is {dataset.source!r}, but synthetic speakers have no source; for the "
        "published faces use --config=youtubers."
      )
    for field, least in _LEAST.items():
      if dataset.synthetic[field] < least:
        raise UserError(
          f"dataset.synthetic.{field} is {dataset.synthetic[field]}; it must be at least {least}."
        )
    if not 0 <= dataset.synthetic.share <= 1:
      raise UserError(
        f"dataset.synthetic.share is {dataset.synthetic.share}; it must be from 0 to 1."
      )
    pixels = dataset.synthetic.face_pixels
    if image_size and image_size > pixels:
      raise UserError(
        f"image_size is {image_size}, but synthetic faces are rendered with {pixels} pixels; set "
        f"--config.dataset.synthetic.face_pixels={image_size}."
      )

  @classmethod
  def config(cls, dataset: Any) -> SyntheticConfig:
    """See the base class."""
    return config(**dataset.synthetic, unseen=dataset.unseen)

  @classmethod
  def size(cls, dataset: Any) -> tuple[int, int]:
    """See the base class."""
    drawn = clips_of_splits(cls.config(dataset))
    return dataset.synthetic.identities - len(set(dataset.unseen)), len(drawn[schema.TRAIN])

  def genders(self) -> dict[str, str]:
    """See the base class."""
    chosen = self.builder_config
    return {person.name: person.gender for person in chosen.people()}

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    del dl_manager
    chosen = self.builder_config
    found = chosen.people()
    learned = _learned(found, chosen.unseen)
    self.info.features[schema.IDENTITY].names = [*learned, *chosen.unseen]
    return {
      split: self._generate_examples(split, [(found[i], number) for i, number in members])
      for split, members in clips_of_splits(chosen).items()
    }

  def _generate_examples(
    self, split: str, wanted: list[tuple[Person, int]]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields records, see `schema.py`."""
    chosen = self.builder_config
    label = self.info.features[schema.IDENTITY].str2int
    made = clips.make_clips(wanted, chosen.face_pixels, chosen.seed)
    title = f"Making {split} clips"
    for person, clip in tqdm.tqdm(made, title, len(wanted), unit=" clips"):
      unit = label(person.name) * chosen.clips_per_identity + clip.number
      face = images.encode_jpeg(clip.face)
      yield record(f"{person.name}/{clip.number}", face, clip.speech, person.name, unit)


def clips_of_splits(chosen: SyntheticConfig) -> dict[str, list[tuple[int, int]]]:
  """Returns the clips of each split, each as the speaker's index and the clip's number."""
  per_person = chosen.clips_per_identity
  names = [person.name for person in chosen.people()]
  units = {
    name: dict.fromkeys(range(i * per_person, (i + 1) * per_person), 1)
    for i, name in enumerate(names)
  }
  unseen = [unit for name in chosen.unseen for unit in units.pop(name)]
  split_of = splits.assign(units) | dict.fromkeys(unseen, schema.UNSEEN)
  return {
    split: [divmod(unit, per_person) for unit in split_of if split_of[unit] == split]
    for split in (*splits.SHARES, schema.UNSEEN)
    if split in split_of.values()
  }
