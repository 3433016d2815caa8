"""Draws the colours of a face in even light: skin, blush, freckles, beard and eyebrows."""

import dataclasses

import numpy as np

from data_builders.synthetic.face.canvas import Canvas, blend, linear, smoothstep
from data_builders.synthetic.face.pose import Pose
from data_builders.synthetic.identity import Face


@dataclasses.dataclass(frozen=True)
class Grain:
  """The noise of a person's skin, each float32 [H, W] with standard deviation 1."""

  pores: np.ndarray
  blotches: np.ndarray
  tone: np.ndarray
  stubble: np.ndarray


def grain_of(canvas: Canvas, rng: np.random.Generator) -> Grain:
  """Returns random noise for a skin."""
  return Grain(
    pores=canvas.noise(rng, 0.012),
    blotches=canvas.noise(rng, 0.06),
    tone=canvas.noise(rng, 0.3),
    stubble=canvas.noise(rng, 0.008, 0.014),
  )


def albedo(canvas: Canvas, face: Face, grain: Grain) -> np.ndarray:
  """Returns skin without eyebrows and lips: linear light, float32 [H, W, 3]."""
  uneven = 1 + 0.015 * grain.blotches + 0.028 * grain.pores + 0.035 * grain.tone
  skin = linear(face.skin) * uneven[..., None]
  blush, dark = np.zeros_like(canvas.x), np.zeros_like(canvas.x)
  for side in (-1, 1):
    canvas.bump(blush, (side * 0.60, 0.42), (0.24, 0.20), 0.50 + 0.3 * face.makeup)
    canvas.bump(
      dark, (side * face.eye_x, face.eye_y), (0.25, 0.13), 0.26 + 0.10 * (face.makeup + face.age)
    )
  canvas.bump(blush, (0, face.nose_y - 0.05), (0.16, 0.12), 0.45)
  canvas.bump(blush, (0, face.chin - 0.05), (0.25, 0.15), 0.20)
  skin *= 1 - blush[..., None] * np.array([-0.03, 0.16, 0.13], np.float32)
  skin *= 1 - dark[..., None] * np.array([0.75, 1.0, 0.95], np.float32)
  if face.freckles:
    freckles = np.clip(grain.blotches * 0.4 + grain.pores - 1.6, 0, 1)
    freckles *= face.freckles * np.exp(-(((canvas.y - 0.3) / 0.3) ** 2))
    skin *= 1 - freckles[..., None] * np.array([0.4, 0.6, 0.7], np.float32)
  return skin


def grow_beard(skin: np.ndarray, canvas: Canvas, face: Face, pose: Pose, grain: Grain) -> None:
  """Draws beard and moustache on a skin [H, W, 3] in place."""
  if not (face.beard or face.moustache):
    return
  away, y, mouth_y = np.abs(canvas.x), canvas.y, face.mouth_y
  across = away / face.half_width
  jaw = smoothstep(0.1, 0.55, y - 0.55 + 0.55 * across**2.2)
  free = 0.62 - 0.75 * smoothstep(mouth_y - 0.05, mouth_y + 0.16, y)  # the bare cheeks
  beard = face.beard * jaw * np.clip((across - free) / 0.12, 0, 1)
  height = (y - mouth_y + 0.145 + 0.02 * pose.opening) / 0.075
  moustache = np.exp(-(height**4)) * smoothstep(0.47, 0.36, away)
  moustache *= face.moustache * (1 - 0.25 * np.exp(-((canvas.x / 0.05) ** 2)))
  cover = np.clip(np.maximum(beard, moustache) * (0.82 + 0.25 * grain.stubble), 0, 0.96)
  hair = linear(face.hair) * np.clip(1 + 0.3 * grain.stubble, 0.4, 2)[..., None]
  skin[:] = blend(skin, hair, cover)


def draw_brows(
  skin: np.ndarray, canvas: Canvas, face: Face, pose: Pose, grain: Grain, strands: np.ndarray
) -> None:
  """Draws eyebrows on a skin [H, W, 3] in place."""
  for side in (-1, 1):
    part = canvas.part(side * face.eye_x, face.brow_y, 0.46, 0.3)
    t = (canvas.x[part] * side - face.eye_x + 0.28) / 0.60  # 0 at the inner end, 1 at the outer end
    within = np.clip(t, 0, 1)
    rise = 0.11 * pose.brow + 1.2 * face.brow_arch * np.sin(within * np.pi * 0.85)
    middle = face.brow_y - rise + 0.06 * np.clip(t - 0.6, 0, 1)
    thickness = face.brow * (1.05 - 0.75 * within**1.6)
    ragged = np.abs(canvas.y[part] - middle) * (1 + 0.10 * grain.stubble[part])
    cover = np.clip(0.5 + (thickness - ragged) / 0.03, 0, 1)
    cover *= smoothstep(-0.02, 0.10, t) * smoothstep(1.04, 0.9, t)
    cover *= np.clip(face.brow_strength * (0.92 + 0.10 * strands[part]), 0, 1)
    skin[part] = blend(skin[part], 0.8 * linear(face.hair), cover)
