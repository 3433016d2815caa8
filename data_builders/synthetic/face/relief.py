"""Computes the relief of a head, the height of each point towards the viewer."""

import numpy as np

from data_builders.synthetic.face.canvas import Canvas, smoothstep
from data_builders.synthetic.face.mouth import JAW_DROP, Mouth, raise_lips
from data_builders.synthetic.face.pose import Pose
from data_builders.synthetic.identity import Face


def outline(canvas: Canvas, face: Face, pose: Pose) -> np.ndarray:
  """Returns 0 in the middle of the face and 1 at its edge: float32 [H, W]."""
  down = np.clip((canvas.y - 0.1) / (face.chin - 0.1 + JAW_DROP * pose.opening), 0, 1.3)
  across = np.abs(canvas.x) / (face.half_width * (1 - face.taper * down**1.5))
  skull = across**2.2 + np.clip((0.1 - canvas.y) / 1.76, 0, 2) ** 2.2
  return np.where(canvas.y < 0.1, skull, across**2.1 + down**face.jaw)


def relief(canvas: Canvas, face: Face, pose: Pose, edge: np.ndarray, mouth: Mouth) -> np.ndarray:
  """Returns a dome with sockets, brows, cheeks, a nose, lips and a chin: float32 [H, W], in units.

  `edge` is the result of `outline`, and `mouth` that of `mouth_of`.
  """
  z = 0.95 * np.sqrt(np.clip(1 - edge, 0, 1))
  eye_x, eye_y, nose_y, mouth_y = face.eye_x, face.eye_y, face.nose_y, face.mouth_y
  smile, drop = max(pose.smile, 0.0), JAW_DROP * pose.opening
  fold = -0.022 - 0.03 * smile - 0.03 * face.age
  for side in (-1, 1):
    for x, y, size, height, turn in (
      (eye_x, eye_y - 0.01, (0.25, 0.15), -0.13, 0.0),  # socket
      (eye_x * 0.95, face.brow_y + 0.02, (0.30, 0.085), 0.055, 0.0),  # brow
      (0.62, 0.36, (0.24, 0.22), 0.07 + 0.05 * smile, 0.0),  # cheekbone
      (0.66, 0.95, (0.22, 0.30), -0.03, 0.0),  # hollow of the cheek
      (0.20 * face.nose_width, nose_y - 0.02, (0.085, 0.08), 0.11 * face.nose_depth, 0.0),  # ala
      (0.30 + 0.03 * smile, mouth_y - 0.20, (0.05, 0.17), fold, 0.55),  # fold from nose to mouth
      (eye_x * 0.9, eye_y + 0.21, (0.16, 0.045), -0.018 - 0.03 * face.age, 0.0),  # below the eye
      (mouth.half_width + 0.03, mouth_y - 0.09 * pose.smile, (0.04, 0.05), -0.022, 0.0),  # corner
    ):
      canvas.bump(z, (side * x, y), size, height, side * turn)
  _raise_nose(canvas, z, face)
  for y, size, height in (
    (nose_y + 0.17, (0.04, 0.08), -0.02),  # groove above the lip
    (mouth_y + 0.24 + 0.6 * drop, (0.22, 0.06), -0.05),  # groove below it
    (face.chin - 0.08 + drop, (0.22, 0.14), 0.07),  # chin
    (-0.85, (0.50, 0.30), 0.03),  # forehead
  ):
    canvas.bump(z, (0, y), size, height)
  raise_lips(z, mouth, face)
  return z


def _raise_nose(canvas: Canvas, z: np.ndarray, face: Face) -> None:
  part = canvas.part(0, 0.15, 0.5, 0.75)
  x, y = canvas.x[part], canvas.y[part]
  top, tip = face.eye_y, face.nose_y
  t = np.clip((y - top + 0.12) / (tip - top + 0.12), 0, 1)
  width = (0.075 + 0.065 * t * t) * face.nose_width
  ridge = (0.06 + 0.25 * t**1.15) * face.nose_depth * np.exp(-0.5 * (x / width) ** 2)
  z[part] += ridge * smoothstep(top - 0.35, top + 0.1, y) * (1 - smoothstep(tip, tip + 0.14, y))
  canvas.bump(z, (0, tip - 0.06), (0.115 * face.nose_width, 0.105), 0.13 * face.nose_depth)
