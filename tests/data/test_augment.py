"""Augmentation: what it changes, how much, and what it leaves alone."""

import functools

import jax
import numpy as np
import pytest

from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.data import augment

RNG = np.random.default_rng(0)
COUNT = 400


@pytest.fixture
def raw():
  faces = (8, 16, 16, 3)
  return {
    schema.SPEECH: RNG.integers(-9000, 9000, (8, 16_000)).astype(np.int16),
    schema.LENGTH: np.full(8, 16_000, np.int32),
    schema.FACE: RNG.integers(0, 256, faces, np.uint8),
    schema.MISMATCHED_FACE: RNG.integers(0, 256, faces, np.uint8),
    schema.FURTHER_FACES: RNG.integers(0, 256, (8, 2, 16, 16, 3), np.uint8),
    schema.MIRRORED: np.arange(8) % 2 == 0,
    schema.MISMATCHED_MIRRORED: np.arange(8) < 3,
    schema.FURTHER_MIRRORED: np.arange(16).reshape(8, 2) % 3 == 0,
    schema.RECORDS: np.arange(24, dtype=np.int32).reshape(8, 3),
    schema.IDENTITY: RNG.integers(0, 2, 8).astype(np.int32),
    schema.SEED: RNG.integers(0, 1 << 32, 8, np.uint32),
  }


def _augment(raw, config):
  made = jax.jit(functools.partial(augment.augment, dataset=config.dataset))
  return jax.device_get(made(raw))


def test_batches_keep_the_contract(raw, config):
  batch = _augment(raw, config)
  assert {name: (x.shape, x.dtype) for name, x in batch.items()} == {
    schema.SPEECH: ((8, 16_000), np.float32),
    schema.FACE: ((8, 16, 16, 3), np.float32),
    schema.MISMATCHED_FACE: ((8, 16, 16, 3), np.float32),
    schema.FURTHER_FACES: ((8, 2, 16, 16, 3), np.float32),
    schema.RECORDS: ((8, 3), np.int32),
    schema.IDENTITY: ((8,), np.int32),
  }
  for name in (schema.FACE, schema.MISMATCHED_FACE, schema.FURTHER_FACES):
    assert batch[name].min() == -1
    assert batch[name].max() == 1
  assert 0.1 < np.abs(batch[schema.SPEECH]).max() <= 1.95


@pytest.mark.parametrize("steps", [("peak", "pre_emphasis"), ("pre_emphasis", "peak"), ()])
def test_without_augmentation_it_is_what_numpy_makes(raw, config, steps):
  config.dataset.distort, config.dataset.audio_steps = False, steps
  batch = _augment(raw, config)
  expected = audio.condition(raw[schema.SPEECH], steps)
  np.testing.assert_allclose(batch[schema.SPEECH], expected, rtol=1e-6, atol=1e-6)
  for name in (schema.FACE, schema.MISMATCHED_FACE, schema.FURTHER_FACES):
    np.testing.assert_allclose(batch[name], images.to_float(raw[name]), rtol=1e-6, atol=1e-6)
  assert np.array_equal(batch[schema.IDENTITY], raw[schema.IDENTITY])


def test_silence_makes_no_nan(raw, config):
  raw[schema.SPEECH][:] = 0
  config.dataset.distort = True
  assert not _augment(raw, config)[schema.SPEECH].any()


def test_only_training_speech_that_is_to_be_is_distorted(raw, config):
  speech = {}
  for config.dataset.distort in (True, False):
    speech[config.dataset.distort] = _augment(raw, config)[schema.SPEECH]
  same = [np.allclose(*pair, atol=1e-6) for pair in zip(speech[True], speech[False], strict=True)]
  assert 0 <= np.mean(same) < 0.8
  raw[schema.SEED][:] = raw[schema.SEED][~np.array(same)][0]
  raw[schema.SPEECH][:] = raw[schema.SPEECH][0]
  config.dataset.distort = True
  again = _augment(raw, config)[schema.SPEECH]
  np.testing.assert_allclose(again, again[:1].repeat(8, 0), atol=1e-5)  # the seed decides


