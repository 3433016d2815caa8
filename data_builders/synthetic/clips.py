"""Clips of synthetic speakers: a face, and the 4 s of speech in whose middle it was seen."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from data_builders.synthetic import talk, voice
from data_builders.synthetic.face.head import MIDDLE, SIDE, Head, View
from data_builders.synthetic.face.pose import Pose, random_scene
from data_builders.synthetic.identity import Person
from data_builders.synthetic.voice import Utterance
from data_builders.workers import workers
from wav2pix_jax.common import schema

OVERSAMPLING = 1.15  # pixels of the canvas for one of the picture
CHUNK = 20  # clips that a worker makes before it hands them over


@dataclasses.dataclass(frozen=True)
class SyntheticClip:
  """A face and the speech around it.

  Attributes:
    number: of this clip among its person's.
    face: uint8 [S, S, 3].
    speech: int16 [schema.CLIP_SAMPLES]; the face is from its middle.
    pose: what the face does.
  """

  number: int
  face: np.ndarray
  speech: np.ndarray
  pose: Pose


def make_clip(person: Person, number: int, size: int, seed: int) -> SyntheticClip:
  """The same clip for the same arguments: another utterance, room, shirt and light for each number.

  Args:
    person: who.
    number: which.
    size: side of the face's picture, pixels.
    seed: of the dataset.
  """
  said, pose, rng = say(person, number, seed)
  scale = size / SIDE * rng.uniform(0.94, 1.06)
  x, y = size / 2 + size * rng.uniform(-0.023, 0.023, 2)
  view = View(size, size, scale, x, y - MIDDLE * scale)
  head = head_of(person, OVERSAMPLING * size / SIDE)
  face = head.render(pose, random_scene(rng), view, rng)
  return SyntheticClip(number, face, voice.record(said.samples, person.microphone, rng), pose)


def say(person: Person, number: int, seed: int) -> tuple[Utterance, Pose, np.random.Generator]:
  """What is said in a clip, the face in its middle, and the generator of all the rest of it."""
  rng = np.random.default_rng([seed, person.seed, number])
  frames = schema.CLIP_SAMPLES // voice.FRAME
  said = voice.speak(person.voice, talk.mood(frames, rng), rng)
  (pose,) = talk.poses(said, np.array([schema.CLIP_SECONDS / 2]), rng)
  return said, pose, rng


def make_clips(
  wanted: Sequence[tuple[Person, int]], size: int, seed: int
) -> Iterator[tuple[Person, SyntheticClip]]:
  """Clips in the order wanted, made by as many processes as there are cores.

  Args:
    wanted: person and number of each.
    size: as in `make_clip`.
    seed: as in `make_clip`.
  """
  chunks = [wanted[i : i + CHUNK] for i in range(0, len(wanted), CHUNK)]
  work = functools.partial(_make_chunk, size=size, seed=seed)
  with workers(len(chunks)) as pool:
    for chunk, clips in zip(chunks, pool.map(work, chunks), strict=True):
      yield from zip((person for person, _ in chunk), clips, strict=True)


@functools.lru_cache(maxsize=4)
def head_of(person: Person, scale: float) -> Head:
  """A person's head, kept for the next clips."""
  return Head(person, scale)


def _make_chunk(chunk: Sequence[tuple[Person, int]], size: int, seed: int) -> list[SyntheticClip]:
  return [make_clip(person, number, size, seed) for person, number in chunk]
