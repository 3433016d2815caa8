"""Draws eyes: lids between two curves, an eyeball with an iris, lashes and make-up."""

import numpy as np

from data_builders.synthetic.face.canvas import Canvas, blend, linear, shade, smoothstep
from data_builders.synthetic.face.light import Light
from data_builders.synthetic.face.pose import Pose, Scene
from data_builders.synthetic.identity import Person

IRIS = 0.118  # radius
PUPIL = 0.048
WHITE = np.array([0.74, 0.70, 0.67], np.float32)
BLACK = np.array([0.006, 0.006, 0.008], np.float32)
GLINT = np.array([0.95, 0.96, 1.0], np.float32)
TEAR_DUCT = np.array([0.45, 0.18, 0.16], np.float32)
SHADOW = (110, 70, 80)  # eye shadow, sRGB


def paint(
  colour: np.ndarray, canvas: Canvas, person: Person, pose: Pose, scene: Scene, light: Light
) -> None:
  """Draws both eyes on a face [H, W, 3] in place."""
  for side in (-1, 1):
    _paint_one(colour, canvas, person, pose, scene, light, side)


def _paint_one(colour, canvas, person, pose, scene, light, side) -> None:
  face = person.face
  part = canvas.part(side * face.eye_x, face.eye_y, 0.40, 0.32)
  x = (canvas.x[part] - side * face.eye_x) * side  # positive is away from the nose
  y = canvas.y[part]
  t = x / face.eye_width
  away = np.abs(t)
  arch = np.clip(1 - away**2.2, 0, 1)
  level = face.eye_y - face.eye_tilt * t
  half_height = face.eye_opening * (1 - 0.18 * max(pose.smile, 0) + 0.12 * pose.brow)
  lower = level + 0.62 * half_height * arch**0.9
  upper_open = level - half_height * arch**0.75
  upper = upper_open + (lower - upper_open) * min(pose.blink * 1.02, 1.0)
  seen = canvas.cover(upper - y) * canvas.cover(y - lower) * (away < 1)

  falling = canvas.blur(light.diffuse[part], 0.06)
  ball = _ball(canvas, person, pose, scene, side, x, y - level, away)
  ball = ball * (0.35 + 0.65 * falling)
  shade(ball, 0.55 * np.exp(-np.clip(y - upper, 0, 1) / 0.035))  # shadow of the upper lid
  ix, iy = _on_iris(pose, side, x, y - level)
  glint_x = 0.035 if scene.light_x > 0 else -0.035
  glint = canvas.cover(np.hypot(ix * side - glint_x, iy + 0.042) - 0.022)
  ball = blend(ball, GLINT, 0.9 * glint)

  here = colour[part]
  crease = (y - upper_open + 0.062 + 0.02 * (1 - t * t)) / 0.017
  shade(here, 0.38 * np.exp(-(crease**2)) * smoothstep(1.25, 0.7, away))
  if face.makeup:
    cover = np.exp(-(((y - upper_open + 0.04) / 0.05) ** 2)) * smoothstep(1.2, 0.6, away)
    cover *= 0.45 * face.makeup * (y < upper)
    here = blend(here, linear(SHADOW) * falling, cover)
  here = blend(here, ball, seen)
  thickness = 0.016 + 0.012 * face.makeup + 0.006 * np.clip(t, 0, 1)
  lashes = np.exp(-(((y - upper) / thickness) ** 2)) * smoothstep(1.12, 0.95, away)
  shade(here, (0.80 + 0.12 * face.makeup) * lashes)
  rim = np.exp(-(((y - lower) / 0.012) ** 2)) * smoothstep(1.0, 0.8, away)
  shade(here, 0.30 * rim)
  duct = canvas.cover(np.hypot((x + face.eye_width * 0.90) * 0.7, y - level - 0.012) - 0.022)
  colour[part] = blend(here, TEAR_DUCT * (0.35 + 0.65 * falling), 0.8 * duct * seen)


def _on_iris(pose: Pose, side: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the position relative to the centre of the iris."""
  return x - side * pose.gaze_x * 0.07, y + 0.012 - pose.gaze_y * 0.05


def _ball(canvas, person, pose, scene, side, x, y, away) -> np.ndarray:
  """Returns the eyeball in even light, float32 [h, w, 3]."""
  white = WHITE * (1 - 0.45 * np.clip(away, 0, 1) ** 2)[..., None]
  ix, iy = _on_iris(pose, side, x, y)
  radius, angle = np.hypot(ix, iy), np.arctan2(iy, ix)
  fibres = 1 + 0.35 * np.sin(17 * angle + person.seed % 100) * np.sin(7 * angle)
  fibres += 0.5 * smoothstep(-0.05, 0.10, iy)
  fibres *= 1 - 0.75 * smoothstep(0.80 * IRIS, IRIS, radius)
  iris = linear(person.face.iris) * fibres[..., None]
  ball = blend(white, iris, canvas.cover(radius - IRIS))
  return blend(ball, BLACK, canvas.cover(radius - PUPIL))
