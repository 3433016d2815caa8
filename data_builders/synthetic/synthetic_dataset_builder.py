"""TFDS builder of the synthetic speakers: array_record, no TensorFlow, no download."""

import dataclasses
import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds
import tqdm

from data_builders import splits
from data_builders.builder import PairsBuilder
from data_builders.synthetic import clips
from data_builders.synthetic.identity import Person, people
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.errors import UserError

SYNTHETIC = "synthetic"
_LEAST = {"identities": 2, "clips_per_identity": 3, "face_pixels": 16, "seed": 0}


@dataclasses.dataclass(kw_only=True)
class SyntheticConfig(tfds.core.BuilderConfig):
  """How many people and clips of them.

  Attributes:
    identities: people; the first ten are always the same.
    clips_per_identity: of each.
    face_pixels: side of a face.
    seed: of what they say, and of people beyond the ten.
    unseen: people that are in no split but `unseen`.
  """

  identities: int
  clips_per_identity: int
  face_pixels: int
  seed: int
  unseen: tuple[str, ...] = ()


def config(
  identities: int,
  clips_per_identity: int,
  face_pixels: int,
  seed: int,
  unseen: Sequence[str] = (),
) -> SyntheticConfig:
  """A config under a name that says all of it: TFDS tells datasets apart by name.

  Raises:
    UserError: unseen people who are not there, or leave fewer than two to learn.
  """
  without = sorted(set(unseen))
  _learned(people(identities, seed), without)
  name = f"{SYNTHETIC}_{identities}x{clips_per_identity}_{face_pixels}px_s{seed}"
  if without:  # names may be many, and a folder's name is not to be long
    name += f"_unseen_{hashlib.sha256(' '.join(without).encode()).hexdigest()[:8]}"
  return SyntheticConfig(
    name=name,
    description="Drawn faces that talk with made-up voices.",
    identities=identities,
    clips_per_identity=clips_per_identity,
    face_pixels=face_pixels,
    seed=seed,
    unseen=tuple(without),
  )


def _learned(everyone: Sequence[Person], unseen: Sequence[str]) -> list[str]:
  return splits.learned([person.name for person in everyone], unseen, SYNTHETIC)


class Builder(PairsBuilder):
  """Faces as JPEG 95 4:4:4 and the 4 s of speech around them. See `schema.py`.

  Every clip is an utterance of its own, and the splits are of utterances, by the rule of
  `splits.py`.
  """

  # to be raised with every change of faces or voices: TFDS takes what it finds under it
  VERSION = tfds.core.Version("1.1.0")
  RELEASE_NOTES = {"1.1.0": "A microphone of each person's own."}
  BUILDER_CONFIGS = [config(10, 200, 128, 0), config(4, 10, 32, 0)]

  @classmethod
  def check(cls, dataset: Any, image_size: int | None) -> None:
    """See the base class."""
    if dataset.source:
      raise UserError(
        f"dataset.source is {dataset.source!r}, but synthetic speakers have no source; for the "
        "published faces use --config=configs/youtubers.py."
      )
    for field, least in _LEAST.items():
      if dataset.synthetic[field] < least:
        raise UserError(
          f"dataset.synthetic.{field} is {dataset.synthetic[field]}; it must be at least {least}."
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
    return {person.name: person.gender for person in people(chosen.identities, chosen.seed)}

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    del dl_manager
    chosen = self.builder_config
    found = people(chosen.identities, chosen.seed)
    learned = _learned(found, chosen.unseen)
    self.info.features[schema.IDENTITY].names = [*learned, *chosen.unseen]
    return {
      split: self._generate_examples(split, [(found[i], number) for i, number in members])
      for split, members in clips_of_splits(chosen).items()
    }

  def _generate_examples(
    self, split: str, wanted: list[tuple[Person, int]]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Records as `schema.py` says."""
    chosen = self.builder_config
    label = self.info.features[schema.IDENTITY].str2int
    made = clips.make_clips(wanted, chosen.face_pixels, chosen.seed)
    title = f"Drawing and voicing {split} clips"
    for person, clip in tqdm.tqdm(made, title, len(wanted), unit=" clips"):
      key = f"{person.name}/{clip.number}"
      yield (
        key,
        {
          schema.ID: key,
          schema.FACE: io.BytesIO(images.encode_jpeg(clip.face)),
          schema.SPEECH: clip.speech,
          schema.IDENTITY: person.name,
          schema.OFFSET: 0,
          schema.INSTANT: schema.CLIP_SAMPLES // 2,
          schema.INSTANT_ERROR: 0,
          schema.UNIT: label(person.name) * chosen.clips_per_identity + clip.number,
        },
      )


def clips_of_splits(chosen: SyntheticConfig) -> dict[str, list[tuple[int, int]]]:
  """Which clips each split has, as the person's index and the clip's number."""
  per_person = chosen.clips_per_identity
  names = [person.name for person in people(chosen.identities, chosen.seed)]
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
