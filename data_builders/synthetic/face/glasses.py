"""Draws glasses: two rims, a bridge, the front of the temples, and a faint reflection."""

import numpy as np

from data_builders.synthetic.face.canvas import Canvas, blend, shade, smoothstep, superellipse
from data_builders.synthetic.identity import Face

RIMS = {"round": (0.30, 0.26, 2.0), "square": (0.33, 0.225, 3.6)}  # half sizes, power
FRAME = np.array([0.02, 0.018, 0.018], np.float32)
WIRE = 0.022  # half of the thickness of the rims


def put_on(colour: np.ndarray, canvas: Canvas, face: Face) -> None:
  """Draws glasses on a face [H, W, 3] in place."""
  if not face.glasses:
    return
  half_width, half_height, power = RIMS[face.glasses]
  centre_x, centre_y = face.eye_x * 1.02, face.eye_y + 0.02
  for side in (-1, 1):
    part = canvas.part(side * centre_x, centre_y, 0.5, 0.45)
    x, y = canvas.x[part] - side * centre_x, canvas.y[part] - centre_y
    rim = superellipse(x, y, half_width, half_height, power)
    shadow = np.abs(superellipse(x, y - 0.04, half_width, half_height, power)) - 0.02
    shade(colour[part], 0.25 * np.clip(0.5 - shadow / 0.04, 0, 1))
    colour[part] += (0.05 * canvas.cover(rim) * smoothstep(0, 0.3, -x - y))[..., None]
    colour[part] = blend(colour[part], FRAME, canvas.cover(np.abs(rim) - WIRE))

    part = canvas.part(side * (centre_x + face.half_width) / 2, face.eye_y - 0.02, 0.5, 0.1)
    away = side * canvas.x[part]
    temple = canvas.cover(np.abs(canvas.y[part] - face.eye_y + 0.05) - 0.018)
    temple *= (away > centre_x + half_width) & (away < face.half_width)
    colour[part] = blend(colour[part], FRAME, temple)
  part = canvas.part(0, face.eye_y - 0.03, 0.25, 0.12)
  x, y = canvas.x[part], canvas.y[part]
  bridge = y - face.eye_y + 0.05 + 0.05 * (1 - (x / 0.2) ** 2)
  cover = canvas.cover(np.abs(bridge) - 0.018) * (np.abs(x) < centre_x - half_width + 0.01)
  colour[part] = blend(colour[part], FRAME, cover)
