"""Noise for evaluation: what a microphone may record besides the speaker."""

import dataclasses

import numpy as np

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError

KINDS = ("white", "music", "babble", "silence")
TALKING = 4  # voices in babble
NOTES = 4  # per second of music
CHORDS = np.array([[0, 4, 7, 12], [9, 12, 16, 21], [5, 9, 12, 17], [7, 11, 14, 19]])  # semitones
LOWEST = 130.8  # Hz
HARMONICS = 6


@dataclasses.dataclass(frozen=True)
class Noise:
  """Noise that is added to speech."""

  # "white" noise, "music" (chords, four notes per second), or "babble" of four other voices;
  # "silence" replaces the speech.
  kind: str
  decibels: float  # signal-to-noise ratio, from mean squares

  def __str__(self) -> str:
    return self.kind if self.kind == "silence" else f"{self.kind} {self.decibels:g} dB"


def parse(text: str) -> Noise:
  """Parses "KIND:DECIBELS", such as "babble:10", or "silence"; else raises UserError."""
  kind, colon, decibels = text.partition(":")
  try:
    if kind in KINDS and bool(colon) != (kind == "silence"):
      return Noise(kind, float(decibels or 0))
  except ValueError:
    pass
  raise UserError(
    f"--noise={text}: expected KIND:DECIBELS, such as babble:10, with KIND one of "
    f"{', '.join(KINDS[:3])}; or silence."
  )


def add(windows: np.ndarray, noise: Noise, speakers: np.ndarray, seed: int) -> np.ndarray:
  """Returns windows of speech with noise, int16 [N, T] both.

  Babble consists of the windows of other speakers, given by their labels, int [N]. Where the sum
  exceeds the range of int16, the window is attenuated as a whole.

  Raises:
    UserError: The noise is babble, and there is only one speaker.
  """
  if noise.kind == "silence":
    return np.zeros_like(windows)
  rng, out = np.random.default_rng(seed), []
  for i, window in enumerate(windows):
    if noise.kind == "white":
      added = rng.standard_normal(len(window))
    elif noise.kind == "music":
      added = _music(len(window), rng)
    else:
      others = np.flatnonzero(speakers != speakers[i])
      if not len(others):
        raise UserError(f"--noise={noise.kind} needs several speakers, but there is only one.")
      added = windows[rng.choice(others, TALKING)].sum(0, dtype=np.float64)
    power = np.mean(np.square(window, dtype=np.float64))
    loudness = np.sqrt(power / max(np.mean(np.square(added)), 1e-9) / 10 ** (noise.decibels / 10))
    mixed = window + loudness * added
    out.append(mixed * min(1, 32_767 / max(np.abs(mixed).max(), 1)))
  return np.stack(out).round().astype(np.int16)


def _music(length: int, rng: np.random.Generator) -> np.ndarray:
  """Returns broken chords of plucked strings from a random position on: float64 [length]."""
  every = schema.SAMPLE_RATE // NOTES
  first = int(rng.integers(0, CHORDS.size))
  key = LOWEST * 2 ** (rng.integers(12) / 12)
  ring = np.arange(4 * every) / schema.SAMPLE_RATE
  out = np.zeros(length + 4 * every)
  for i in range(-3, length // every + 1):  # from the notes that still sound at the start
    note = CHORDS.flat[(first + i) % CHORDS.size]
    pitch = key * 2 ** (note / 12)
    tone = sum(
      np.sin(2 * np.pi * h * pitch * ring) * np.exp(-4 * h * ring) / h
      for h in range(1, HARMONICS + 1)
    )
    start = i * every
    out[max(start, 0) : start + len(ring)] += tone[max(-start, 0) :]
  return out[:length]
