"""A speech synthesiser: glottal pulses and noise, filtered by a vocal tract that forms syllables.

This is a source-filter model (Fant 1960; Klatt 1980). It utters meaningless syllables of Spanish
form, in phrases with stress, intonation and pauses, and returns the movements of the mouth, too.
"""

import dataclasses

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft, ndimage, signal

from data_builders.synthetic.identity import Microphone, Voice
from wav2pix_jax.common import audio, schema

FRAME = 80  # number of samples (5 ms) between shapes of the vocal tract
FRAME_RATE = schema.SAMPLE_RATE // FRAME
FFT = 512  # number of samples: 160 of a frame, and 22 ms of ringing
# Hz; the three lower formants form the vowels, and the last two only amplify those below them
UPPER_FORMANTS = (3500.0, 4500.0, 5500.0, 6500.0, 7500.0, 8500.0, 9500.0)
BANDWIDTHS = (70.0, 90.0, 130.0, 200.0, 250.0, 300.0, 350.0, 400.0, 450.0, 500.0)  # Hz
OPEN_QUOTIENT = 0.6  # fraction of a period in which the glottis is open
LEVEL = 0.07  # root mean square of speech, relative to full scale


@dataclasses.dataclass(frozen=True)
class Phone:
  """The articulation of one sound of speech."""

  formants: tuple[float, float, float] | None = None  # Hz, of a 17 cm tract; None: the next vowel's
  voiced: float = 0.0  # amplitude of the glottal source
  noise: float = 0.0  # amplitude of the friction noise
  centre: float = 3000.0  # Hz, of the noise
  width: float = 1000.0  # Hz, standard deviation of the noise's band
  opening: float = 0.15  # of the mouth, 0 to 1
  spread: float = 0.1  # of the lips, -1 (rounded) to 1 (drawn apart)
  seconds: tuple[float, float] = (0.05, 0.09)  # shortest and longest duration


VOWELS = {
  "a": Phone((750, 1350, 2550), 1.0, opening=0.95, spread=0.2, seconds=(0.07, 0.14)),
  "e": Phone((500, 1900, 2600), 1.0, opening=0.55, spread=0.55, seconds=(0.07, 0.13)),
  "i": Phone((300, 2300, 3000), 1.0, opening=0.28, spread=0.9, seconds=(0.06, 0.12)),
  "o": Phone((500, 950, 2450), 1.0, opening=0.60, spread=-0.6, seconds=(0.07, 0.13)),
  "u": Phone((320, 780, 2300), 1.0, opening=0.26, spread=-0.95, seconds=(0.06, 0.12)),
}
VOWEL_SHARES = (0.32, 0.30, 0.12, 0.18, 0.08)  # approximately those of Spanish
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
STOPS = {  # a closure, and the centre of the noise burst after it, Hz
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
  """Speech and the movements of the speaker's face, in F = T / FRAME frames at FRAME_RATE."""

  samples: np.ndarray  # float32 [T] at 16 kHz, close to the lips, with root mean square LEVEL
  opening: np.ndarray  # of the mouth, float32 [F], 0 to about 1
  spread: np.ndarray  # of the lips, float32 [F], -1 to 1
  stress: np.ndarray  # float32 [F], 0 to 1
  pitch: np.ndarray  # float32 [F], Hz, where the sound is voiced
  mood: np.ndarray  # float32 [F], about -1 to 1


@dataclasses.dataclass(frozen=True)
class _Said:
  """A phone as it is uttered."""

  phone: Phone
  frames: int
  effort: float  # loudness and width of the mouth, about 1
  stress: float  # 0 or 1
  progress: float  # 0 to 1 through the phrase


def speak(voice: Voice, mood: np.ndarray, rng: np.random.Generator) -> Utterance:
  """Returns a random utterance as long as a mood, float [F], about -1 to 1.

  A good mood raises the pitch, brightens the voice, speeds it up, and shortens the vocal tract, as
  a smile does (Tartter 1980).
  """
  frames = len(mood)
  skipped = int(rng.integers(FRAME_RATE))  # start anywhere in the talk
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
    rng,
    pitch=(pitch * vibration).astype(np.float32),
    voiced=track([p.voiced for p in phones], 7) * effort,
    noise=track([p.noise for p in phones], 3) * effort,
    centre=track([p.centre for p in phones], 3),
    width=track([p.width for p in phones], 3),
    formants=track(_formants(phones), 13),
    mood=mood.astype(np.float32),
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
  """Returns speech, float [T], as recorded by a microphone in a random room, int16 [T].

  The room's echo lasts for 0.05 to 0.2 s and is 12 to 25 dB below the speech.
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
  """Returns phrases of 5 to 14 syllables and pauses that last at least `frames` frames."""

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
  """Returns the formants of phones, float32 [P, 3], Hz. None is replaced by the next."""
  found = []
  following = VOWELS["e"].formants
  for phone in reversed(phones):
    following = phone.formants or following
    found.append(following)
  return np.array(found[::-1], np.float32)


def _sound(
  voice: Voice, rng: np.random.Generator, *, pitch, voiced, noise, centre, width, formants, mood
) -> np.ndarray:
  """Returns the sound, float32 [F * FRAME], of tracks [F] or [F, 3] of a phone's properties."""
  frames = len(pitch)
  length = frames * FRAME
  at = np.arange(length, dtype=np.float32) / FRAME

  def sampled(track):
    return np.interp(at, np.arange(frames), track).astype(np.float32)

  phase = np.cumsum(sampled(pitch).astype(np.float64) / schema.SAMPLE_RATE) + rng.random()
  u = (phase % 1 / OPEN_QUOTIENT).astype(np.float32)
  glottis = np.where(u < 1, 2 * u - 3 * u * u, 0)  # derivative of the flow (Klatt and Klatt 1990)
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
  """Returns overlapping frames whose windows add up to one: float32 [F, 2 FRAME]."""
  padded = np.pad(sound.astype(np.float32), (FRAME // 2, 3 * FRAME // 2))
  window = signal.get_window("hann", 2 * FRAME).astype(np.float32)
  return sliding_window_view(padded, 2 * FRAME)[::FRAME][: len(sound) // FRAME] * window


def _smooth(track: np.ndarray, frames: int) -> np.ndarray:
  """Returns a track [F, ...] smoothed by a raised cosine of an odd number of frames."""
  window = signal.get_window("hann", frames + 2, fftbins=False)[1:-1]
  return ndimage.convolve1d(track, window / window.sum(), axis=0, mode="nearest")


def wander(rng: np.random.Generator, frames: int, seconds: float) -> np.ndarray:
  """Returns a smooth random track around 0 with standard deviation 1: float64 [F]."""
  sigma = seconds * FRAME_RATE
  margin = int(4 * sigma)
  noise = ndimage.gaussian_filter1d(rng.standard_normal(frames + 2 * margin), sigma)
  return noise[margin : margin + frames] * np.sqrt(2 * np.sqrt(np.pi) * sigma)
