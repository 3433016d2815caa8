"""Batches are equal to the bit wherever they are gathered: on the host, or on the devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wav2pix_jax import data
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.data import gather, plan
from wav2pix_jax.runtime import distributed


@pytest.fixture
def records(clean, config):
  return data.load(clean, "train", config.image_size)


def _plans(records, config, count=3):
  config.loss.matching, config.loss.matching_faces = 1.0, 2
  batches = plan.iterate(plan.plan_batches(records, config, 8))
  return [next(batches) for _ in range(count)]


def _assert_same(a, b):
  assert a.keys() == b.keys()
  for name, x in a.items():
    assert x.dtype == b[name].dtype, name
    np.testing.assert_array_equal(x, b[name], err_msg=name)


def test_a_raw_batch_is_what_its_plan_names(records, config):
  (planned,) = _plans(records, config, 1)
  raw = gather.gather(records, planned, 16_000)
  size = config.image_size
  assert {name: (x.shape, x.dtype) for name, x in raw.items()} == {
    schema.SPEECH: ((8, 16_000), np.int16),
    schema.LENGTH: ((8,), np.int32),
    schema.FACE: ((8, size, size, 3), np.uint8),
    schema.MISMATCHED_FACE: ((8, size, size, 3), np.uint8),
    schema.FURTHER_FACES: ((8, 2, size, size, 3), np.uint8),
    schema.MIRRORED: ((8,), np.bool_),
    schema.MISMATCHED_MIRRORED: ((8,), np.bool_),
    schema.FURTHER_MIRRORED: ((8, 2), np.bool_),
    schema.RECORDS: ((8, 3), np.int32),
    schema.IDENTITY: ((8,), np.int32),
    schema.SEED: ((8,), np.uint32),
  }
  for i, record in enumerate(planned[plan.RECORD]):
    start = int(planned[plan.START][i])
    expected = audio.cut(records.speech_of(record), start, 16_000)
    assert np.array_equal(raw[schema.SPEECH][i], expected)
    assert not raw[schema.SPEECH][i, planned[schema.LENGTH][i] :].any()
    assert np.array_equal(raw[schema.FACE][i], records.faces[record])
    assert raw[schema.IDENTITY][i] == records.identity[record]
    mismatched, further = planned[plan.MISMATCHED][i], planned[plan.FURTHER][i]
    assert np.array_equal(raw[schema.MISMATCHED_FACE][i], records.faces[mismatched])
    assert np.array_equal(raw[schema.FURTHER_FACES][i], records.faces[further])
    assert raw[schema.RECORDS][i].tolist() == [record, *further]


def test_mismatched_faces_are_somebody_elses(records, config):
  """The small release's first identity is red, its second blue."""
  for planned in _plans(records, config):
    raw = gather.gather(records, planned, 16_000)
    for name, same in ((schema.FACE, True), (schema.MISMATCHED_FACE, False)):
      red_minus_blue = (raw[name][..., 0].astype(int) - raw[name][..., 2]).mean((1, 2))
      assert np.array_equal((red_minus_blue < 0) == (raw[schema.IDENTITY] == 1), [same] * 8)


@pytest.mark.parametrize("window_offset", ["uniform", "centred"])
@pytest.mark.parametrize("window", [4_800, 16_000, 16_384, 70_000])
def test_host_and_device_gather_the_same_bytes(records, config, window, window_offset):
  config.dataset.window_samples, config.dataset.window_offset = window, window_offset
  config.dataset.flip = True
  stored = jax.device_put(gather.arrays(records, window))
  gathered = jax.jit(functools.partial(gather.gather_on_device, window_samples=window))
  for planned in _plans(records, config):
    host = gather.gather(records, planned, window)
    _assert_same(host, jax.device_get(gathered(stored, planned)))


def test_so_they_do_without_mismatched_and_further_faces(records, config):
  config.loss.mismatched = 0.0
  planned = next(plan.iterate(plan.plan_batches(records, config, 8)))
  host = gather.gather(records, planned, 16_000)
  assert not {schema.MISMATCHED_FACE, schema.FURTHER_FACES} & host.keys()
  stored = jax.device_put(gather.arrays(records, 16_000))
  _assert_same(host, jax.device_get(gather.gather_on_device(stored, planned, 16_000)))


def test_devices_gather_their_shares_of_the_batch_that_one_would(records, config):
  (planned,) = _plans(records, config, 1)
  stored = gather.arrays(records, 16_000)
  assert jax.device_count() == 2
  shared = jax.pmap(
    functools.partial(gather.gather_on_device, window_samples=16_000),
    axis_name=distributed.AXIS,
    in_axes=(None, 0),
  )(stored, distributed.shard(planned))
  joined = {name: np.asarray(x).reshape(-1, *x.shape[2:]) for name, x in shared.items()}
  _assert_same(gather.gather(records, planned, 16_000), joined)


def test_records_that_do_not_fit_are_refused(records, monkeypatch):
  monkeypatch.setattr(gather, "free_memory", lambda: 2**20)
  with pytest.raises(UserError, match="a device has 1 MiB left; set --config.dataset"):
    gather.arrays(records, 16_000)
  monkeypatch.setattr(gather, "free_memory", lambda: None)  # not known: tried
  gather.arrays(records, 16_000)


def test_free_memory_is_that_of_the_fullest_device(monkeypatch):
  assert 2**20 < gather.free_memory() < 2**50  # a share of the machine's

  class Device:
    platform = "gpu"

    def __init__(self, used):
      self._used = used

    def memory_stats(self):
      return None if self._used is None else {"bytes_limit": 100, "bytes_in_use": self._used}

  for used, free in (((10, 30), 70), ((10, None), None)):
    monkeypatch.setattr(gather.jax, "local_devices", lambda used=used: [*map(Device, used)])
    assert gather.free_memory() == free


def test_arrays_have_zeros_behind_the_speech(records):
  stored = gather.arrays(records, 70_000)
  assert stored[schema.SPEECH].shape == (len(records), max(70_000, records.lengths.max()))
  for row, length, i in zip(
    stored[schema.SPEECH], records.lengths, range(len(records)), strict=True
  ):
    assert np.array_equal(row[:length], records.speech_of(i))
    assert not row[length:].any()
  assert jnp.asarray(stored[schema.FACE]).dtype == jnp.uint8
