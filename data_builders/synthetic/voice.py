"""Somebody talking: glottal pulses and noise through a vocal tract that says syllables.

Source and filter (Fant 1960; Klatt 1980). What is said are syllables of Spanish shape without
meaning, in phrases with stress, melody and pauses. Beside the sound come the movements of the mouth
that made it.
"""

import dataclasses

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft, ndimage, signal

from data_builders.synthetic.identity import Microphone, Voice
from wav2pix_jax.common import audio, schema

FRAME = 80  # samples (5 ms) from one shape of the vocal tract to the next
FRAME_RATE = schema.SAMPLE_RATE // FRAME
FFT = 512  # samples: a frame's 160 and 22 ms of ringing
# Hz; the lower three make the vowels, the last two only lift what is below them
UPPER_FORMANTS = (3500.0, 4500.0, 5500.0, 6500.0, 7500.0, 8500.0, 9500.0)
BANDWIDTHS = (70.0, 90.0, 130.0, 200.0, 250.0, 300.0, 350.0, 400.0, 450.0, 500.0)  # Hz
OPEN_QUOTIENT = 0.6  # share of a period in which the glottis is open
LEVEL = 0.07  # root mean square of speech, over full scale


@dataclasses.dataclass(frozen=True)
class Phone:
  """One sound of speech.

  Attributes:
    formants: Hz, the lower three of a tract of 17 cm; None: those of the vowel that follows.
    voiced: amplitude of the glottal source.
    noise: amplitude of friction.
    centre: Hz, of the noise.
    width: Hz, standard deviation of its band.
    opening: of the mouth, 0 to 1.
    spread: of the lips, -1 (rounded) to 1 (drawn apart).
    seconds: shortest and longest.
  """

  formants: tuple[float, float, float] | None = None
  voiced: float = 0.0
  noise: float = 0.0
  centre: float = 3000.0
  width: float = 1000.0
  opening: float = 0.15
  spread: float = 0.1
  seconds: tuple[float, float] = (0.05, 0.09)


VOWELS = {
  "a": Phone((750, 1350, 2550), 1.0, opening=0.95, spread=0.2, seconds=(0.07, 0.14)),
  "e": Phone((500, 1900, 2600), 1.0, opening=0.55, spread=0.55, seconds=(0.07, 0.13)),
  "i": Phone((300, 2300, 3000), 1.0, opening=0.28, spread=0.9, seconds=(0.06, 0.12)),
  "o": Phone((500, 950, 2450), 1.0, opening=0.60, spread=-0.6, seconds=(0.07, 0.13)),
  "u": Phone((320, 780, 2300), 1.0, opening=0.26, spread=-0.95, seconds=(0.06, 0.12)),
}
VOWEL_SHARES = (0.32, 0.30, 0.12, 0.18, 0.08)  # about those of Spanish
SONORANTS = {
  "m": Phone((280, 1000, 2200), 0.5, opening=0.0),
  "n": Phone((280, 1600, 2500), 0.5, opening=0.2),
  "l": Phone((350, 1350, 2700), 0.6, opening=0.28),
  "r": Phone((420, 1400, 2000), 0.45, opening=0.25, seconds=(0.025, 0.035)),
  "w": Phone((300, 700, 2200), 0.6, opening=0.15, spread=-0.9),
  "j": Phone((290, 2150, 2950), 0.6, opening=0.2, spread=0.6),
}
FRICATIVES = {
  "s": Phone(None, 0.0, 0.28, 6000, 1300, 0.14, 0.5, (0.07, 0.11)),
  "f": Phone(None, 0.0, 0.12, 5500, 3500, 0.08, 0.1, (0.06, 0.10)),
  "x": Phone(None, 0.0, 0.20, 2000, 900, 0.35, 0.1, (0.06, 0.10)),
  "ch": Phone(None, 0.0, 0.30, 3800, 1100, 0.2, -0.4, (0.05, 0.08)),
}
STOPS = {  # each a closure, then a burst of noise
  "p": (Phone((400, 850, 2300), opening=0.0), 900.0),
  "t": (Phone((400, 1750, 2650), opening=0.15), 4300.0),
  "k": (Phone((400, 2000, 2300), opening=0.3), 2200.0),
  "b": (Phone((300, 850, 2300), 0.2, opening=0.0), 800.0),
  "d": (Phone((300, 1750, 2650), 0.2, opening=0.15), 3800.0),
  "g": (Phone((300, 2000, 2300), 0.2, opening=0.3), 1900.0),
}
CODAS = {"n": SONORANTS["n"], "s": FRICATIVES["s"], "r": SONORANTS["r"], "l": SONORANTS["l"]}
PAUSE = Phone(opening=0.0, spread=0.0, seconds=(0.1, 0.35))
BREATH = Phone(None, 0.0, 0.03, 1800, 1200, 0.2, 0.0, (0.15, 0.25))


