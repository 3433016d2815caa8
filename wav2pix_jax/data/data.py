"""Batches made with Grain."""

import functools
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.data.records import UNIFORM, Example, Records, centred_start

# Samples to either side of a centred window, in training; a mouth opens and shuts within 0.2 s.
JITTER = schema.SAMPLE_RATE // 50

_FACES = (schema.FACE, schema.MISMATCHED_FACE)


def train_batches(
  records: Records,
  config: Any,
  batch_size: int,
  process_index: int = 0,
  process_count: int = 1,
  start: int = 0,
) -> grain.DatasetIterator:
  """Endless shuffled batches, as `schema.py` says, from that of step `start` on.

  Going on after any step on any number of processes takes the number of the step and nothing else.

  Args:
    records: to learn from.
    config: for `seed`, `dataset.*` and whether `loss.mismatched` has weight.
    batch_size: of this process; batch i of process p is part p of global batch i.
    process_index: which of the processes this is.
    process_count: how many share the global batch.
    start: steps done before the first batch.

  Raises:
    UserError: as `refuse_one_identity`.
  """
  refuse_one_identity(records, config)
  return iter(
    grain.MapDataset.source(_Source(records))
    .seed(config.seed)
    .shuffle()
    .repeat()
    .random_map(_Drawn(records, config))
    .batch(batch_size)[start * process_count + process_index :: process_count]
    .map(functools.partial(conditioned, steps=tuple(config.dataset.audio_steps)))
    # One thread is the fastest (measured): several wait for Python's lock, and for each other.
    .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=8))
  )


def refuse_one_identity(records: Records, config: Any) -> None:
  """Refuses records that leave no mismatched faces to draw, where the loss has that term.

  Raises:
    UserError: all show the same person.
  """
  if config.loss.mismatched and len(np.unique(records.identity)) < 2:
    raise UserError("the training records show one identity only; mismatched faces need two.")


class _Source:
  def __init__(self, records):
    self.r = records

  def __len__(self):
    return len(self.r)

  def __getitem__(self, i):
    return {
      schema.FACE: self.r.faces[i],
      schema.SPEECH: self.r.speech_of(i),
      schema.IDENTITY: self.r.identity[i],
      schema.INSTANT: self.r.instant[i],
    }


class _Drawn(grain.transforms.RandomMap):
  """Of a record a window of its speech, its face, and (if used) somebody else's, as stored."""

  def __init__(self, records: Records, config: Any):
    self._records = records
    self._dataset = config.dataset
    self._mismatched = bool(config.loss.mismatched)
    self._others = [
      np.flatnonzero(records.identity != who) for who in range(records.identity.max() + 1)
    ]

  def random_map(self, element: Example, rng: np.random.Generator) -> Example:
    length, size = len(element[schema.SPEECH]), self._dataset.window_samples
    if self._dataset.window_offset == UNIFORM:
      start = rng.integers(max(length - size, 0), endpoint=True)
    else:
      jitter = int(rng.integers(-JITTER, JITTER, endpoint=True))
      start = centred_start(length, size, int(element[schema.INSTANT]) + jitter)
    speech = element[schema.SPEECH][start : start + size]
    if self._dataset.distort:
      speech = audio.distort(speech, rng)
    drawn = {
      schema.SPEECH: audio.cut(speech, 0, size),
      schema.FACE: self._flipped(element[schema.FACE], rng),
      schema.IDENTITY: element[schema.IDENTITY],
    }
    if self._mismatched:
      other = self._records.faces[rng.choice(self._others[element[schema.IDENTITY]])]
      drawn[schema.MISMATCHED_FACE] = self._flipped(other, rng)
    return drawn

  def _flipped(self, face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return face[:, ::-1] if self._dataset.flip and rng.random() < 0.5 else face


def conditioned(batch: dict[str, Any], steps: Sequence[str]) -> dict[str, Any]:
  """Windows and faces as stored, [B, ...], as the networks take them; of NumPy or JAX."""
  out = {schema.SPEECH: audio.condition(batch[schema.SPEECH], steps)}
  faces = {name: images.to_float(batch[name]) for name in _FACES if name in batch}
  return out | faces | {schema.IDENTITY: batch[schema.IDENTITY]}
