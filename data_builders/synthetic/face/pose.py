"""The properties of a picture that are not the person's: expression and surroundings."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Pose:
  """An expression and the orientation of the head."""

  opening: float = 0.0  # of the mouth, 0 to 1
  spread: float = 0.0  # of the lips, -1 (rounded) to 1 (drawn apart)
  smile: float = 0.2  # -0.3 to 1
  brow: float = 0.0  # height of the eyebrows, -0.4 to 1
  blink: float = 0.0  # 0 (open) to 1 (shut)
  gaze_x: float = 0.0  # direction of the eyes, -1 to 1 (the viewer's right)
  gaze_y: float = 0.0  # direction of the eyes, -1 to 1 (down)
  yaw: float = 0.0  # radians to the viewer's right, within about 0.25
  pitch: float = 0.0  # radians down, within about 0.15
  roll: float = 0.0  # radians of tilt, within about 0.1


@dataclasses.dataclass(frozen=True)
class Scene:
  """The surroundings of a recording."""

  light_x: float = -0.35  # direction to the light, where z is 1 towards the viewer
  light_y: float = -0.45  # negative is above
  light: float = 1.0  # strength, about 1
  shirt: tuple[float, float, float] = (70, 90, 120)  # sRGB, 0 to 255
  backdrop: int = 0  # seed of the background


def random_scene(rng: np.random.Generator) -> Scene:
  """Returns a random room, light and shirt."""
  grey = rng.uniform(30, 190)
  red, green, blue = np.clip(grey + rng.uniform(-50, 50, 3), 15, 220)
  return Scene(
    light_x=rng.uniform(-0.55, 0.55),
    light_y=rng.uniform(-0.6, -0.25),
    light=rng.uniform(0.85, 1.08),
    shirt=(float(red), float(green), float(blue)),
    backdrop=int(rng.integers(1 << 30)),
  )
