"""Makes clips of synthetic speakers: 4 s of speech, and the face in the middle of it."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from data_builders.synthetic import talk, voice
from data_builders.synthetic.face.head import MIDDLE, SIDE, Head, View
from data_builders.synthetic.face.pose import Pose, random_scene
from data_builders.synthetic.identity import Person
from data_builders.synthetic.voice import Utterance
from wav2pix_jax.common import schema
from wav2pix_jax.common.workers import workers

OVERSAMPLING = 1.15  # pixels of the canvas per pixel of the picture
CHUNK = 20  # number of clips that a worker makes at a time
AGAIN = 1_000_000  # added to a clip's number: another picture of it


@dataclasses.dataclass(frozen=True)
class SyntheticClip:
  """A face and the speech around it."""

  number: int  # number of the clip among those of its person
  face: np.ndarray  # the face in the middle of the speech, uint8 [S, S, 3]
  speech: np.ndarray  # the speech, int16 [schema.CLIP_SAMPLES]
  pose: Pose  # the expression of the face


@dataclasses.dataclass(frozen=True)
class SyntheticFilm:
  """A face that speaks."""

  frames: np.ndarray  # the face at each time, uint8 [F, S, S, 3]
  poses: list[Pose]  # its pose in each
  speech: np.ndarray  # the speech, int16 [T] at 16 kHz


def make_film(
  person: Person, number: int, size: int, seed: int, seconds: float, fps: float
) -> SyntheticFilm:
  """Returns a film with faces of `size` pixels, which depends on the arguments alone.

  The face is framed as in a clip. Films and clips of one seed say different things if their numbers
  differ.
  """
  rng = np.random.default_rng([seed, person.seed, number])
  frames = math.ceil(seconds * voice.FRAME_RATE)
  said = voice.speak(person.voice, talk.mood(frames, rng), rng)
  poses = talk.poses(said, np.arange(math.ceil(seconds * fps)) / fps, rng)
  view = _view(size, rng)
  head, scene = head_of(person, OVERSAMPLING * size / SIDE), random_scene(rng)
  pictures = [head.render(pose, scene, view, rng) for pose in poses]
  speech = voice.record(said.samples, person.microphone, rng)
  return SyntheticFilm(np.stack(pictures), poses, speech)


def random_expressions(person: Person, count: int, size: int) -> tuple[np.ndarray, list[Pose]]:
  """Returns faces with random expressions, uint8 [count, size, size, 3], and their poses.

  All parts of an expression are independent, as they are not in speech.
  """
  rng = np.random.default_rng([person.seed, count])
  faces, poses = [], []
  head = head_of(person, OVERSAMPLING * size / SIDE)
  for _ in range(count):
    pose = Pose(
      opening=rng.uniform(0, 1),
      spread=rng.uniform(-1, 1),
      smile=rng.uniform(-0.3, 0.9),
      brow=rng.uniform(-0.4, 1),
      blink=float(rng.random() < 0.1),
      gaze_x=rng.uniform(-0.8, 0.8),
      gaze_y=rng.uniform(-0.5, 0.5),
      yaw=rng.uniform(-0.2, 0.2),
      pitch=rng.uniform(-0.1, 0.1),
      roll=rng.uniform(-0.09, 0.09),
    )
    faces.append(head.render(pose, random_scene(rng), _view(size, rng), rng))
    poses.append(pose)
  return np.stack(faces), poses


def make_clip(person: Person, number: int, size: int, seed: int) -> SyntheticClip:
  """Returns a clip with a face of `size` pixels, which depends on the arguments alone.

  Each number of a person has its own utterance, room, shirt and light.
  """
  said, pose, rng = say(person, number, seed)
  view = _view(size, rng)
  head = head_of(person, OVERSAMPLING * size / SIDE)
  face = head.render(pose, random_scene(rng), view, rng)
  return SyntheticClip(number, face, voice.record(said.samples, person.microphone, rng), pose)


def make_again(person: Person, clip: SyntheticClip, size: int, seed: int) -> np.ndarray:
  """Returns another picture of what is seen of a clip's speech, uint8 [size, size, 3].

  The mouth does the same, for the same smile; head, eyes, brows, light and background are those of
  another picture. So it shows how much of a face can be known from the speech.
  """
  _, pose, rng = say(person, AGAIN + clip.number, seed)
  mouth = {part: getattr(clip.pose, part) for part in ("opening", "spread", "smile")}
  head = head_of(person, OVERSAMPLING * size / SIDE)
  return head.render(dataclasses.replace(pose, **mouth), random_scene(rng), _view(size, rng), rng)


def _view(size: int, rng: np.random.Generator) -> View:
  """Returns a view of a face that fills a picture of `size` pixels."""
  scale = size / SIDE * rng.uniform(0.94, 1.06)
  x, y = size / 2 + size * rng.uniform(-0.023, 0.023, 2)
  return View(size, size, scale, x, y - MIDDLE * scale)


def say(person: Person, number: int, seed: int) -> tuple[Utterance, Pose, np.random.Generator]:
  """Returns a clip's utterance, the pose in its middle, and the generator of the rest of it."""
  rng = np.random.default_rng([seed, person.seed, number])
  frames = schema.CLIP_SAMPLES // voice.FRAME
  said = voice.speak(person.voice, talk.mood(frames, rng), rng)
  (pose,) = talk.poses(said, np.array([schema.CLIP_SECONDS / 2]), rng)
  return said, pose, rng


def make_clips(
  wanted: Sequence[tuple[Person, int]], size: int, seed: int
) -> Iterator[tuple[Person, SyntheticClip]]:
  """Yields clips, given by person and number, in order, from one process per core.

  `size` and `seed` are those of `make_clip`.
  """
  speakers, numbers = [person for person, _ in wanted], [number for _, number in wanted]
  work = functools.partial(make_clip, size=size, seed=seed)
  with workers(math.ceil(len(wanted) / CHUNK)) as pool:
    yield from zip(speakers, pool.map(work, speakers, numbers, chunksize=CHUNK), strict=True)


@functools.lru_cache(maxsize=4)
def head_of(person: Person, scale: float) -> Head:
  """Returns a person's head, which is cached for the next clips."""
  return Head(person, scale)
