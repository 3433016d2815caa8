"""Who speaks: ten fixed people, and as many others as one likes: faces, voices, microphones."""

import dataclasses

import numpy as np

Colour = tuple[float, float, float]  # sRGB, 0 to 255

FEMALE, MALE = "female", "male"
STYLES = {
  FEMALE: ("long", "bob", "curly", "fringe", "tied back", "bun"),
  MALE: ("short", "parted", "quiff", "buzz", "bald", "curly"),
}
SKINS = (
  (244, 208, 190),
  (236, 190, 165),
  (226, 176, 146),
  (214, 164, 128),
  (190, 138, 102),
  (158, 104, 74),
  (128, 84, 58),
)
HAIRS = (
  (24, 18, 16),
  (50, 34, 24),
  (74, 44, 26),
  (120, 76, 42),
  (150, 64, 34),
  (196, 150, 84),
  (120, 116, 112),
)
IRISES = ((50, 32, 22), (74, 50, 32), (92, 62, 38), (80, 120, 84), (96, 134, 168), (86, 100, 110))
DARK_SKIN = 4  # from this one of SKINS on, hair and eyes are among the three darkest


@dataclasses.dataclass(frozen=True)
class Face:
  """What a face looks like at rest. Lengths are in halves of a face's width, y down.

  Attributes:
    skin: colour, as are `hair`, `iris` and `lips`.
    style: of the hair, in `STYLES`.
    half_width: of the face at the eyes.
    chin: how far it is below the origin, which lies between the eyes, a little below them.
    jaw: exponent of the lower outline; the higher, the more angular.
    taper: how much narrower the face is at the chin.
    eye_x: from the middle to an eye's; `eye_y`, `brow_y`, `nose_y` and `mouth_y` are heights.
    eye_width: half.
    eye_opening: half of the height of an open eye.
    eye_tilt: how much higher the outer corner is.
    brow: half the thickness of an eyebrow.
    brow_arch: its rise.
    brow_strength: 0 to 1, how much it hides the skin.
    nose_width: relative to 1, as are `nose_depth` and `lip_fullness`.
    mouth_width: half.
    beard: 0 to 1, its cover; as are `moustache`, `makeup`, `freckles` and `age` (creases).
    glasses: "round", "square" or "" for none.
  """

  skin: Colour
  hair: Colour
  style: str
  half_width: float = 1.0
  chin: float = 1.45
  jaw: float = 2.3
  taper: float = 0.15
  eye_x: float = 0.45
  eye_y: float = -0.10
  eye_width: float = 0.225
  eye_opening: float = 0.10
  eye_tilt: float = 0.02
  iris: Colour = (70, 50, 35)
  brow: float = 0.055
  brow_y: float = -0.36
  brow_arch: float = 0.06
  brow_strength: float = 0.85
  nose_y: float = 0.50
  nose_width: float = 1.0
  nose_depth: float = 1.0
  mouth_y: float = 0.86
  mouth_width: float = 0.36
  lip_fullness: float = 1.0
  lips: Colour = (176, 92, 88)
  beard: float = 0.0
  moustache: float = 0.0
  glasses: str = ""
  makeup: float = 0.0
  freckles: float = 0.0
  age: float = 0.0


@dataclasses.dataclass(frozen=True)
class Voice:
  """What a voice sounds like.

  Attributes:
    pitch: Hz, of neutral speech.
    liveliness: octaves by which stress and melody move the pitch.
    tract: factor of all formants; 1 is a vocal tract of 17 cm, shorter ones lie higher.
    formants: factors of each of eight formants beyond that: how this tract is shaped.
    bandwidth: factor of the formants' bandwidths.
    tilt: Hz above which the glottal source loses another 6 dB an octave.
    breath: amplitude of the noise of breath in voiced sound, over that of the voice.
    roughness: standard deviation of the pitch from one 5 ms to the next, over its mean.
    hiss: factor of the frequencies of s, f and the like.
    rate: syllables a second.
  """

  pitch: float
  liveliness: float = 0.2
  tract: float = 1.0
  formants: tuple[float, ...] = (1.0,) * 8
  bandwidth: float = 1.0
  tilt: float = 5000.0
  breath: float = 0.05
  roughness: float = 0.01
  hiss: float = 1.0
  rate: float = 5.0


