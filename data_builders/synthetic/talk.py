"""The movements of a speaker's face during speech."""

import numpy as np

from data_builders.synthetic.face.pose import Pose
from data_builders.synthetic.voice import FRAME_RATE, Utterance, wander

BLINK = ((-0.08, 0.0), (-0.02, 1.0), (0.02, 1.0), (0.14, 0.0))  # (seconds, fraction shut)


def mood(frames: int, rng: np.random.Generator) -> np.ndarray:
  """Returns a varying mood, about -1 to 1: float32 [F] at voice.FRAME_RATE."""
  level = rng.uniform(-0.8, 0.8)
  return np.clip(level + 0.2 * wander(rng, frames, 0.8), -1, 1).astype(np.float32)


def poses(said: Utterance, times: np.ndarray, rng: np.random.Generator) -> list[Pose]:
  """Returns the poses of a face at given times of an utterance, float [N], in seconds.

  Lips and jaw follow the sounds, and the smile follows the mood. Stress raises the brows and makes
  the head nod. Head and gaze drift, and the eyes blink every few seconds, by `rng`.
  """
  frames = len(said.opening)
  seconds = np.arange(frames) / FRAME_RATE

  def drift(deviation, tau, limit):
    return np.clip(deviation * wander(rng, frames, tau), -limit, limit)

  smile = 0.2 + 0.6 * said.mood + drift(0.04, 1.0, 0.1)
  tracks = {
    "opening": np.clip(said.opening, 0, 1),
    "spread": said.spread,
    "smile": np.clip(smile, -0.3, 0.9),
    "brow": np.clip(0.5 * said.stress + 0.25 * said.mood + drift(0.15, 0.5, 0.4), -0.4, 1),
    "blink": _blinks(seconds, rng),
    "gaze_x": drift(0.3, 0.4, 0.8),
    "gaze_y": drift(0.12, 0.4, 0.5),
    "yaw": rng.normal(0, 0.06) + drift(0.07, 0.5, 0.2),
    "pitch": drift(0.04, 0.4, 0.1) + 0.03 * said.stress,
    "roll": drift(0.03, 0.6, 0.09),
  }
  at = {name: np.interp(times, seconds, track) for name, track in tracks.items()}
  return [Pose(**{name: float(at[name][i]) for name in at}) for i in range(len(times))]


def _blinks(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Returns how far the eyes are shut, 0 to 1, at each of the times."""
  shut = np.zeros(len(seconds))
  blink_times, blink_depths = zip(*BLINK, strict=True)
  instant = rng.uniform(-3, 3)
  while instant < seconds[-1] + 1:
    shut = np.maximum(shut, np.interp(seconds - instant, blink_times, blink_depths))
    instant += rng.uniform(1.8, 4.5)
  return shut
