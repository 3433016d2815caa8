"""Writes videos of synthetic speakers, H.264 and AAC, with the ground truth beside them."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from data_builders.synthetic import talk, voice
from data_builders.synthetic.clips import head_of
from data_builders.synthetic.face.head import View
from data_builders.synthetic.face.pose import random_scene
from data_builders.synthetic.identity import Person
from wav2pix_jax.common import audio, movie
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import from_json, write_whole

WIDTH, HEIGHT = 640, 480  # pixels
FINEST = 105  # largest scale of a head, pixels per unit
VARIABLE = "variable"


def frame_times(rate: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
  """Returns the presentation time of each frame: float64 [N], seconds, from 0 up to `seconds`.

  The rate is in frames per second, such as "25" or "30000/1001", or "variable" for 12 to 40 by
  `rng`.

  Raises:
    ValueError: The rate is not one of these.
  """
  if rate == VARIABLE:
    steps = rng.uniform(1 / 40, 1 / 12, int(40 * seconds))
    times = np.concatenate([[0.0], np.cumsum(steps)])
    return times[times < seconds]
  per_second = Fraction(rate)
  return np.arange(math.ceil(Fraction(seconds) * per_second)) / float(per_second)


def path_of(out: Path, person: Person, number: int) -> Path:
  """Returns the path of a person's video."""
  return out / person.name / f"{number:03d}.mp4"


def is_written(path: Path, seconds: float, rate: str) -> bool:
  """Returns whether a video exists; raises UserError if it was made with other settings."""
  if not path.exists():
    return False
  truth = path.with_suffix(".truth.json")
  try:
    made = from_json(truth.read_text())
    same = (made["seconds"], made["rate"]) == (seconds, rate)
  except (OSError, ValueError, KeyError, TypeError):
    same = False
  if not same:
    raise UserError(f"{path} was made with other --seconds or --fps; choose another --out.")
  return True


def write_speaker(person: Person, number: int, out: Path, seconds: float, rate: str) -> None:
  """Writes a person's video to `path_of`, with `.truth.json` and `.truth.wav` beside it.

  The truth consists of the presentation time of each frame (seconds), the box of the face in it
  (left, top, width and height, pixels), the opening of the mouth (0 to 1), and the speech before
  compression.

  Raises:
    UserError: The folder cannot be written.
  """
  rng = np.random.default_rng([person.seed, number])
  frames = int(np.ceil(seconds * voice.FRAME_RATE))
  said = voice.speak(person.voice, talk.mood(frames, rng), rng)
  speech = voice.record(said.samples, person.microphone, rng)
  times = np.round(frame_times(rate, seconds, rng) * movie.CLOCK) / movie.CLOCK
  poses = talk.poses(said, times, rng)
  scene = random_scene(rng)
  scale = rng.uniform(0.65, 1.0) * FINEST
  view = View(
    WIDTH, HEIGHT, scale, WIDTH * rng.uniform(0.42, 0.58), HEIGHT * rng.uniform(0.44, 0.5)
  )
  head = head_of(person, FINEST)
  path = path_of(out, person, number)
  truth = {
    "seconds": seconds,
    "rate": rate,
    "times": times.tolist(),
    "boxes": [head.box(pose, view) for pose in poses],
    "opening": [round(pose.opening, 4) for pose in poses],
  }
  write_whole(path.with_suffix(".truth.json"), json.dumps(truth))
  audio.write_wav(path.with_suffix(".truth.wav"), speech)
  pictures = (head.render(pose, scene, view, rng) for pose in poses)
  movie.write_mp4(path, pictures, times, speech)
