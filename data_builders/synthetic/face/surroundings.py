"""Draws the surroundings of a head: a room out of focus, neck and shirt."""

import cv2
import numpy as np

from data_builders.synthetic.face.canvas import linear, smoothstep
from data_builders.synthetic.face.pose import Pose, Scene
from data_builders.synthetic.identity import FEMALE, Person


def backdrop(width: int, height: int, scale: float, seed: int) -> np.ndarray:
  """Returns a random wall with soft shapes on it: linear light, float32 [height, width, 3].

  `scale` is the number of pixels per unit, to fit the shapes and the blur to the size of the head.
  """
  rng = np.random.default_rng(seed)
  wall, tint = rng.uniform(60, 215), rng.uniform(-30, 30, 3)
  y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(scale)
  slope = rng.uniform(-0.12, 0.12, 2)
  fall = 1 + slope[0] * (x - x.mean()) + slope[1] * (y - y.mean())
  room = linear(np.clip(wall + tint, 20, 240)) * np.clip(fall, 0.3, 1.6)[..., None]
  room = np.ascontiguousarray(room, np.float32)
  for _ in range(rng.integers(3, 24)):
    colour = linear(np.clip(rng.uniform(30, 235) + rng.uniform(-50, 50, 3), 5, 250)).tolist()
    at = rng.uniform([0, 0], [width, height])
    size = scale * np.exp(rng.uniform(np.log(0.15), np.log(1.2), 2))
    if rng.random() < 0.3:
      cv2.circle(room, at.astype(int).tolist(), int(size[0] / 2), colour, -1)
    else:
      corners = (at - size / 2).astype(int).tolist(), (at + size / 2).astype(int).tolist()
      cv2.rectangle(room, *corners, colour, -1)
  return cv2.GaussianBlur(room, (0, 0), scale * rng.uniform(0.03, 0.2))


def body(
  x: np.ndarray, y: np.ndarray, scale: float, person: Person, pose: Pose, scene: Scene
) -> tuple[np.ndarray, np.ndarray]:
  """Returns neck and shirt: linear light [H, W, 3] and their opacity [H, W].

  `x` and `y` [H, W] are the position of each pixel, and `scale` is the number of pixels per unit.
  """
  away = np.abs(x)
  half = 0.50 if person.gender == FEMALE else 0.60
  neck_edge = half + 0.10 * smoothstep(1.5, 2.1, y) + 0.05 * smoothstep(1.5, 0.8, y)
  neck = np.clip(0.5 - np.maximum(away - neck_edge, 0.3 - y) * scale, 0, 1)
  side = np.clip(0.75 + scene.light_x * x, 0.3, 1.2)
  strength = 0.45 + 0.55 * scene.light
  rounding = np.sqrt(np.clip(1 - (away / (half + 0.15)) ** 2, 0, 1))
  chin = person.face.chin
  below_chin = smoothstep(chin + 0.75 + 0.1 * pose.opening, chin - 0.1, y)
  lit = (0.25 + 0.55 * rounding) * (1 - 0.60 * below_chin) * side * strength
  skin = linear(person.face.skin) * np.array([1.0, 0.92, 0.9], np.float32) * lit[..., None]

  collar = 2.02 + 0.25 * (1 - np.clip(away / half, 0, 1) ** 2)
  shoulder = 1.95 + 0.30 * (np.clip(away - half, 0, None) / 0.9) ** 1.3
  edge = np.where(away < half + 0.02, collar, shoulder)
  shirt = np.clip(0.5 - (edge - y) * scale * 0.8, 0, 1)
  lit = (0.55 + 0.35 * np.clip(1.4 - away / 1.4, 0, 1)) * side * (0.5 + 0.5 * scene.light)
  lit = lit * (1 - 0.25 * smoothstep(0.10, 0.0, y - edge))  # the seam
  cloth = linear(scene.shirt) * lit[..., None]
  return skin + (cloth - skin) * shirt[..., None], np.maximum(neck, shirt)