@dataclasses.dataclass(frozen=True)
class Utterance:
  """Speech and what the speaker's face did for it; F = T / FRAME frames at FRAME_RATE.

  Attributes:
    samples: float32 [T], 16 kHz, as close to the lips; root mean square LEVEL.
    opening: of the mouth, float32 [F], 0 to about 1.
    spread: of the lips, float32 [F], -1 to 1.
    stress: float32 [F], 0 to 1.
    pitch: Hz, float32 [F], of the voice where there is any.
    mood: float32 [F], about -1 to 1.
  """

  samples: np.ndarray
  opening: np.ndarray
  spread: np.ndarray
  stress: np.ndarray
  pitch: np.ndarray
  mood: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Said:
  """A phone as it was said."""

  phone: Phone
  frames: int
  effort: float  # about 1: loud and wide, or faint and narrow
  stress: float  # 0 or 1
  progress: float  # 0 to 1 through the phrase


def speak(voice: Voice, mood: np.ndarray, rng: np.random.Generator) -> Utterance:
  """Some seconds out of a person's talk.

  A good mood lifts the pitch, brightens the voice, speeds it up, and shortens the vocal tract, as a
  smile does (Tartter 1980).

  Args:
    voice: whose.
    mood: float [F], about -1 to 1; its length is the utterance's.
    rng: decides what is said, and how.
  """
  frames = len(mood)
  skipped = int(rng.integers(FRAME_RATE))  # begin anywhere
  said = _talk(voice.rate * (1 + 0.08 * mood.mean()), skipped + frames, rng)
  counts = [s.frames for s in said]

  def track(values, smoothing):
    steps = np.repeat(np.asarray(values, np.float32), counts, axis=0)
    return _smooth(steps, smoothing)[skipped : skipped + frames]

  phones = [s.phone for s in said]
  effort = track([s.effort for s in said], 15)
  stress = track([s.stress for s in said], 31)
  progress = track([s.progress for s in said], 5)
  melody = 0.8 * stress + 0.5 - progress + 0.6 * wander(rng, frames, 0.2)
  octaves = voice.liveliness * melody + 0.25 * mood
  pitch = voice.pitch * np.exp(rng.normal(0, 0.04)) * 2**octaves
  vibration = 1 + voice.roughness * rng.standard_normal(frames)
  samples = _sound(
    voice,
    pitch=(pitch * vibration).astype(np.float32),
    voiced=track([p.voiced for p in phones], 7) * effort,
    noise=track([p.noise for p in phones], 3) * effort,
    centre=track([p.centre for p in phones], 3),
    width=track([p.width for p in phones], 3),
    formants=track(_formants(phones), 13),
    mood=mood.astype(np.float32),
    rng=rng,
  )
  return Utterance(
    samples=samples * np.float32(LEVEL / (samples.std() + 1e-6)),
    opening=track([s.phone.opening * s.effort for s in said], 15),
    spread=track([p.spread for p in phones], 19),
    stress=stress,
    pitch=pitch.astype(np.float32),
    mood=mood.astype(np.float32),
  )


def record(speech: np.ndarray, microphone: Microphone, rng: np.random.Generator) -> np.ndarray:
  """Speech as a microphone in some room takes it down, clipped: float [T] to int16 [T].

  The room echoes for 0.05 to 0.2 s, 12 to 25 dB below the speech.
  """
  seconds = rng.uniform(0.05, 0.2)
  length = int(seconds * schema.SAMPLE_RATE)
  echo = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
  echo *= 10 ** (-rng.uniform(12, 25) / 20) / np.sqrt(np.square(echo).sum())
  heard = speech + signal.fftconvolve(speech, echo)[: len(speech)]
  heard = audio.equalise(heard, microphone.gains)
  noise = audio.coloured_noise(len(speech), microphone.rumble, rng)
  heard += noise * heard.std() * 10 ** ((microphone.noise + rng.normal(0, 2)) / 20)
  loudness = LEVEL / (heard.std() + 1e-6) * 10 ** (rng.normal(0, 3) / 20)
  return (np.clip(heard * loudness, -1, 1) * 32767).round().astype(np.int16)


def _talk(rate: float, frames: int, rng: np.random.Generator) -> list[_Said]:
  """Phrases of 5 to 14 syllables with pauses between them, for at least so long."""

  def say(phone: Phone, slow: float, effort: float, stress: float, progress: float) -> _Said:
    seconds = rng.uniform(*phone.seconds) * slow
    return _Said(phone, max(2, round(seconds * FRAME_RATE)), effort, stress, progress)

  said: list[_Said] = []
  stretch = 5.0 / rate
  while sum(s.frames for s in said) < frames:
    count = int(rng.integers(5, 15))
    loud = rng.uniform(0.75, 1.1)
    said.append(say(PAUSE, 1.0, 1.0, 0.0, 0.0))
    if rng.random() < 0.3:
      said.append(say(BREATH, 1.0, 1.0, 0.0, 0.0))
    for i in range(count):
      stress = float(rng.random() < 0.35)
      effort = loud * (1.12 if stress else 0.9)
      slow = stretch * (1.3 if i == count - 1 else 1.15 if stress else 0.95)
      said += [say(phone, slow, effort, stress, (i + 1) / count) for phone in _syllable(rng)]
  return said