@dataclasses.dataclass(frozen=True)
class Microphone:
  """What somebody's microphone, always the same one, makes of sound.

  Those of the ten are as unlike as five frequencies, each raised or lowered, can be. A network on
  samples learns them long before the voices (measured).

  Attributes:
    gains: dB, at eight frequencies of equal ratio from 50 Hz to 8 kHz.
    noise: dB, how loud it hisses or hums below the speech.
    rumble: exponent with which that noise falls with frequency; 0 is white, 1 pink and beyond.
  """

  gains: tuple[float, ...] = (0.0,) * 8
  noise: float = -40.0
  rumble: float = 0.5


@dataclasses.dataclass(frozen=True)
class Person:
  """A face, a voice and a microphone under one name.

  Attributes:
    name: unique among the people of a dataset.
    gender: FEMALE or MALE.
    seed: of what has no field: strands of hair, pores, freckles, at each resolution others.
    face: how they look.
    voice: how they sound.
    microphone: what they film themselves with.
  """

  name: str
  gender: str
  seed: int
  face: Face
  voice: Voice
  microphone: Microphone


def people(count: int, seed: int = 0) -> list[Person]:
  """The ten fixed people, and after them random ones, women and men in turn.

  Args:
    count: how many; the first of them are the same for every count.
    seed: of the random ones.
  """
  found = list(TEN[:count])
  for i in range(len(TEN), count):
    gender = (FEMALE, MALE)[i % 2]
    rng = np.random.default_rng([seed, i])
    found.append(dataclasses.replace(random_identity(rng, gender), name=f"{gender}_{i:03d}"))
  return found


def random_identity(rng: np.random.Generator, gender: str) -> Person:
  """Somebody new, named "anonymous"."""
  return Person(
    name="anonymous",
    gender=gender,
    seed=int(rng.integers(1 << 30)),
    face=_random_face(rng, gender == MALE),
    voice=_random_voice(rng, gender == MALE),
    microphone=Microphone(
      gains=tuple(rng.normal(0, 7, 8).tolist()),
      noise=rng.uniform(-40, -22),
      rumble=rng.uniform(0, 1),
    ),
  )


def _random_face(rng: np.random.Generator, male: bool) -> Face:
  def pick(choices):
    return choices[rng.integers(len(choices))]

  def colour(values) -> Colour:
    r, g, b = np.clip(values, 0, 250)
    return float(r), float(g), float(b)

  tone = int(rng.integers(len(SKINS)))
  dark = tone >= DARK_SKIN
  skin = colour(np.array(SKINS[tone]) * rng.uniform(0.95, 1.04) + rng.uniform(-4, 4, 3))
  beard = rng.uniform(0.4, 1) if male and rng.random() < 0.45 else 0.0
  return Face(
    skin=skin,
    hair=colour(np.array(pick(HAIRS[:3] if dark else HAIRS)) * rng.uniform(0.85, 1.15)),
    style=pick(STYLES[MALE if male else FEMALE]),
    half_width=rng.uniform(0.95, 1.05),
    chin=rng.uniform(1.36, 1.46) + 0.06 * male,
    jaw=rng.uniform(2.2, 2.5) + 0.2 * male,
    taper=rng.uniform(0.12, 0.20) - 0.04 * male,
    eye_x=rng.uniform(0.43, 0.475),
    eye_y=rng.uniform(-0.12, -0.08),
    eye_width=rng.uniform(0.21, 0.24),
    eye_opening=rng.uniform(0.10, 0.122) - 0.012 * male,
    eye_tilt=rng.uniform(0, 0.04),
    iris=pick(IRISES[:3] if dark else IRISES),
    brow=rng.uniform(0.036, 0.05) + 0.014 * male,
    brow_y=rng.uniform(-0.38, -0.35) + 0.025 * male,
    brow_arch=rng.uniform(0.03, 0.09) - 0.02 * male,
    brow_strength=rng.uniform(0.65, 0.9),
    nose_y=rng.uniform(0.47, 0.53),
    mouth_y=rng.uniform(0.83, 0.89),
    nose_width=rng.uniform(0.82, 1.05) + 0.08 * male + 0.1 * dark,
    nose_depth=rng.uniform(0.75, 1.0) + 0.15 * male,
    mouth_width=rng.uniform(0.34, 0.39),
    lip_fullness=rng.uniform(0.8, 1.3) - 0.15 * male,
    lips=colour(np.array(skin) * ((0.86, 0.66, 0.74) if dark else (0.80, 0.54, 0.58))),
    beard=beard,
    moustache=beard if rng.random() < 0.8 else 0.0,
    glasses=pick(("round", "square")) if rng.random() < 0.25 else "",
    makeup=0.0 if male else rng.uniform(0.1, 0.7),
    freckles=rng.uniform(0.3, 1) if rng.random() < 0.2 else 0.0,
    age=rng.uniform(0, 0.8) if rng.random() < 0.4 else 0.0,
  )