def test_faces_are_mirrored_that_the_plan_names_and_nothing_else(raw, config):
  config.dataset.flip = True
  flipped = _augment(raw, config)
  config.dataset.flip = False
  plain = _augment(raw, config)
  for face, mirrored in (
    (schema.FACE, schema.MIRRORED),
    (schema.MISMATCHED_FACE, schema.MISMATCHED_MIRRORED),
    (schema.FURTHER_FACES, schema.FURTHER_MIRRORED),
  ):
    for i in np.ndindex(raw[mirrored].shape):
      before, after = plain[face][i], flipped[face][i]
      assert np.array_equal(after, before[:, ::-1] if raw[mirrored][i] else before)
  for name in (schema.SPEECH, schema.IDENTITY):
    assert np.array_equal(plain[name], flipped[name])


@pytest.fixture(scope="module")
def distorted():
  """A window of speech-like noise, and what many seeds make of it."""
  window = (2000 * RNG.standard_normal(16_000)).astype(np.int16)
  distort = jax.jit(jax.vmap(augment.distort, (None, None, 0)))
  return window, np.asarray(distort(window, np.int32(16_000), np.arange(COUNT, dtype=np.uint32)))


def test_distorted_speech_is_still_that_speech(distorted):
  window, made = distorted
  assert made.dtype == np.float32
  same = (made == window).all(1)
  assert 0.12 < same.mean() < 0.28  # one of five stays as it is
  loudness = made.std(1) / window.std()
  assert 0.7 < np.median(loudness) < 1.6
  alike = np.array([abs(np.corrcoef(one, window)[0, 1]) for one in made[~same]])
  assert np.quantile(alike, 0.02) > 0.55  # of noise in all bands: filters change much


def _bands(x):
  power = np.square(np.abs(np.fft.rfft(x)))
  edges = np.geomspace(50, 7999, 9).astype(int)
  return 10 * np.log10([power[..., a:b].mean(-1) for a, b in zip(edges, edges[1:], strict=False)])


def test_gains_are_normal_with_six_decibels(distorted):
  window, made = distorted
  change = _bands(made[(made != window).any(1)]) - _bands(window)[:, None]
  assert np.abs(change.mean(1)).max() < 3  # noise adds to what filters take away
  assert 3.5 < change.std(1).min() < change.std(1).max() < 7.5


def test_noise_is_5_to_40_decibels_below_the_speech_and_white_to_pink():
  """Speech in one half: what is in the other half is noise."""
  window = np.zeros(16_000, np.int16)
  window[:8_000] = 2000 * RNG.standard_normal(8_000)
  distort = jax.jit(jax.vmap(augment.distort, (None, None, 0)))
  made = np.asarray(distort(window, np.int32(16_000), np.arange(COUNT, dtype=np.uint32)))
  made = made[(made != window).any(1)]
  noise = made[:, 9_000:]
  below = 20 * np.log10(made[:, :8_000].std(1) / noise.std(1))
  assert 5 < below.min() < 13
  assert 33 < below.max() < 45
  assert np.median(below) == pytest.approx(22.5 + 3, abs=4)  # of the half that speaks
  low, high = (
    np.square(np.abs(np.fft.rfft(noise)))[:, a:b].mean(1) for a, b in ((175, 350), (1750, 3490))
  )
  slope = 10 * np.log10(low / high)
  assert -3 < slope.min() < 3
  assert 15 < slope.max() < 25


def test_zeros_behind_the_speech_stay_zeros():
  window = np.zeros(16_000, np.int16)
  window[:10_000] = 2000 * RNG.standard_normal(10_000)
  distort = jax.jit(jax.vmap(augment.distort, (None, None, 0)))
  made = np.asarray(distort(window, np.int32(10_000), np.arange(20, dtype=np.uint32)))
  assert not made[:, 10_000:].any()
  assert made[:, :10_000].any(1).all()
