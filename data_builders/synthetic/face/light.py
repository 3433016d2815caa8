"""Computes the light on a relief."""

import dataclasses

import cv2
import numpy as np

from data_builders.synthetic.face.canvas import Canvas, moved, turned
from data_builders.synthetic.face.pose import Pose, Scene

WRAP = np.array([0.42, 0.22, 0.16], np.float32)  # light that scatters under the skin
SKY = np.array([0.95, 1.0, 1.08], np.float32)
LAMP = np.array([1.04, 1.0, 0.95], np.float32)


@dataclasses.dataclass(frozen=True)
class Light:
  """The light on every point of a relief."""

  diffuse: np.ndarray  # float32 [H, W, 3], to be multiplied by the albedo
  specular: np.ndarray  # float32 [H, W], to be added
  direction: tuple[float, float, float]  # unit vector to the lamp in the head's coordinates
  facing: np.ndarray  # float32 [H, W], cosine of the angle between surface normal and lamp


def light_on(
  canvas: Canvas, z: np.ndarray, pores: np.ndarray, hair: np.ndarray, pose: Pose, scene: Scene
) -> Light:
  """Returns the light of a lamp and of the room, with short shadows of nose, brows and hair.

  `z` is the relief, `pores` noise that roughens it, and `hair` the opacity of the hair in front of
  the face, each float32 [H, W]. The lamp does not turn with the head.
  """
  scale = canvas.scale
  smooth = canvas.blur(z, 0.018)
  rough = 0.035 * pores
  slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=scale / 8) + rough
  slope_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=scale / 8) + rough[:, ::-1]
  nz = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
  nx, ny = -slope_x * nz, -slope_y * nz

  lx, ly, lz = _in_head(scene, pose)
  facing = nx * lx + ny * ly + nz * lz
  hollow = np.clip(canvas.blur(z, 0.09) - z, 0, 1)
  wide = np.clip(canvas.blur(z, 0.22) - z - 0.03, 0, 1)
  occlusion = np.clip(1 - 2.2 * hollow - 0.9 * wide, 0.35, 1)
  lit = (1 - 0.55 * _shadow(canvas, z, lx, ly, lz)) * (1 - 0.40 * _hair_shadow(canvas, hair, lx))

  lamp = np.clip((facing[..., None] + WRAP) / (1 + WRAP), 0, 1) * lit[..., None]
  lamp *= 0.92 * scene.light * LAMP * (0.5 + 0.5 * occlusion)[..., None]
  room = ((0.30 - 0.10 * ny) * occlusion)[..., None] * SKY
  length = float(np.sqrt(lx * lx + ly * ly + (lz + 1) ** 2))
  glance = np.clip((nx * lx + ny * ly + nz * (lz + 1)) / length, 0, 1) ** 16
  specular = (0.05 * glance + 0.06 * glance * glance) * lit * occlusion
  return Light((room + lamp).astype(np.float32), specular, (lx, ly, lz), facing)


def _in_head(scene: Scene, pose: Pose) -> tuple[float, float, float]:
  """Returns the direction to the lamp in the head's coordinates."""
  x, y, z = np.array([scene.light_x, scene.light_y, 1.0]) / np.sqrt(
    scene.light_x**2 + scene.light_y**2 + 1
  )
  x, z = turned(x, z, -pose.yaw)
  y, z = turned(y, z, -pose.pitch)
  return float(x), float(y), float(z)


def _shadow(canvas: Canvas, z: np.ndarray, lx: float, ly: float, lz: float) -> np.ndarray:
  """Returns the shadow that the relief casts on itself, up to 0.3 units away: 0 to 1."""
  shadow = np.zeros_like(z)
  for reach in (0.06, 0.12, 0.20, 0.30):
    step = -reach * canvas.scale / max(lz, 0.3)
    towards_lamp = moved(z, lx * step, ly * step)
    shadow = np.maximum(shadow, np.clip((towards_lamp - z - reach) * 9, 0, 1))
  return canvas.blur(shadow, 0.03)


def _hair_shadow(canvas: Canvas, hair: np.ndarray, lx: float) -> np.ndarray:
  return canvas.blur(moved(hair, -0.10 * lx * canvas.scale, 0.07 * canvas.scale), 0.05)
