"""The plan of batches, with Grain: each example is a few integers.

Batch number i is a function of the seed and i alone, however many processes, devices or threads
there are. So a run resumes from the number of its step, and nothing else.
"""

from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.data.records import Records, centred_start

# Samples by which a centred window moves in training; a mouth opens and closes within 0.2 s.
JITTER = schema.SAMPLE_RATE // 50

RECORD, START, FACE = "record", "start", "face"
MISMATCHED, FURTHER = "mismatched", "further"
Plan = dict[str, np.ndarray]


def plan_batches(
  records: Records,
  config: Any,
  batch_size: int,
  process_index: int = 0,
  process_count: int = 1,
  start: int = 0,
) -> grain.MapDataset:
  """Returns the endless plan of shuffled batches, from that of step `start` on.

  Args:
    records: The training records.
    config: The config; `seed`, `dataset` and, for the faces that are needed, `loss` are read.
    batch_size: Examples of this process; batch i of process p is part p of global batch i.
    process_index: The number of this process.
    process_count: The number of processes that share the global batch.
    start: Steps finished before.

  Returns:
    Batches of integers:

    - `record` int32 [B]: the record of the example's speech;
    - `start` int32 [B]: where its window starts in the record's speech;
    - `face` int32 [B]: the record of its face, which is another one where `records.any_face`;
    - `length` int32 [B]: samples of speech in the window, which zeros follow;
    - `seed` uint32 [B]: the seed of its augmentation;
    - `mirrored` bool [B]: whether its face is mirrored;
    - `mismatched` int32 [B] and `mismatched_mirrored` bool [B], if the loss has that term: a record
      of another speaker, and whether its face is mirrored;
    - `further` int32 [B, K] and `further_mirrored` bool [B, K], if the loss needs K such faces:
      other records of the same speaker, or where there are none, of others.

  Raises:
    UserError: The loss needs mismatched faces, but all records are of one identity.
  """
  if config.loss.mismatched and len(np.unique(records.identity)) < 2:
    raise UserError("the training records show one identity only; mismatched faces need two.")
  return (
    grain.MapDataset.range(len(records))
    .seed(config.seed)
    .shuffle()
    .repeat()
    .random_map(_Example(records, config))
    .batch(batch_size)[start * process_count + process_index :: process_count]
  )


def further_faces(loss: Any) -> int:
  """Returns how many further faces of its speaker an example needs for `config.loss`."""
  return max(loss.matching_faces if loss.matching else 0, 1 if loss.mismatched_moment else 0)


def iterate(batches: grain.MapDataset) -> Iterator[dict[str, np.ndarray]]:
  """Returns an iterator that prepares batches ahead, in a thread."""
  # One thread is the fastest (measured): several wait for Python's lock, and for each other.
  return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=8)))


class _Example(grain.transforms.RandomMap):
  """Plans an example of a record."""

  def __init__(self, records: Records, config: Any):
    dataset, further = config.dataset, further_faces(config.loss)
    self._uniform, self._window = dataset.window_offset == schema.UNIFORM, dataset.window_samples
    self._flip, self._further = dataset.flip, further
    self._lengths, self._instants = records.lengths.tolist(), records.instant.tolist()
    self._identity = records.identity.tolist()
    self._any_face = records.any_face
    labels = range(max(self._identity) + 1)
    order = np.argsort(records.identity, kind="stable").astype(np.int32)
    ends = np.searchsorted(records.identity[order], labels, "right")
    self._own = np.split(order, ends[:-1])  # the records of each speaker, in their order
    self._mismatched = config.loss.mismatched

  def random_map(self, element: int, rng: np.random.Generator) -> Plan:
    length, identity = self._lengths[element], self._identity[element]
    if self._uniform:
      start = rng.integers(max(length - self._window, 0), endpoint=True)
    else:
      jitter = int(rng.integers(-JITTER, JITTER, endpoint=True))
      start = centred_start(length, self._window, self._instants[element] + jitter)
    plan: dict[str, Any] = {
      RECORD: np.int32(element),
      START: np.int32(start),
      schema.LENGTH: np.int32(min(length - start, self._window)),
      schema.SEED: rng.integers(1 << 32, dtype=np.uint32),
      schema.MIRRORED: self._mirrored(rng),
    }
    own = self._own[identity]
    plan[FACE] = own[rng.integers(len(own))] if self._any_face else plan[RECORD]
    if self._mismatched:
      plan[MISMATCHED] = _others(own, rng.integers(len(self._identity) - len(own)))
      plan[schema.MISMATCHED_MIRRORED] = self._mirrored(rng)
    if self._further:
      plan[FURTHER] = self._further_records(own, plan[FACE], rng)
      mirrored = [self._mirrored(rng) for _ in range(self._further)]
      plan[schema.FURTHER_MIRRORED] = np.array(mirrored)
    return plan

  def _further_records(self, own: np.ndarray, face: int, rng: np.random.Generator) -> np.ndarray:
    """Returns other records of a speaker, or where there are none, of others."""
    count, others = self._further, len(self._identity) - len(own)
    pool = own[own != face]
    if not len(pool) and others:
      return _others(own, rng.choice(others, count, replace=others < count))
    pool = pool if len(pool) else own
    return rng.choice(pool, count, replace=len(pool) < count)

  def _mirrored(self, rng: np.random.Generator) -> np.bool_:
    return np.bool_(self._flip and rng.random() < 0.5)


def _others(own: np.ndarray, numbers: Any) -> Any:
  """Returns the records of some numbers among those that are not in `own`, which is sorted."""
  before = own - np.arange(len(own))  # how many others precede each
  return np.int32(numbers + np.searchsorted(before, numbers, "right"))
