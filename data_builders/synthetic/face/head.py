"""Renders a person's head: `Head(person, scale).render(pose, scene, view, rng)`."""

import dataclasses

import cv2
import numpy as np

from data_builders.synthetic.face import eyes, glasses, mouth, relief, skin
from data_builders.synthetic.face.canvas import (
  LEFT,
  TOP,
  Canvas,
  blend,
  linear,
  moved,
  shade,
  superellipse,
  turned,
)
from data_builders.synthetic.face.hair import Hair
from data_builders.synthetic.face.light import light_on
from data_builders.synthetic.face.pose import Pose, Scene
from data_builders.synthetic.face.surroundings import backdrop, body
from data_builders.synthetic.identity import Person

PIVOT = 0.35  # distance of the relief's zero in front of the axis of yaw and pitch
NECK = 1.2  # height of the point around which the head rolls
BEHIND = -0.5  # depth of the hair behind the neck
SIDE = 2.44  # side of a face detector's square, from forehead to chin
MIDDLE = 0.137  # height of the centre of that square
MIDDLE_DEPTH = 0.5  # distance of the skin there in front of the axis of yaw and pitch
NOISE = 0.006  # standard deviation of the camera's noise, relative to full scale


@dataclasses.dataclass(frozen=True)
class View:
  """The size of a picture and the position of the head in it."""

  width: int  # pixels
  height: int  # pixels
  scale: float  # pixels per unit, which is half the width of a face
  x: float  # pixels, position of the face's origin
  y: float  # pixels down, position of the face's origin