def _random_voice(rng: np.random.Generator, male: bool) -> Voice:
  return Voice(
    pitch=rng.uniform(90, 145) if male else rng.uniform(165, 245),
    liveliness=rng.uniform(0.12, 0.28),
    tract=rng.uniform(0.90, 1.05) if male else rng.uniform(1.07, 1.24),
    formants=tuple(rng.uniform(0.90, 1.10, 8).tolist()),
    bandwidth=rng.uniform(0.7, 1.6),
    tilt=float(np.exp(rng.uniform(np.log(2500), np.log(10_000)))),
    breath=float(np.exp(rng.uniform(np.log(0.02), np.log(0.2)))),
    roughness=rng.uniform(0.003, 0.025),
    hiss=rng.uniform(0.85, 1.15),
    rate=rng.uniform(4.2, 5.8),
  )


TEN = (
  Person(
    name="ana",
    gender=FEMALE,
    seed=1,
    face=Face(
      skin=(236, 190, 165),
      hair=(74, 44, 26),
      style="long",
      half_width=0.97,
      chin=1.40,
      jaw=2.2,
      taper=0.18,
      eye_opening=0.115,
      iris=(92, 62, 38),
      brow=0.042,
      brow_arch=0.08,
      nose_width=0.85,
      nose_depth=0.85,
      lip_fullness=1.15,
      lips=(190, 84, 86),
      makeup=0.6,
    ),
    voice=Voice(
      pitch=205,
      liveliness=0.24,
      tract=1.15,
      formants=(1.0, 1.03, 1.07, 0.94, 0.98, 1.0, 1.02, 0.98),
      tilt=7000,
      breath=0.04,
      roughness=0.006,
      rate=5.4,
    ),
    microphone=Microphone(
      gains=(1.0, -2.0, -6.0, -7.0, -8.0, 7.0, -7.0, -8.0), noise=-38.0, rumble=0.0
    ),
  ),
  Person(
    name="bea",
    gender=FEMALE,
    seed=2,
    face=Face(
      skin=(244, 206, 188),
      hair=(196, 150, 84),
      style="bob",
      half_width=1.02,
      chin=1.36,
      jaw=2.4,
      taper=0.12,
      eye_x=0.47,
      eye_opening=0.12,
      iris=(92, 130, 160),
      brow=0.038,
      brow_arch=0.05,
      brow_strength=0.6,
      nose_width=0.90,
      nose_depth=0.8,
      lips=(206, 108, 104),
      makeup=0.3,
      freckles=0.6,
    ),
    voice=Voice(
      pitch=228,
      liveliness=0.28,
      tract=1.22,
      formants=(0.92, 1.06, 0.93, 1.06, 1.05, 0.95, 1.05, 1.0),
      bandwidth=1.3,
      tilt=4000,
      breath=0.16,
      roughness=0.005,
      hiss=1.12,
      rate=5.0,
    ),
    microphone=Microphone(
      gains=(3.0, -1.0, -2.0, 8.0, -9.0, -8.0, -9.0, -9.0), noise=-36.0, rumble=0.3
    ),
  ),
  Person(
    name="carla",
    gender=FEMALE,
    seed=3,
    face=Face(
      skin=(158, 104, 74),
      hair=(24, 18, 16),
      style="curly",
      chin=1.42,
      taper=0.16,
      eye_opening=0.12,
      iris=(50, 32, 22),
      brow=0.05,
      nose_width=1.12,
      nose_depth=0.85,
      lip_fullness=1.45,
      lips=(130, 62, 60),
      makeup=0.4,
    ),
    voice=Voice(
      pitch=182,
      liveliness=0.20,
      tract=1.09,
      formants=(1.06, 0.93, 1.0, 0.97, 1.05, 1.05, 0.95, 1.03),
      bandwidth=0.75,
      tilt=9000,
      breath=0.03,
      roughness=0.012,
      hiss=0.92,
      rate=5.1,
    ),
    microphone=Microphone(
      gains=(-1.0, -2.0, 1.0, 8.0, 9.0, -7.0, 7.0, -7.0), noise=-22.0, rumble=0.0
    ),
  ),
  Person(
    name="diana",
    gender=FEMALE,
    seed=4,
    face=Face(
      skin=(230, 184, 152),
      hair=(32, 24, 24),
      style="fringe",
      half_width=1.03,
      chin=1.37,
      jaw=2.5,
      taper=0.14,
      eye_opening=0.105,
      eye_tilt=0.035,
      iris=(44, 30, 24),
      brow=0.045,
      nose_width=0.95,
      nose_depth=0.75,
      lip_fullness=1.1,
      lips=(184, 70, 80),
      makeup=0.7,
      glasses="round",
    ),
    voice=Voice(
      pitch=215,
      liveliness=0.16,
      tract=1.19,
      formants=(1.05, 1.05, 1.06, 1.0, 0.94, 1.04, 0.96, 0.97),
      bandwidth=1.0,
      tilt=5200,
      breath=0.07,
      roughness=0.015,
      hiss=1.03,
      rate=4.6,
    ),
    microphone=Microphone(
      gains=(-5.0, 0.0, 2.0, 7.0, 9.0, -9.0, -9.0, 8.0), noise=-32.0, rumble=0.9
    ),
  ),
  Person(
    name="elsa",
    gender=FEMALE,
    seed=5,
    face=Face(
      skin=(240, 198, 176),
      hair=(150, 64, 34),
      style="tied back",
      half_width=0.95,
      chin=1.46,
      jaw=2.2,
      taper=0.20,
      eye_opening=0.11,
      eye_x=0.44,
      iris=(80, 120, 84),
      brow=0.04,
      brow_strength=0.7,
      nose_width=0.82,
      mouth_width=0.39,
      lip_fullness=0.85,
      lips=(186, 96, 92),
      freckles=1.0,
    ),
    voice=Voice(
      pitch=194,
      liveliness=0.26,
      tract=1.12,
      formants=(0.93, 0.92, 0.98, 1.10, 1.07, 0.95, 1.04, 1.05),
      bandwidth=1.5,
      tilt=2800,
      breath=0.10,
      roughness=0.008,
      hiss=0.87,
      rate=5.7,
    ),
    microphone=Microphone(
      gains=(3.0, -4.0, 2.0, -9.0, -6.0, -8.0, 8.0, -9.0), noise=-24.0, rumble=0.6
    ),
  ),
  Person(
    name="fran",
    gender=MALE,
    seed=6,
    face=Face(
      skin=(226, 176, 146),
      hair=(50, 34, 24),
      style="short",
      half_width=1.03,
      chin=1.50,
      jaw=2.7,
      taper=0.10,
      eye_opening=0.095,
      iris=(74, 50, 32),
      brow=0.065,
      brow_y=-0.33,
      brow_arch=0.03,
      nose_width=1.08,
      nose_depth=1.1,
      lip_fullness=0.75,
      lips=(168, 100, 92),
      beard=0.55,
      moustache=0.55,
    ),
    voice=Voice(
      pitch=112,
      liveliness=0.18,
      tract=0.98,
      formants=(1.0, 1.05, 0.96, 0.96, 1.04, 1.0, 1.0, 1.04),
      tilt=4400,
      breath=0.04,
      roughness=0.012,
      rate=5.2,
    ),
    microphone=Microphone(
      gains=(-1.0, 0.0, 1.0, 7.0, -9.0, -8.0, 8.0, 7.0), noise=-30.0, rumble=0.0
    ),
  ),
  Person(
    name="gil",
    gender=MALE,
    seed=7,
    face=Face(
      skin=(238, 196, 172),
      hair=(170, 120, 66),
      style="quiff",
      half_width=0.98,
      chin=1.52,
      jaw=2.5,
      taper=0.14,
      iris=(96, 134, 168),
      brow_strength=0.7,
      nose_depth=1.15,
      lip_fullness=0.7,
      lips=(180, 112, 104),
    ),
    voice=Voice(
      pitch=136,
      liveliness=0.27,
      tract=1.04,
      formants=(0.94, 0.96, 0.93, 1.06, 0.97, 1.05, 0.95, 1.0),
      bandwidth=0.8,
      tilt=8000,
      breath=0.06,
      roughness=0.006,
      hiss=1.10,
      rate=5.6,
    ),
    microphone=Microphone(
      gains=(3.0, 2.0, -1.0, -9.0, 9.0, 10.0, -6.0, 9.0), noise=-26.0, rumble=0.3
    ),
  ),
  Person(
    name="hugo",
    gender=MALE,
    seed=8,
    face=Face(
      skin=(132, 86, 60),
      hair=(20, 16, 14),
      style="buzz",
      half_width=1.04,
      chin=1.48,
      jaw=2.7,
      taper=0.10,
      iris=(44, 28, 20),
      brow=0.06,
      nose_width=1.2,
      nose_depth=0.95,
      lip_fullness=1.25,
      lips=(112, 62, 56),
      moustache=0.5,
    ),
    voice=Voice(
      pitch=98,
      liveliness=0.20,
      tract=0.91,
      formants=(1.06, 0.97, 1.04, 0.95, 0.97, 0.96, 1.05, 0.96),
      bandwidth=1.2,
      tilt=3000,
      breath=0.03,
      roughness=0.018,
      hiss=0.88,
      rate=4.7,
    ),
    microphone=Microphone(
      gains=(1.0, 0.0, -3.0, -9.0, 7.0, -9.0, 9.0, 6.0), noise=-34.0, rumble=0.6
    ),
  ),
  Person(
    name="ivan",
    gender=MALE,
    seed=9,
    face=Face(
      skin=(230, 182, 154),
      hair=(34, 26, 22),
      style="parted",
      chin=1.47,
      jaw=2.4,
      taper=0.14,
      eye_opening=0.095,
      iris=(60, 44, 30),
      brow=0.06,
      nose_depth=1.05,
      lip_fullness=0.8,
      lips=(170, 98, 92),
      glasses="square",
    ),
    voice=Voice(
      pitch=122,
      liveliness=0.13,
      tract=1.01,
      formants=(1.05, 1.03, 1.05, 1.05, 1.03, 0.95, 0.97, 1.05),
      bandwidth=1.5,
      tilt=6000,
      breath=0.12,
      roughness=0.010,
      hiss=0.98,
      rate=4.9,
    ),
    microphone=Microphone(
      gains=(-1.0, -4.0, 1.0, 10.0, -10.0, 6.0, 7.0, -9.0), noise=-28.0, rumble=0.3
    ),
  ),
  Person(
    name="jon",
    gender=MALE,
    seed=10,
    face=Face(
      skin=(222, 168, 136),
      hair=(120, 116, 112),
      style="bald",
      half_width=1.05,
      chin=1.46,
      jaw=2.6,
      taper=0.12,
      eye_opening=0.09,
      iris=(86, 100, 110),
      brow=0.05,
      brow_strength=0.75,
      nose_width=1.1,
      nose_depth=1.2,
      lip_fullness=0.7,
      lips=(164, 96, 90),
      beard=0.9,
      moustache=0.9,
      age=0.8,
    ),
    voice=Voice(
      pitch=104,
      liveliness=0.22,
      tract=0.94,
      formants=(1.08, 1.02, 0.93, 1.06, 1.06, 1.05, 0.94, 0.95),
      bandwidth=1.0,
      tilt=3600,
      breath=0.09,
      roughness=0.024,
      hiss=0.94,
      rate=4.4,
    ),
    microphone=Microphone(
      gains=(5.0, 1.0, -2.0, -8.0, 8.0, -8.0, -7.0, -8.0), noise=-40.0, rumble=0.9
    ),
  ),
)
