"""Draws a mouth: lips between two outer and two inner curves, and teeth and tongue behind them."""

import dataclasses

import numpy as np

from data_builders.synthetic.face.canvas import Canvas, Part, blend, linear, shade, smoothstep
from data_builders.synthetic.face.pose import Pose
from data_builders.synthetic.identity import Face

JAW_DROP = 0.17  # distance by which the chin drops at an opening of 1
DARK = np.array([0.055, 0.012, 0.012], np.float32)
TONGUE = np.array([0.24, 0.056, 0.056], np.float32)
UPPER_TEETH = np.array([1.0, 0.95, 0.86], np.float32)
LOWER_TEETH = np.array([0.75, 0.70, 0.62], np.float32)


@dataclasses.dataclass(frozen=True)
class Mouth:
  """The geometry of a mouth in one expression. All arrays are [h, w] of `part`."""

  part: Part  # pixels of the canvas
  x: np.ndarray
  y: np.ndarray
  half_width: float
  t: np.ndarray  # x / half_width
  middle: np.ndarray  # height of the line between closed lips
  upper: np.ndarray  # height of the upper lip's inner edge
  lower: np.ndarray  # height of the lower lip's inner edge
  in_upper: np.ndarray  # from 0 at the upper lip's outer edge to 1 at its inner edge
  in_lower: np.ndarray  # from 0 at the lower lip's inner edge to 1 at its outer edge
  lips: np.ndarray  # opacity of both lips
  gap: np.ndarray  # opacity of the gap between them


def mouth_of(canvas: Canvas, face: Face, pose: Pose) -> Mouth:
  """Returns the geometry of a mouth in an expression."""
  part = canvas.part(0, face.mouth_y + 0.12, 0.62, 0.62)
  x, y = canvas.x[part], canvas.y[part]
  smile, opening = max(pose.smile, 0.0), pose.opening
  half_width = face.mouth_width * (1 + 0.18 * pose.spread + 0.16 * smile) * (1 - 0.10 * opening)
  t = x / half_width
  arch = np.clip(1 - t * t, 0, 1)
  within = np.abs(t) < 1
  # the corners are a little up at rest; otherwise, the face looks sad
  lift = 0.10 * pose.smile + 0.012
  middle = face.mouth_y + 0.015 - lift * (np.minimum(t * t, 1.6) - 0.25)
  upper = middle - 0.05 * opening * arch - 0.004
  lower = middle + 0.29 * opening * arch**0.9 + 0.004
  cupid = 1 - 0.30 * np.exp(-((t / 0.16) ** 2))
  full = face.lip_fullness * (1 - 0.25 * smile + 0.15 * max(-pose.spread, 0))
  top = upper - 0.085 * full * cupid * arch**0.65
  bottom = lower + 0.125 * full * arch**0.75
  return Mouth(
    part=part,
    x=x,
    y=y,
    half_width=half_width,
    t=t,
    middle=middle,
    upper=upper,
    lower=lower,
    in_upper=np.clip((y - top) / (upper - top + 1e-4), 0, 1),
    in_lower=np.clip((y - lower) / (bottom - lower + 1e-4), 0, 1),
    lips=canvas.cover(top - y) * canvas.cover(y - bottom) * within,
    gap=canvas.cover(upper - y)
    * canvas.cover(y - lower)
    * within
    * smoothstep(0.01, 0.05, lower - upper),
  )


def raise_lips(relief: np.ndarray, mouth: Mouth, face: Face) -> None:
  """Adds lips, and the muscle around them, to a relief [H, W] in place."""
  rolls = 0.055 * np.sqrt(4 * mouth.in_upper * (1 - mouth.in_upper)) * (mouth.y < mouth.upper)
  rolls += 0.085 * np.sqrt(4 * mouth.in_lower * (1 - mouth.in_lower)) * (mouth.y > mouth.lower)
  muscle = (mouth.x / 0.4) ** 2 + ((mouth.y - face.mouth_y - 0.05) / 0.22) ** 2
  relief[mouth.part] += mouth.lips * rolls + 0.03 * np.exp(-0.5 * muscle)


def redden(albedo: np.ndarray, mouth: Mouth, face: Face, stubble: np.ndarray) -> None:
  """Colours the lips in an albedo [H, W, 3] in place."""
  light = 1 - 0.14 * (mouth.y < mouth.upper) + 0.05 * stubble[mouth.part]
  lips = linear(face.lips) * light[..., None]
  cover = mouth.lips * (0.80 + 0.2 * face.makeup)
  albedo[mouth.part] = blend(albedo[mouth.part], lips, cover)


def paint(colour: np.ndarray, canvas: Canvas, mouth: Mouth, face: Face, light: float) -> None:
  """Draws the shine of the lips, the line between them, teeth and tongue, in place."""
  shine = np.exp(-(((mouth.in_lower - 0.35) / 0.2) ** 2) - (mouth.t / 0.5) ** 2)
  shine *= mouth.lips * (mouth.y > mouth.lower) * (0.05 + 0.06 * face.makeup)
  closed = 1 - smoothstep(0.02, 0.06, mouth.lower - mouth.upper)
  line = np.exp(-(((mouth.y - mouth.middle) / 0.016) ** 2))
  line *= smoothstep(1.06, 0.85, np.abs(mouth.t)) * closed
  here = colour[mouth.part] + shine[..., None]
  shade(here, 0.75 * line)
  colour[mouth.part] = blend(here, _inside(canvas, mouth, light), mouth.gap)


def _inside(canvas: Canvas, mouth: Mouth, light: float) -> np.ndarray:
  """Returns the tongue and two rows of teeth in the dark: float32 [h, w, 3]."""
  gape = mouth.lower - mouth.upper
  dome = (mouth.x / (mouth.half_width * 0.62)) ** 2
  dome = dome + ((mouth.y - mouth.lower - 0.02) / (0.10 + 0.35 * gape)) ** 2
  tongue = smoothstep(0.1, 0.8, np.sqrt(np.clip(1 - dome, 0, 1)))
  inside = blend(np.broadcast_to(DARK, (*mouth.x.shape, 3)), TONGUE, 0.8 * tongue)

  across = np.abs(mouth.x) * 9.5  # number of teeth from the middle
  from_edge = np.abs(across % 1 - 0.5) * 2  # 0 in the middle of a tooth, 1 between two
  bright = (0.66 - 0.14 * mouth.t**2) * (1 - 0.30 * from_edge**6)
  length = np.minimum(0.085, 0.60 * gape) * (1 - 0.22 * from_edge**3) * (1 - 0.25 * mouth.t**2)
  down = np.clip((mouth.y - mouth.upper) / 0.085, 0, 1)
  teeth = canvas.cover(mouth.y - mouth.upper - length) * smoothstep(0.92, 0.70, np.abs(mouth.t))
  rounded = bright * (0.80 + 0.35 * np.sin(np.pi * (0.15 + 0.75 * down)))
  inside = blend(inside, rounded[..., None] * UPPER_TEETH, teeth)

  length = np.clip(gape - 0.20, 0, 0.05)
  teeth = canvas.cover(mouth.lower - length - mouth.y) * smoothstep(0.7, 0.55, np.abs(mouth.t))
  teeth *= length > 0.004
  inside = blend(inside, bright[..., None] * LOWER_TEETH, teeth)
  shadow = 0.45 + 0.55 * np.clip((mouth.y - mouth.upper) / 0.05, 0, 1)  # shadow of the upper lip
  return inside * (shadow * (0.6 + 0.4 * light))[..., None]