class Head:
  """A person's head at one resolution. What does not depend on the moment is drawn once."""

  def __init__(self, person: Person, scale: float):
    self.person = person
    self.canvas = canvas = Canvas(scale)
    rng = np.random.default_rng(person.seed)
    self.grain = skin.grain_of(canvas, rng)
    self.hair = Hair(canvas, person, rng)
    self.albedo = skin.albedo(canvas, person.face, self.grain)
    self._room: tuple[tuple, np.ndarray] = ((), np.zeros(0))

  def render(self, pose: Pose, scene: Scene, view: View, rng: np.random.Generator) -> np.ndarray:
    """Returns a picture, sRGB uint8 [height, width, 3]. `rng` generates the camera's noise."""
    layer, depth = self._straight(pose, scene)
    key = (scene.backdrop, view.width, view.height, view.scale)
    if self._room[0] != key:
      self._room = (key, backdrop(view.width, view.height, view.scale, scene.backdrop))
    xs = (np.arange(view.width, dtype=np.float32) + 0.5 - view.x) / view.scale
    ys = (np.arange(view.height, dtype=np.float32) + 0.5 - view.y) / view.scale
    x, y = np.meshgrid(xs.astype(np.float32), ys.astype(np.float32))

    picture = self._room[1]
    behind = _layer(0.55 * self.hair.colour, self.hair.behind)
    picture = _over(picture, self._turned(behind, np.full_like(depth, BEHIND), pose, x, y))
    torso = _layer(*body(x - 0.10 * pose.yaw, y, view.scale, self.person, pose, scene))
    picture = _over(picture, torso)
    head = self._turned(layer, depth, pose, x, y)
    sigma = 0.10 * view.scale
    shadow = moved(cv2.GaussianBlur(head[..., 3], (0, 0), sigma), 0, sigma)
    shade(picture, 0.35 * shadow * torso[..., 3])
    picture = np.sqrt(np.clip(_over(picture, head), 0, 1))
    picture += NOISE * rng.standard_normal(picture.shape, np.float32)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)

  def box(self, pose: Pose, view: View) -> tuple[float, float, float, float]:
    """Returns the box that a face detector finds: left, top, width and height in pixels."""
    x = MIDDLE_DEPTH * np.sin(pose.yaw)
    y = MIDDLE * np.cos(pose.pitch) + MIDDLE_DEPTH * np.sin(pose.pitch) - NECK
    x, y = turned(x, y, -pose.roll)
    side = SIDE * view.scale
    left, top = view.x + x * view.scale - side / 2, view.y + (y + NECK) * view.scale - side / 2
    return round(float(left), 2), round(float(top), 2), round(side, 2), round(side, 2)

  def _straight(self, pose: Pose, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Returns the head looking straight ahead: a layer [H, W, 4] and its relief [H, W]."""
    canvas, person, hair = self.canvas, self.person, self.hair
    face = person.face
    edge = relief.outline(canvas, face, pose)
    lips = mouth.mouth_of(canvas, face, pose)
    z = relief.relief(canvas, face, pose, edge, lips)
    light = light_on(canvas, z, self.grain.pores, hair.front, pose, scene)

    albedo = self.albedo.copy()
    skin.grow_beard(albedo, canvas, face, pose, self.grain)
    skin.draw_brows(albedo, canvas, face, pose, self.grain, hair.strands)
    mouth.redden(albedo, lips, face, self.grain.stubble)
    colour = albedo * light.diffuse + light.specular[..., None]
    mouth.paint(colour, canvas, lips, face, scene.light)
    _open_nostrils(colour, canvas, person)
    eyes.paint(colour, canvas, person, pose, scene, light)
    glasses.put_on(colour, canvas, face)

    on_face = canvas.cover((edge**0.45 - 1) * 0.9)
    ears, on_ears = self._ears(light.direction, scene)
    layer = _layer(blend(ears, colour, on_face), np.maximum(on_face, on_ears))
    shine = np.clip(0.62 + 0.5 * light.facing, 0.25, 1.2) * (0.55 + 0.45 * scene.light)
    front = _layer(hair.colour * shine[..., None], hair.front)
    return layer * (1 - hair.front)[..., None] + front, z + hair.relief

  def _ears(self, direction, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Returns the colour [H, W, 3] and opacity [H, W] of both ears."""
    canvas, half = self.canvas, self.person.face.half_width
    away = np.abs(canvas.x)
    cover = canvas.cover(superellipse(away - 1.02 * half, canvas.y - 0.12, 0.13, 0.30))
    lit = 0.35 + 0.45 * scene.light * np.clip(0.6 + 0.5 * direction[0] * np.sign(canvas.x), 0, 1)
    inner = ((away - 1.04 * half) / 0.035) ** 2 + ((canvas.y - 0.10) / 0.14) ** 2
    lit = lit * (1 - 0.45 * np.exp(-0.5 * inner))
    tint = np.array([0.80, 0.66, 0.62], np.float32)
    return linear(self.person.face.skin) * tint * lit[..., None], cover

  def _turned(
    self, layer: np.ndarray, depth: np.ndarray, pose: Pose, x: np.ndarray, y: np.ndarray
  ) -> np.ndarray:
    """Returns a layer [H, W, 4] as seen at positions x and y [h, w] when the head is turned.

    Each point is found by iteration. A point (a, b) of the plane with height z is seen at
    (a cos yaw + z sin yaw, b cos pitch + z sin pitch), a little lower if the head is bent. Then the
    head rolls.
    """
    u, v = turned(x, y - NECK, pose.roll)
    v = v + NECK
    cos_yaw, sin_yaw = float(np.cos(pose.yaw)), float(np.sin(pose.yaw))
    cos_pitch, sin_pitch = float(np.cos(pose.pitch)), float(np.sin(pose.pitch))
    smooth = self.canvas.blur(depth, 0.05) - PIVOT
    a, b = u, v
    for _ in range(4):
      z = self._sampled(smooth, a, b, -PIVOT)
      a, b = (u - z * sin_yaw) / cos_yaw, (v - 0.4 * (1 - cos_pitch) - z * sin_pitch) / cos_pitch
    return self._sampled(layer, a, b, 0)

  def _sampled(self, field: np.ndarray, x: np.ndarray, y: np.ndarray, outside: float) -> np.ndarray:
    columns = (x - LEFT) * self.canvas.scale - 0.5
    rows = (y - TOP) * self.canvas.scale - 0.5
    return cv2.remap(
      field,
      columns.astype(np.float32),
      rows.astype(np.float32),
      cv2.INTER_LINEAR,
      borderMode=cv2.BORDER_CONSTANT,
      borderValue=outside,
    )


def _open_nostrils(colour: np.ndarray, canvas: Canvas, person: Person) -> None:
  face = person.face
  for side in (-1, 1):
    part = canvas.part(side * 0.105 * face.nose_width, face.nose_y + 0.07, 0.14, 0.1)
    x = canvas.x[part] * side - 0.105 * face.nose_width
    y = canvas.y[part] + 0.12 * x - face.nose_y - 0.065
    hole = superellipse(x, y, 0.062 * face.nose_width, 0.030)
    colour[part] *= (1 - 0.80 * np.clip(0.5 - hole / 0.03, 0, 1))[..., None]


def _layer(colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
  """Returns colour [H, W, 3] times opacity [H, W], and the opacity: float32 [H, W, 4]."""
  return np.dstack([colour * cover[..., None], cover]).astype(np.float32)


def _over(under: np.ndarray, layer: np.ndarray) -> np.ndarray:
  """Returns a layer on top of a picture [H, W, 3]."""
  return under * (1 - layer[..., 3:]) + layer[..., :3]
