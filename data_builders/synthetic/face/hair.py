"""Draws hair: its outline, strands and shine. It does not depend on the expression."""

import dataclasses

import cv2
import numpy as np

from data_builders.synthetic.face.canvas import Canvas, linear, smoothstep, superellipse
from data_builders.synthetic.identity import MALE, Person


@dataclasses.dataclass(frozen=True)
class Style:
  """A hairstyle."""

  volume: float  # thickness
  hairline: float  # height of the lower edge on the forehead
  ends: float | None = None  # height of the tips; None is above the ears
  roughness: float = 0.008  # of the outline
  curtains: float | None = None  # extra width of hair that hangs down at the sides, if it does


STYLES = {
  "bald": Style(0.0, -9.0),
  "buzz": Style(0.005, -1.02),
  "short": Style(0.11, -0.98, roughness=0.02),
  "parted": Style(0.14, -1.0, roughness=0.02),
  "quiff": Style(0.17, -1.02, roughness=0.03),
  "bob": Style(0.17, -0.92, 1.15, curtains=0.10),
  "long": Style(0.16, -0.98, 2.0, curtains=0.04),
  "fringe": Style(0.16, -0.50, 1.5, curtains=0.06),
  "bun": Style(0.08, -1.02),
  "tied back": Style(0.09, -1.02),
  "curly": Style(0.26, -0.95, 0.75, roughness=0.045, curtains=0.12),
}
SHORT_CURLS = Style(0.20, -0.95, 0.05, roughness=0.04, curtains=0.06)


class Hair:
  """The hair of a person on a canvas.

  Attributes:
    front: Opacity of the hair in front of the face and on the skull, float32 [H, W].
    behind: Opacity of the hair behind the neck, float32 [H, W].
    colour: Linear light, float32 [H, W, 3].
    relief: Height above the head, float32 [H, W].
    strands: Noise along the strands with standard deviation 1, float32 [H, W].
  """

  def __init__(self, canvas: Canvas, person: Person, rng: np.random.Generator):
    name = person.face.style
    style = SHORT_CURLS if name == "curly" and person.gender == MALE else STYLES[name]
    fine, coarse = canvas.noise(rng, 0.06), canvas.noise(rng, 0.3)
    self.strands = _strands(canvas, name == "curly", coarse, rng)

    outline = _outline(canvas, person, style, fine, coarse)
    opening = _opening(canvas, person, style, fine, self.strands)
    ends = style.ends
    if ends is None:
      ends = 0.18 if person.gender == MALE else 0.10
    below = canvas.y - ends - 0.03 * self.strands
    distance = np.maximum(np.maximum(outline, -opening), below)
    soft = 0.012 if name == "fringe" else 0.02
    self.front = np.clip(0.5 - distance / soft, 0, 1).astype(np.float32)
    if name == "buzz":
      self.front *= smoothstep(-0.02, 0.03, -outline) * 0.25 + 0.62
    self.behind = np.zeros_like(self.front)
    if style.curtains is not None:
      self.behind = np.clip(0.5 - np.maximum(outline, below) / 0.02, 0, 1).astype(np.float32)
    if name == "bun":
      bun = superellipse(canvas.x, canvas.y + 1.98, 0.38, 0.32) + 0.01 * fine
      self.behind = np.clip(0.5 - bun / 0.02, 0, 1).astype(np.float32)

    inward = smoothstep(0.0, 0.30, -outline)
    self.colour = _colour(canvas, person, style, inward, self.strands)
    self.relief = (0.10 * inward + 0.01 * self.strands) * self.front


def _outline(canvas: Canvas, person: Person, style: Style, fine, coarse) -> np.ndarray:
  """Returns the distance from the outer edge of all hair."""
  half = person.face.half_width
  x, y = canvas.x, canvas.y
  rough = style.roughness * fine
  width, height = half * 1.02 + style.volume, 1.43 + style.volume
  outline = superellipse(x, y + 0.25, width, height, 2.25) + rough
  if person.face.style == "quiff":
    outline = np.minimum(outline, superellipse(x - 0.12, y + 1.62, 0.62, 0.40, 2.2) + 0.03 * fine)
  if style.curtains is not None:
    edge = half + style.volume + style.curtains * smoothstep(-0.3, 0.8, y) + 0.02 * coarse
    outline = np.minimum(outline, np.maximum(np.abs(x) - edge + rough, -(y + 0.3)))
  return outline


def _opening(canvas: Canvas, person: Person, style: Style, fine, strands) -> np.ndarray:
  """Returns the distance from the edge of the opening for the face, negative in the opening."""
  name, half = person.face.style, person.face.half_width
  x, y = canvas.x, canvas.y
  away = np.abs(x)
  line = style.hairline + 0.03 * np.cos(5 * x)
  temple = half * (0.70 + 0.26 * smoothstep(-1.0, -0.35, y))
  if name == "parted":
    line += 0.22 * smoothstep(-0.35, 0.9, x) - 0.05
  elif name in ("long", "bob"):  # a parting in the middle
    line += 0.30 * np.clip(away - 0.06, 0, None) ** 1.3 - 0.12 * np.exp(-((x / 0.12) ** 2))
  elif name == "fringe":
    line += 0.02 * strands + 0.04 * away
  if name in ("long", "bob", "fringe"):
    temple = half * (0.70 + 0.17 * smoothstep(-1.0, -0.2, y)) + 0.06 * smoothstep(0.2, 1.4, y)
  rough = 0.012 * fine if style.roughness > 0.01 else 0
  return np.maximum(np.maximum(line - y, -9), away - temple) + rough + 0.006 * strands


def _strands(canvas: Canvas, curly: bool, coarse, rng: np.random.Generator) -> np.ndarray:
  """Returns noise along lines that radiate from the crown and hang down at the sides."""
  white = rng.standard_normal((512, 1024), np.float32)
  if curly:
    texture = cv2.GaussianBlur(white, (0, 0), 5, sigmaY=9)
  else:
    fine = cv2.GaussianBlur(white, (0, 0), 1.2, sigmaY=40)
    texture = fine + 2.4 * cv2.GaussianBlur(white, (0, 0), 5, sigmaY=60)
  texture = texture / texture.std()
  crown = -1.2
  angle = np.arctan2(canvas.x, np.maximum(0.25, crown + 1.6 - np.minimum(canvas.y, crown)))
  hanging = smoothstep(-1.8, 0.2, canvas.y)
  across = (1 - hanging) * angle * 1.4 + hanging * canvas.x * 0.9 + 0.05 * coarse
  along = np.hypot(canvas.x * 0.5, canvas.y + 2.2)
  columns = ((across * 220 + 512) % 1023).astype(np.float32)
  rows = ((along * 110) % 511).astype(np.float32)
  return cv2.remap(texture, columns, rows, cv2.INTER_LINEAR)


def _colour(canvas: Canvas, person: Person, style: Style, inward, strands) -> np.ndarray:
  """Returns the colour of strands of varying darkness, with bands of light across them."""
  hair = linear(person.face.hair)
  varied = np.clip(1 + 0.17 * strands, 0.35, 2)
  base = hair * (varied * (0.55 + 0.45 * inward))[..., None]
  band = 0.9 * np.exp(-(((canvas.y + 1.15 + 0.18 * np.abs(canvas.x)) / 0.28) ** 2))
  if style.curtains is not None:
    band += 0.25 * np.exp(-(((canvas.y - 0.55) / 0.5) ** 2))
  shine = band * np.clip(0.6 + 0.5 * strands, 0, 2) * 0.55
  return (base + (0.05 + 0.6 * hair) * shine[..., None]).astype(np.float32)
