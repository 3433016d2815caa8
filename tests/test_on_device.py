"""Batches made on the devices are those that the processor would have made, but for the draws."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wav2pix_jax import data
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.data import on_device
from wav2pix_jax.runtime import distributed

KEY = jax.random.key(3)


@pytest.fixture
def records(clean, config):
  return data.load(clean, "train", config.image_size)


def _batch(records, config, indices, key=KEY):
  made = jax.jit(functools.partial(on_device.batch, config=config))
  return jax.device_get(made(on_device.place(records, config), jnp.asarray(indices), key))


def test_an_epoch_shows_every_record_once_and_the_next_in_another_order(records, config):
  count = len(records)
  batches = on_device.train_batches(records, config, count)
  first, second = (next(batches)[on_device.RECORD] for _ in range(2))
  assert first.dtype == np.int32
  assert sorted(first) == sorted(second) == list(range(count))
  assert not np.array_equal(first, second)
  config.seed = 1
  assert not np.array_equal(
    next(on_device.train_batches(records, config, count))[on_device.RECORD], first
  )


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_share_the_global_batch_from_any_step(records, config, processes):
  whole = on_device.train_batches(records, config, 8)
  expected = [next(whole)[on_device.RECORD] for _ in range(23)]  # across the end of an epoch
  parts = [
    on_device.train_batches(records, config, 8 // processes, p, processes, start=3)
    for p in range(processes)
  ]
  for batch in expected[3:]:
    found = np.concatenate([next(part)[on_device.RECORD] for part in parts])
    assert np.array_equal(found, batch)


def test_batches_are_conditioned_as_on_the_processor(records, config):
  """A window longer than all speech leaves nothing to draw."""
  config.dataset.window_samples, config.dataset.distort = 70_000, False
  config.loss.mismatched = 0.0
  indices = np.arange(0, len(records), 3)
  made, expected = (
    _batch(records, config, indices),
    data.centred_examples(records, config.dataset, indices),
  )
  assert made.keys() == expected.keys()
  for name, x in expected.items():
    assert made[name].dtype == x.dtype
    np.testing.assert_allclose(made[name], x, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("window_offset", ["uniform", "centred"])
def test_windows_start_where_they_may(records, config, window_offset):
  """Uniform ones anywhere, centred ones at the instant; here speech counts its samples."""
  config.dataset.window_offset, config.dataset.distort = window_offset, False
  config.dataset.audio_steps = ()
  lengths = np.diff(records.stops, prepend=0)
  counted = np.concatenate([np.arange(length) - 32_000 for length in lengths]).astype(np.int16)
  records = dataclasses.replace(records, speech=counted)
  record = int(lengths.argmax())
  length, instant = int(lengths[record]), int(records.instant[record])
  speech = _batch(records, config, [record] * 200)[schema.SPEECH]
  found = speech[:, 0] + 32_000
  assert np.array_equal(speech, found[:, None] - 32_000 + np.arange(16_000))
  low, high = (
    (0, length - 16_000)
    if window_offset == "uniform"
    else (data.centred_start(length, 16_000, instant + j) for j in (-data.JITTER, data.JITTER))
  )
  assert found.min() >= low
  assert found.max() <= high
  if low < high:
    assert abs(found.mean() - (low + high) / 2) < 0.1 * (high - low)
    assert found.std() == pytest.approx((high - low) / np.sqrt(12), rel=0.15)


def test_speech_ends_in_zeros_where_there_is_no_more(records, config):
  config.dataset.window_samples = 70_000
  lengths = np.diff(records.stops, prepend=0)
  speech = _batch(records, config, np.arange(len(records)))[schema.SPEECH]
  for window, length in zip(speech, lengths, strict=True):
    assert not window[length + 1 :].any()  # pre-emphasis reaches one sample further
    assert window[:length].any()


def test_mismatched_faces_are_everybody_elses_alike(records, config):
  """The other identity's faces, each as often as any other."""
  who, by_face = records.identity, {face.tobytes(): i for i, face in enumerate(records.faces)}
  for identity in (0, 1):
    faces = _batch(records, config, [int(np.flatnonzero(who == identity)[0])] * 4000)
    pictures = images.to_uint8(faces[schema.MISMATCHED_FACE])
    chosen = np.array([by_face[picture.tobytes()] for picture in pictures])
    counts = np.bincount(chosen, minlength=len(who))
    others = who != identity
    assert counts[others].sum() == 4000
    expected = 4000 / others.sum()
    assert np.abs(counts[others] - expected).max() < 5 * np.sqrt(expected)


