"""What of a picture is not the person: the moment's expression, and the surroundings."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Pose:
  """An expression and how the head is held.

  Attributes:
    opening: of the mouth, 0 to 1.
    spread: of the lips, -1 (rounded) to 1 (drawn apart).
    smile: -0.3 to 1.
    brow: how far the eyebrows are raised, -0.4 to 1.
    blink: 0 (open) to 1 (shut).
    gaze_x: where the eyes look, -1 to 1 to the viewer's right.
    gaze_y: the same, down.
    yaw: radians that the head is turned to the viewer's right, within about 0.25.
    pitch: radians that it is bent down, within about 0.15.
    roll: radians that it is tilted, within about 0.1.
  """

  opening: float = 0.0
  spread: float = 0.0
  smile: float = 0.2
  brow: float = 0.0
  blink: float = 0.0
  gaze_x: float = 0.0
  gaze_y: float = 0.0
  yaw: float = 0.0
  pitch: float = 0.0
  roll: float = 0.0


@dataclasses.dataclass(frozen=True)
class Scene:
  """The surroundings of a recording.

  Attributes:
    light_x: where the light comes from, relative to 1 from the viewer.
    light_y: the same; negative is above.
    light: its strength, about 1.
    shirt: colour, sRGB 0 to 255.
    backdrop: seed of what is seen behind the person.
  """

  light_x: float = -0.35
  light_y: float = -0.45
  light: float = 1.0
  shirt: tuple[float, float, float] = (70, 90, 120)
  backdrop: int = 0


def random_scene(rng: np.random.Generator) -> Scene:
  """Another room, light and shirt."""
  grey = rng.uniform(30, 190)
  red, green, blue = np.clip(grey + rng.uniform(-50, 50, 3), 15, 220)
  return Scene(
    light_x=rng.uniform(-0.55, 0.55),
    light_y=rng.uniform(-0.6, -0.25),
    light=rng.uniform(0.85, 1.08),
    shirt=(float(red), float(green), float(blue)),
    backdrop=int(rng.integers(1 << 30)),
  )
