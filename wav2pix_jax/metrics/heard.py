"""What is heard around the moments at which faces were filmed."""

import dataclasses

import numpy as np

from wav2pix_jax import data
from wav2pix_jax.common import audio, schema
from wav2pix_jax.metrics import sync_judge
from wav2pix_jax.metrics.sync_judge import Judge

OFFSETS = np.arange(-400, 401, 20)  # milliseconds by which speech is moved against the face
PAUSE = schema.SAMPLE_RATE * 12 // 100  # samples around a moment that have to be silent
SILENT = 0.1  # nobody speaks below this part of the record's root mean square, 20 dB


@dataclasses.dataclass(frozen=True)
class Heard:
  """The speech of N chunks as metrics need it."""

  # What the judge hears in speech from OFFSETS later than the face: float32 [N, OFFSETS, C].
  vectors: np.ndarray
  silent: np.ndarray  # whether nobody speaks around the moment of the face, bool [N]

  @property
  def at_once(self) -> np.ndarray:
    """What the judge hears at the moments of the faces, float32 [N, C]."""
    return self.vectors[:, np.flatnonzero(OFFSETS == 0)[0]]


def hear(judge: Judge, records: data.Records, chosen: np.ndarray) -> Heard:
  """Returns what is heard around the instants of chosen records, int [N]."""
  samples = OFFSETS * schema.SAMPLE_RATE // 1000
  vectors = [
    judge.hear(sync_judge.around(records, chosen, np.full(len(chosen), offset)))
    for offset in samples
  ]
  silent = [_silent(records.speech_of(i), int(records.instant[i])) for i in chosen]
  return Heard(np.stack(vectors, 1), np.array(silent))


def _silent(speech: np.ndarray, instant: int) -> bool:
  """Whether nobody speaks around an instant of a record, int16 [T]."""
  around = audio.cut(speech, instant - PAUSE // 2, PAUSE).astype(np.float64)
  return bool(around.std() < SILENT * speech.astype(np.float64).std())