def _syllable(rng: np.random.Generator) -> list[Phone]:
  def pick(phones):
    return list(phones.values())[rng.integers(len(phones))]

  onset: list[Phone] = []
  kind = rng.random()
  if kind < 0.30:
    onset = [pick(SONORANTS)]
  elif kind < 0.55:
    onset = [pick(FRICATIVES)]
  elif kind < 0.90:
    closure, centre = pick(STOPS)
    burst = dataclasses.replace(
      closure, voiced=0.0, noise=0.35, centre=centre, width=1200.0, seconds=(0.010, 0.020)
    )
    onset = [closure, burst]
    if rng.random() < 0.15:
      onset.append(SONORANTS["r"])
  vowel = VOWELS[rng.choice(list(VOWELS), p=VOWEL_SHARES)]
  coda = [pick(CODAS)] if rng.random() < 0.25 else []
  return [*onset, vowel, *coda]


def _formants(phones: list[Phone]) -> np.ndarray:
  """Hz, float32 [P, 3]: of phones that have none of their own, those of the next that does."""
  found = []
  following = VOWELS["e"].formants
  for phone in reversed(phones):
    following = phone.formants or following
    found.append(following)
  return np.array(found[::-1], np.float32)


def _sound(
  voice: Voice,
  *,
  pitch: np.ndarray,
  voiced: np.ndarray,
  noise: np.ndarray,
  centre: np.ndarray,
  width: np.ndarray,
  formants: np.ndarray,
  mood: np.ndarray,
  rng: np.random.Generator,
) -> np.ndarray:
  """Float32 [F * FRAME] from what every frame is to sound like."""
  frames = len(pitch)
  length = frames * FRAME
  at = np.arange(length, dtype=np.float32) / FRAME

  def sampled(track):
    return np.interp(at, np.arange(frames), track).astype(np.float32)

  phase = np.cumsum(sampled(pitch).astype(np.float64) / schema.SAMPLE_RATE) + rng.random()
  u = (phase % 1 / OPEN_QUOTIENT).astype(np.float32)
  glottis = np.where(u < 1, 2 * u - 3 * u * u, 0)  # the flow's derivative (Klatt and Klatt 1990)
  breath = rng.standard_normal(length, np.float32) * np.where(u < 1, 1.0, 0.4)
  source = (glottis + voice.breath * breath) * sampled(voiced)
  friction = rng.standard_normal(length, np.float32)

  frequency = fft.rfftfreq(FFT, 1 / schema.SAMPLE_RATE).astype(np.float32)
  tilt = (voice.tilt * 2**mood)[:, None].astype(np.float32)
  tract = 1 / (1 + 1j * frequency / tilt)  # [F, FFT // 2 + 1]
  for k, bandwidth in enumerate(BANDWIDTHS):
    base = formants[:, k] if k < 3 else UPPER_FORMANTS[k - 3]
    lift = 1 + (0.03 if k == 0 else 0.08) * mood
    own = voice.formants[k] if k < len(voice.formants) else 1.0
    centre_k = np.float32(voice.tract * own) * base * lift  # [F]
    square = np.square(centre_k)[:, None].astype(np.float32)
    damping = 1j * frequency * np.float32(bandwidth * voice.bandwidth)
    tract = tract * (square / (square - np.square(frequency) + damping))
  bands = (frequency - (centre * voice.hiss)[:, None]) / width[:, None]
  bands = noise[:, None] * np.exp(-0.5 * np.square(bands))  # [F, FFT // 2 + 1]
  spectra = fft.rfft(_frames(source), FFT) * tract + fft.rfft(_frames(friction), FFT) * bands
  pieces = fft.irfft(spectra, FFT)  # [F, FFT]
  out = np.zeros(length + FFT, np.float32)
  for i, piece in enumerate(pieces):
    out[i * FRAME : i * FRAME + FFT] += piece
  return out[FRAME // 2 : FRAME // 2 + length]


def _frames(sound: np.ndarray) -> np.ndarray:
  """Overlapping frames of 2 FRAME samples whose windows add up to one: float32 [F, 2 FRAME]."""
  padded = np.pad(sound.astype(np.float32), (FRAME // 2, 3 * FRAME // 2))
  window = signal.get_window("hann", 2 * FRAME).astype(np.float32)
  return sliding_window_view(padded, 2 * FRAME)[::FRAME][: len(sound) // FRAME] * window


def _smooth(track: np.ndarray, frames: int) -> np.ndarray:
  """A track [F, ...] averaged over a raised cosine of so many frames (odd)."""
  window = signal.get_window("hann", frames + 2, fftbins=False)[1:-1]
  return ndimage.convolve1d(track, window / window.sum(), axis=0, mode="nearest")


def wander(rng: np.random.Generator, frames: int, seconds: float) -> np.ndarray:
  """A smooth random walk around 0 with standard deviation 1: float64 [F]."""
  sigma = seconds * FRAME_RATE
  margin = int(4 * sigma)
  noise = ndimage.gaussian_filter1d(rng.standard_normal(frames + 2 * margin), sigma)
  return noise[margin : margin + frames] * np.sqrt(2 * np.sqrt(np.pi) * sigma)
