"""Batches made on the devices, of records that lie there: a step loads nothing but their indices.

The counterpart of what `data.py` does in NumPy: windows, mismatched faces and mirroring from the
same distributions, drawn with JAX's keys. Batch number i is a function of the seed and i alone,
whatever the number of devices.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wav2pix_jax import data
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_step import Batch, stream

RECORD = "record"  # an index into the records
Stored = dict[str, Any]
_LENGTH, _BY_IDENTITY, _FIRST = "length", "by_identity", "first"


def place(records: data.Records, config: Any) -> Stored:
  """The records on every device, as arrays.

  Returns:
    `face` uint8 [N, S, S, 3]; `speech` int16 [N, T], each record's `length` int32 [N] samples and
    zeros behind them, T the longest or `dataset.window_samples`; `identity` and `instant` int32
    [N], as `schema.py` says; and all indices sorted `by_identity`, int32 [N], with the `first`
    place of each identity and of one more, int32 [identities + 1].

  Raises:
    UserError: a device has not as much memory left, or as `data.refuse_one_identity`.
  """
  data.refuse_one_identity(records, config)
  lengths = np.diff(records.stops, prepend=0).astype(np.int32)
  size = max(lengths.max(), config.dataset.window_samples)
  need, free = records.faces.nbytes + 2 * len(records) * size, None
  if free is not None and need > free:
    raise UserError(
      f"dataset.on_device is True, but the records take {need >> 20:,} MiB and a device has "
      f"{free >> 20:,} MiB left; set --config.dataset.on_device=False."
    )
  speech = np.zeros((len(records), size), np.int16)
  for row, stop, length in zip(speech, records.stops, lengths, strict=True):
    row[:length] = records.speech[stop - length : stop]
  by_identity = np.argsort(records.identity, kind="stable").astype(np.int32)
  identities = np.arange(records.identity.max() + 2)
  first = np.searchsorted(records.identity[by_identity], identities).astype(np.int32)
  return distributed.replicate(
    {
      schema.FACE: np.asarray(records.faces),
      schema.SPEECH: speech,
      _LENGTH: lengths,
      schema.IDENTITY: records.identity,
      schema.INSTANT: records.instant,
      _BY_IDENTITY: by_identity,
      _FIRST: first,
    }
  )


def train_batches(
  records: data.Records,
  config: Any,
  batch_size: int,
  process_index: int = 0,
  process_count: int = 1,
  start: int = 0,
) -> Iterator[Any]:
  """As `data.train_batches`, but of indices of records: `RECORD`, int32 [batch_size].

  Without Grain, which takes 30 us to shuffle an index (measured): too long for small faces.
  """
  for step in itertools.count(start):
    places = np.arange(batch_size) + batch_size * (step * process_count + process_index)
    epochs, within = np.divmod(places, len(records))
    picked = [
      _order(len(records), config.seed, int(epoch))[within[epochs == epoch]]
      for epoch in np.unique(epochs)
    ]
    yield {RECORD: np.concatenate(picked)}


@functools.lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
  """All indices, shuffled: int32 [count]."""
  return np.random.default_rng((seed, epoch)).permutation(count).astype(np.int32)


def step_of(step: Callable[..., Any], config: Any, axis_name: str | None = None) -> Any:
  """A training step that makes its batches itself.

  Args:
    step: of state, batch and root key.
    config: of the run.
    axis_name: as of `step`.

  Returns:
    `step`, but of the state, indices `RECORD` int32 [B], and a pair: root key and what `place`
    gives.
  """

  def with_batch(state, picked, constants):
    root_key, stored = constants
    key = stream(root_key, "examples", state.step)
    return step(state, batch(stored, picked[RECORD], key, config, axis_name), root_key)

  return with_batch


def batch(
  stored: Stored, records: jax.Array, key: jax.Array, config: Any, axis_name: str | None = None
) -> Batch:
  """Examples of records int32 [B] as a batch, as `schema.py` says.

  Args:
    stored: what `place` gives.
    records: indices; of a device's share.
    key: of the global batch, the same on every device.
    config: for `dataset.*` and whether `loss.mismatched` has weight.
    axis_name: the devices that share the global batch; None for one device.
  """
  share = len(records)
  places = jnp.arange(share) + (share * lax.axis_index(axis_name) if axis_name else 0)
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, places)
  draw = functools.partial(_drawn, stored, config.dataset, bool(config.loss.mismatched))
  return data.conditioned(jax.vmap(draw)(records, keys), config.dataset.audio_steps)


def _drawn(
  stored: Stored, dataset: Any, mismatched: bool, record: jax.Array, key: jax.Array
) -> Batch:
  """Of a record a window of its speech, its face, and (if used) somebody else's, as stored."""
  window_key, distort_key, flip_key, other_key, other_flip_key = jax.random.split(key, 5)
  identity = stored[schema.IDENTITY][record]
  drawn = {
    schema.SPEECH: _window(stored, dataset, record, window_key, distort_key),
    schema.FACE: _flipped(stored[schema.FACE][record], dataset, flip_key),
    schema.IDENTITY: identity,
  }
  if mismatched:
    first, last = stored[_FIRST][identity], stored[_FIRST][identity + 1]
    count = len(stored[_BY_IDENTITY]) - (last - first)
    place = jax.random.randint(other_key, (), 0, count)
    other = stored[_BY_IDENTITY][jnp.where(place < first, place, place + last - first)]
    face = _flipped(stored[schema.FACE][other], dataset, other_flip_key)
    drawn[schema.MISMATCHED_FACE] = face
  return drawn


def _window(
  stored: Stored, dataset: Any, record: jax.Array, key: jax.Array, distort_key: jax.Array
) -> jax.Array:
  """[window_samples] of a record's speech, zeros where there is none."""
  length, size = stored[_LENGTH][record], dataset.window_samples
  latest = jnp.maximum(length - size, 0)
  if dataset.window_offset == data.UNIFORM:
    start = jax.random.randint(key, (), 0, latest + 1)
  else:
    jitter = jax.random.randint(key, (), -data.JITTER, data.JITTER + 1)
    start = jnp.clip(stored[schema.INSTANT][record] + jitter - size // 2, 0, latest)
  speech = lax.dynamic_slice(stored[schema.SPEECH], (record, start), (1, size))[0]
  if dataset.distort:
    # Noise is measured by the whole window, so it is less where a record is shorter.
    speech = jnp.where(jnp.arange(size) < length, _distorted(speech, distort_key), 0)
  return speech


def _distorted(window: jax.Array, key: jax.Array) -> jax.Array:
  """As `audio.distort`: float32 [T]."""
  often, bands, white, slope, below = jax.random.split(key, 5)
  distorted = audio.distorted(
    window,
    audio.DISTORTED_DECIBELS * jax.random.normal(bands, (audio.DISTORTED_BANDS,)),
    jax.random.normal(white, window.shape),
    jax.random.uniform(slope),
    jax.random.uniform(below, minval=audio.NOISE_BELOW[0], maxval=audio.NOISE_BELOW[1]),
  )
  return jnp.where(jax.random.bernoulli(often, audio.DISTORTED), distorted, window)


def _flipped(face: jax.Array, dataset: Any, key: jax.Array) -> jax.Array:
  return jnp.where(jax.random.bernoulli(key), face[:, ::-1], face) if dataset.flip else face
