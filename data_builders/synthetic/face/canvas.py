"""The plane in which a head that looks straight ahead is drawn: pixels, soft shapes, colours."""

import cv2
import numpy as np

LEFT, RIGHT, TOP, BOTTOM = -1.75, 1.75, -2.35, 2.45
Part = tuple[slice, slice]


class Canvas:
  """A grid of pixels, x to the viewer's right, y down, in halves of a face's width.

  Attributes:
    scale: pixels per unit.
    x: float32 [H, W], as is `y`: where each pixel lies.
  """

  def __init__(self, scale: float):
    self.scale = scale
    xs = np.arange(round((RIGHT - LEFT) * scale), dtype=np.float32) + np.float32(0.5)
    ys = np.arange(round((BOTTOM - TOP) * scale), dtype=np.float32) + np.float32(0.5)
    self.x, self.y = np.meshgrid(
      np.float32(LEFT) + xs / np.float32(scale), np.float32(TOP) + ys / np.float32(scale)
    )

  def part(self, x: float, y: float, half_width: float, half_height: float) -> Part:
    """The pixels of a rectangle around a point, as an index."""
    height, width = self.x.shape
    columns = np.array([x - half_width - LEFT, x + half_width - LEFT]) * self.scale
    rows = np.array([y - half_height - TOP, y + half_height - TOP]) * self.scale
    left, right = np.clip([int(columns[0]), int(columns[1]) + 1], 0, width).tolist()
    top, bottom = np.clip([int(rows[0]), int(rows[1]) + 1], 0, height).tolist()
    return slice(top, bottom), slice(left, right)

  def cover(self, distance: np.ndarray) -> np.ndarray:
    """How much of each pixel a shape covers, given the distance from its edge, negative inside."""
    return np.clip(0.5 - distance * self.scale, 0, 1)

  def blur(self, picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of so many units, at least 0.3 pixels."""
    return cv2.GaussianBlur(picture, (0, 0), max(sigma * self.scale, 0.3))

  def bump(
    self,
    field: np.ndarray,
    at: tuple[float, float],
    size: tuple[float, float],
    height: float,
    turn: float = 0.0,
  ) -> None:
    """Adds a Gaussian to a field [H, W] in place, turned by some radians."""
    part = self.part(*at, 3 * max(size), 3 * max(size))
    x, y = self.x[part] - at[0], self.y[part] - at[1]
    if turn:
      cos, sin = float(np.cos(turn)), float(np.sin(turn))
      x, y = x * cos + y * sin, y * cos - x * sin
    field[part] += height * np.exp(-0.5 * ((x / size[0]) ** 2 + (y / size[1]) ** 2))

  def noise(self, rng: np.random.Generator, width: float, height: float | None = None):
    """Gaussian noise with standard deviation 1, blurred by so many units: float32 [H, W]."""
    sigma_x, sigma_y = (max(s * self.scale, 0.3) for s in (width, height or width))
    field = rng.standard_normal(self.x.shape, np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigma_x, sigmaY=sigma_y)
    return field / field.std()


def superellipse(x, y, half_width: float, half_height: float, power: float = 2.0):
  """About the distance from the edge of a (rounded) ellipse around 0, negative inside."""
  q = np.abs(x / half_width) ** power + np.abs(y / half_height) ** power
  return (q ** (1 / power) - 1) * min(half_width, half_height)


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
  """0 below `low`, 1 above `high`, smooth between; the other way round where low is above high."""
  t = np.clip((value - low) / (high - low), 0, 1)
  return t * t * (3 - 2 * t)


def linear(colour) -> np.ndarray:
  """An sRGB colour of 0 to 255 as light, by the square: float32 [3] in [0, 1]."""
  return np.square(np.asarray(colour, np.float32) / np.float32(255))


def blend(under: np.ndarray, over: np.ndarray, cover: np.ndarray) -> np.ndarray:
  """`over` laid on `under`, both [H, W, 3] or [3], where `cover` [H, W] is 1."""
  return under + (over - under) * cover[..., None]


def shade(colour: np.ndarray, cover: np.ndarray) -> None:
  """Darkens a colour [H, W, 3] in place, to black where `cover` [H, W] is 1."""
  colour *= (1 - cover)[..., None]
