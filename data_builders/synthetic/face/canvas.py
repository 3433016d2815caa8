"""The plane on which a head that looks straight ahead is drawn: pixels, soft shapes, colours."""

import cv2
import numpy as np

LEFT, RIGHT, TOP, BOTTOM = -1.75, 1.75, -2.35, 2.45
Part = tuple[slice, slice]
Pair = tuple[float, float]


class Canvas:
  """A grid of pixels, x to the viewer's right and y down, in units of half a face's width.

  Attributes:
    scale: Number of pixels per unit.
    x: Position of each pixel, float32 [H, W]; `y` likewise.
  """

  def __init__(self, scale: float):
    self.scale = scale
    xs = np.arange(round((RIGHT - LEFT) * scale), dtype=np.float32) + np.float32(0.5)
    ys = np.arange(round((BOTTOM - TOP) * scale), dtype=np.float32) + np.float32(0.5)
    self.x, self.y = np.meshgrid(
      np.float32(LEFT) + xs / np.float32(scale), np.float32(TOP) + ys / np.float32(scale)
    )

  def part(self, x: float, y: float, half_width: float, half_height: float) -> Part:
    """Returns the index of the pixels in a rectangle around a point."""
    height, width = self.x.shape
    columns = np.array([x - half_width - LEFT, x + half_width - LEFT]) * self.scale
    rows = np.array([y - half_height - TOP, y + half_height - TOP]) * self.scale
    left, right = np.clip([int(columns[0]), int(columns[1]) + 1], 0, width).tolist()
    top, bottom = np.clip([int(rows[0]), int(rows[1]) + 1], 0, height).tolist()
    return slice(top, bottom), slice(left, right)

  def cover(self, distance: np.ndarray) -> np.ndarray:
    """Returns a shape's coverage of each pixel, from the distance to its edge, negative inside."""
    return np.clip(0.5 - distance * self.scale, 0, 1)

  def blur(self, picture: np.ndarray, sigma: float) -> np.ndarray:
    """Returns a picture blurred by a Gaussian of `sigma` units, at least 0.3 pixels."""
    return cv2.GaussianBlur(picture, (0, 0), max(sigma * self.scale, 0.3))

  def bump(self, field: np.ndarray, at: Pair, size: Pair, height: float, turn: float = 0.0) -> None:
    """Adds a Gaussian to a field [H, W] in place, turned by some radians."""
    part = self.part(*at, 3 * max(size), 3 * max(size))
    x, y = turned(self.x[part] - at[0], self.y[part] - at[1], turn)
    field[part] += height * np.exp(-0.5 * ((x / size[0]) ** 2 + (y / size[1]) ** 2))

  def noise(self, rng: np.random.Generator, width: float, height: float | None = None):
    """Returns blurred Gaussian noise with standard deviation 1: float32 [H, W]."""
    sigma_x, sigma_y = (max(s * self.scale, 0.3) for s in (width, height or width))
    field = rng.standard_normal(self.x.shape, np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigma_x, sigmaY=sigma_y)
    return field / field.std()


def turned(x, y, angle: float):
  """Returns the coordinates of a point in axes that are turned by some radians."""
  cos, sin = float(np.cos(angle)), float(np.sin(angle))
  return x * cos + y * sin, y * cos - x * sin


def moved(field: np.ndarray, x: float, y: float) -> np.ndarray:
  """Returns a field moved by some pixels, with zeros beyond its edge."""
  return cv2.warpAffine(field, np.array([[1, 0, x], [0, 1, y]], np.float32), field.shape[::-1])


def superellipse(x, y, half_width: float, half_height: float, power: float = 2.0):
  """Returns the approximate distance from the edge of a superellipse around 0, negative inside."""
  q = np.abs(x / half_width) ** power + np.abs(y / half_height) ** power
  return (q ** (1 / power) - 1) * min(half_width, half_height)


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
  """Returns 0 below `low`, 1 above `high`, and a smooth step between; `low` may be above `high`."""
  t = np.clip((value - low) / (high - low), 0, 1)
  return t * t * (3 - 2 * t)


def linear(colour) -> np.ndarray:
  """Returns an sRGB colour of 0 to 255 as light, its square: float32 [3] in [0, 1]."""
  return np.square(np.asarray(colour, np.float32) / np.float32(255))


def blend(under: np.ndarray, over: np.ndarray, cover: np.ndarray) -> np.ndarray:
  """Returns `over` on top of `under`, both [H, W, 3] or [3], with the opacity `cover` [H, W]."""
  return under + (over - under) * cover[..., None]


def shade(colour: np.ndarray, cover: np.ndarray) -> None:
  """Darkens a colour [H, W, 3] in place, to black if `cover` [H, W] is 1."""
  colour *= (1 - cover)[..., None]
