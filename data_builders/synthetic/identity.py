"""The identities of the synthetic dataset: ten fixed speakers and any number of random ones.

Each has a face, a voice and a microphone. The ten fixed speakers are in `speakers.toml`.
"""

import dataclasses
import tomllib
from pathlib import Path

import numpy as np

Colour = tuple[float, float, float]  # sRGB, 0 to 255

FEMALE, MALE = "female", "male"
STYLES = {
  FEMALE: ("long", "bob", "curly", "fringe", "tied back", "bun"),
  MALE: ("short", "parted", "quiff", "buzz", "bald", "curly"),
}
SKINS = (
  *((244, 208, 190), (236, 190, 165), (226, 176, 146), (214, 164, 128)),
  *((190, 138, 102), (158, 104, 74), (128, 84, 58)),
)
HAIRS = (
  *((24, 18, 16), (50, 34, 24), (74, 44, 26)),
  *((120, 76, 42), (150, 64, 34), (196, 150, 84), (120, 116, 112)),
)
GRAY = (205, 205, 208)  # hair of the old
IRISES = ((50, 32, 22), (74, 50, 32), (92, 62, 38), (80, 120, 84), (96, 134, 168), (86, 100, 110))
DARK_SKIN = 4  # with SKINS[DARK_SKIN:], hair and eyes have one of the three darkest colours
SPEAKERS = Path(__file__).with_name("speakers.toml")


@dataclasses.dataclass(frozen=True)
class Face:
  """The appearance of a face at rest.

  Lengths and heights are in units of half the width of an average face. y points down from the
  origin, which lies between the eyes and a little below them.
  """

  skin: Colour
  hair: Colour
  style: str  # hairstyle, one of STYLES
  half_width: float = 1.0  # half the width of the face at the eyes
  chin: float = 1.45  # height of the chin
  jaw: float = 2.3  # exponent of the lower outline; a higher value is more angular
  taper: float = 0.15  # fraction by which the face is narrower at the chin
  eye_x: float = 0.45  # distance of an eye's centre from the middle of the face
  eye_y: float = -0.10
  eye_width: float = 0.225  # half the width of an eye
  eye_opening: float = 0.10  # half the height of an open eye
  eye_tilt: float = 0.02  # height of the outer corner of an eye above its centre
  iris: Colour = (70, 50, 35)
  brow: float = 0.055  # half the thickness of an eyebrow
  brow_y: float = -0.36
  brow_arch: float = 0.06  # height of an eyebrow's arch
  brow_strength: float = 0.85  # opacity of the eyebrows, 0 to 1
  nose_y: float = 0.50
  nose_width: float = 1.0  # relative to an average nose
  nose_depth: float = 1.0  # relative to an average nose
  mouth_y: float = 0.86
  mouth_width: float = 0.36  # half the width of the mouth
  lip_fullness: float = 1.0  # relative to average lips
  lips: Colour = (176, 92, 88)
  beard: float = 0.0  # opacity, 0 to 1
  moustache: float = 0.0  # opacity, 0 to 1
  glasses: str = ""  # "round", "square", or "" for none
  makeup: float = 0.0  # amount, 0 to 1
  freckles: float = 0.0  # amount, 0 to 1
  age: float = 0.0  # depth of the creases, 0 to 1


@dataclasses.dataclass(frozen=True)
class Voice:
  """The parameters of a voice."""

  pitch: float  # Hz, of neutral speech
  liveliness: float = 0.2  # octaves, range of the pitch due to stress and intonation
  tract: float = 1.0  # factor on all formants; 1 is a vocal tract of 17 cm
  formants: tuple[float, ...] = (1.0,) * 8  # further factors on the eight lowest formants
  bandwidth: float = 1.0  # factor on the formants' bandwidths
  tilt: float = 5000.0  # Hz, above which the glottal source falls by another 6 dB per octave
  breath: float = 0.05  # amplitude of the breath noise in voiced sounds, relative to the voice
  roughness: float = 0.01  # standard deviation of the pitch between 5 ms frames, over its mean
  hiss: float = 1.0  # factor on the frequencies of fricatives such as s and f
  rate: float = 5.0  # syllables per second