def test_flip_mirrors_half_of_the_faces(records, config):
  config.dataset.flip = True
  faces = images.to_uint8(_batch(records, config, [0] * 400)[schema.FACE])
  mirrored = (faces == records.faces[0][:, ::-1]).all((1, 2, 3))
  assert (faces[~mirrored] == records.faces[0]).all()
  assert 160 < mirrored.sum() < 240


def test_distortion_is_that_of_the_processor(records, config):
  """Its loudness, its spectrum and its noise have the same mean and deviation over many draws."""
  config.dataset.distort, config.dataset.audio_steps = True, ()
  config.dataset.window_samples, count = 16_000, 600
  length = np.diff(records.stops, prepend=0)
  record = int(length.argmin())
  clip = records[record][schema.SPEECH][:16_000]
  rng = np.random.default_rng(0)
  theirs = np.stack([audio.distort(clip, rng) for _ in range(count)])
  stored = {
    schema.SPEECH: clip[None],
    "length": np.array([16_000], np.int32),
    schema.INSTANT: np.zeros(1, np.int32),
  }
  draw = functools.partial(on_device._window, stored, config.dataset, 0)
  keys = jax.random.split(KEY, count)
  ours = np.asarray(jax.jit(jax.vmap(draw))(keys, jax.random.split(jax.random.key(4), count)))
  assert ours.dtype == np.float32
  same = [(x == clip).all(1).mean() for x in (ours, theirs)]
  assert np.abs(np.subtract(same, 0.2)).max() < 0.05

  def bands(x):
    power = np.square(np.abs(np.fft.rfft(x)))
    edges = np.geomspace(50, 7999, 9).astype(int)
    return np.log10([power[:, a:b].mean(1) for a, b in zip(edges, edges[1:], strict=False)])

  (ours_mean, ours_std), (mean, std) = ((b.mean(1), b.std(1)) for b in map(bands, (ours, theirs)))
  np.testing.assert_allclose(ours_mean, mean, atol=5 * std.max() / np.sqrt(count))
  np.testing.assert_allclose(ours_std, std, rtol=0.2)


def test_devices_share_the_batch_that_one_would_make(records, config):
  indices = np.arange(8) % len(records)
  stored = on_device.place(records, config)
  whole = jax.jit(functools.partial(on_device.batch, config=config))(stored, indices, KEY)
  made = functools.partial(on_device.batch, config=config, axis_name=distributed.AXIS)
  shared = jax.pmap(made, axis_name=distributed.AXIS, in_axes=(None, 0, None))(
    stored, indices.reshape(2, 4), KEY
  )
  assert jax.device_count() == 2
  for name, x in whole.items():
    np.testing.assert_allclose(shared[name].reshape(x.shape), x, atol=1e-6, err_msg=name)


def test_records_that_do_not_fit_are_refused(records, config, monkeypatch):
  monkeypatch.setattr(distributed, "free_memory", lambda: 2**20)
  with pytest.raises(UserError, match="a device has 1 MiB left; set --config.dataset"):
    on_device.place(records, config)


def test_one_identity_is_refused(records, config):
  only = dataclasses.replace(records, identity=np.zeros_like(records.identity))
  with pytest.raises(UserError, match="one identity"):
    on_device.place(only, config)
