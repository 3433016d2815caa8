"""Noise to test with: what a microphone may hear besides the speaker."""

import dataclasses

import numpy as np

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError

KINDS = ("white", "music", "babble", "silence")
TALKING = 4  # voices in a babble
NOTES = 4  # a second, in a music
CHORDS = np.array([[0, 4, 7, 12], [9, 12, 16, 21], [5, 9, 12, 17], [7, 11, 14, 19]])  # semitones
LOWEST = 130.8  # Hz
HARMONICS = 6


@dataclasses.dataclass(frozen=True)
class Noise:
  """What is added to speech.

  Attributes:
    kind: "white" noise, "music" (chords, a note each quarter of a second), or a "babble" of four
      other voices; "silence" takes the place of the speech.
    decibels: how much louder the speech is, by mean squares.
  """

  kind: str
  decibels: float

  def __str__(self) -> str:
    return self.kind if self.kind == "silence" else f"{self.kind} {self.decibels:g} dB"


def parse(text: str) -> Noise:
  """Of "KIND:DECIBELS", as "babble:10", or "silence".

  Raises:
    UserError: none of these.
  """
  kind, colon, decibels = text.partition(":")
  try:
    if kind in KINDS and bool(colon) != (kind == "silence"):
      return Noise(kind, float(decibels or 0))
  except ValueError:
    pass
  raise UserError(
    f"--noise={text}: not KIND:DECIBELS, as babble:10, with {', '.join(KINDS[:3])}; or silence."
  )


def add(windows: np.ndarray, noise: Noise, speakers: np.ndarray, seed: int) -> np.ndarray:
  """Windows of speech, int16 [N, T], with noise: int16 [N, T].

  Where the sum is louder than 16 bits can be, it is turned down as a whole.

  Args:
    windows: of speech.
    noise: to add.
    speakers: int [N]; a babble is of others among them.
    seed: the same for the same noise.

  Raises:
    UserError: a babble, and all are one speaker.
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
        raise UserError(f"--noise={noise.kind} needs the voices of others, and there is one only.")
      added = windows[rng.choice(others, TALKING)].sum(0, dtype=np.float64)
    power = np.mean(np.square(window, dtype=np.float64))
    loudness = np.sqrt(power / max(np.mean(np.square(added)), 1e-9) / 10 ** (noise.decibels / 10))
    mixed = window + loudness * added
    out.append(mixed * min(1, 32_767 / max(np.abs(mixed).max(), 1)))
  return np.stack(out).round().astype(np.int16)


def _music(length: int, rng: np.random.Generator) -> np.ndarray:
  """Broken chords of plucked strings, from a random place on: float64 [length]."""
  every = schema.SAMPLE_RATE // NOTES
  first = int(rng.integers(0, CHORDS.size))
  key = LOWEST * 2 ** (rng.integers(12) / 12)
  ring = np.arange(4 * every) / schema.SAMPLE_RATE
  out = np.zeros(length + 4 * every)
  for i in range(-3, length // every + 1):  # those still heard at the start, too
    note = CHORDS.flat[(first + i) % CHORDS.size]
    pitch = key * 2 ** (note / 12)
    tone = sum(
      np.sin(2 * np.pi * h * pitch * ring) * np.exp(-4 * h * ring) / h
      for h in range(1, HARMONICS + 1)
    )
    start = i * every
    out[max(start, 0) : start + len(ring)] += tone[max(-start, 0) :]
  return out[:length]