@dataclasses.dataclass(frozen=True)
class Microphone:
  """The frequency response and noise of a person's microphone, which is always the same one.

  The ten fixed speakers' microphones each raise or lower five frequencies, and differ as much as
  such responses can. A network that reads raw samples learns the microphones long before it learns
  the voices (measured).
  """

  gains: tuple[float, ...] = (0.0,) * 8  # dB, at geometric steps from 50 Hz to 8 kHz
  noise: float = -40.0  # dB, level of the noise relative to the speech
  rumble: float = 0.5  # exponent of its fall with frequency; 0 is white noise, 0.5 pink


@dataclasses.dataclass(frozen=True)
class Body:
  """What face and voice have in common besides the gender, each N(0, 1) over people (ours)."""

  size: float = 0.0  # of the head and of the vocal tract, within a gender
  age: float = 0.0


@dataclasses.dataclass(frozen=True)
class Person:
  """A synthetic speaker."""

  name: str  # unique within a dataset
  gender: str  # FEMALE or MALE
  seed: int  # of details without a field, such as hair strands, which differ between resolutions
  face: Face
  voice: Voice
  microphone: Microphone
  body: Body = Body()  # what the face shows
  heard: Body = Body()  # what the voice shows


def people(count: int, seed: int = 0, share: float = 0.0) -> list[Person]:
  """Returns the ten fixed speakers, followed by random ones who alternate in gender.

  A smaller count returns the first people of a larger one. The seed is that of the random people,
  and the share as in `random_identity`.
  """
  found = list(TEN[:count])
  for i in range(len(TEN), count):
    gender = (FEMALE, MALE)[i % 2]
    rng = np.random.default_rng([seed, i])
    found.append(dataclasses.replace(random_identity(rng, gender, share), name=f"{gender}_{i:03d}"))
  return found


def random_identity(rng: np.random.Generator, gender: str, share: float = 0.0) -> Person:
  """Returns a random person with the name "anonymous".

  Size and age in the face correlate by `share`, from 0 to 1, with those in the voice. Nobody can
  tell them from the voice with a correlation above that. With 0, faces and voices of a gender are
  independent, and have neither.
  """
  male = gender == MALE
  seed = int(rng.integers(1 << 30))
  face, voice = _random_face(rng, male), _random_voice(rng, male)
  gains = tuple(rng.normal(0, 7, 8).tolist())
  microphone = Microphone(gains, noise=rng.uniform(-40, -22), rumble=rng.uniform(0, 1))
  person = Person("anonymous", gender, seed, face, voice, microphone)
  return _with_body(person, rng, share) if share else person


def _with_body(person: Person, rng: np.random.Generator, share: float) -> Person:
  """Returns a person with a random size and age, which face and voice show."""
  seen, other = rng.standard_normal((2, 2)).clip(-2, 2)
  heard = Body(*(share * seen + np.sqrt(1 - share**2) * other).tolist())
  middle, pitch = (0.975, 115) if person.gender == MALE else (1.155, 202)
  voice = dataclasses.replace(
    person.voice,
    tract=middle * 2 ** (-0.06 * heard.size),
    pitch=pitch * 2 ** (-0.1 * heard.size + rng.uniform(-0.15, 0.15)),
    roughness=0.008 * 2 ** (0.8 * heard.age),
    breath=0.06 * 2 ** (0.8 * heard.age),
    rate=5 - 0.4 * heard.age,
  )
  return dataclasses.replace(with_face_of(person, Body(*seen.tolist())), voice=voice, heard=heard)


def with_face_of(person: Person, body: Body) -> Person:
  """Returns a person whose face shows another size and age."""
  gray = np.clip(0.35 * body.age + 0.1, 0, 0.85)
  red, green, blue = ((1 - gray) * np.array(person.face.hair) + gray * np.array(GRAY)).tolist()
  face = dataclasses.replace(
    person.face,
    half_width=1 + 0.045 * body.size,
    chin=1.41 + 0.06 * (person.gender == MALE) + 0.05 * body.size,
    hair=(red, green, blue),
    age=float(np.clip(0.35 + 0.3 * body.age, 0, 1)),
  )
  return dataclasses.replace(person, face=face, body=body)


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


def _fixed_speakers() -> tuple[Person, ...]:
  """Returns the speakers of `speakers.toml`, in its order."""

  def fields(table: dict) -> dict:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}

  speakers = tomllib.loads(SPEAKERS.read_text(encoding="utf-8"))["speaker"]
  parts = {"face": Face, "voice": Voice, "microphone": Microphone}
  return tuple(
    Person(**speaker | {name: part(**fields(speaker[name])) for name, part in parts.items()})
    for speaker in speakers
  )


TEN = _fixed_speakers()
