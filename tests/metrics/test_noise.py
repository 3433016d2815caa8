"""Noise that speech is tested with."""

import numpy as np
import pytest

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.metrics import noise

SECOND = schema.SAMPLE_RATE


@pytest.fixture
def windows():
  rng = np.random.default_rng(0)
  return (3000 * rng.standard_normal((3, SECOND))).round().astype(np.int16)


SPEAKERS = np.arange(3)


@pytest.mark.parametrize("kind", ["white", "music", "babble"])
@pytest.mark.parametrize("decibels", [0, 10])
def test_noise_is_as_loud_as_it_says(windows, kind, decibels):
  quiet = windows // 8  # room for the sum
  added = noise.add(quiet, noise.Noise(kind, decibels), SPEAKERS, 0) - quiet.astype(float)
  ratio = np.square(quiet, dtype=float).mean(1) / np.square(added).mean(1)
  np.testing.assert_allclose(10 * np.log10(ratio), decibels, atol=0.05)
  again = noise.add(quiet, noise.Noise(kind, decibels), SPEAKERS, 0)
  np.testing.assert_array_equal(again - quiet.astype(float), added)
  others = noise.add(quiet, noise.Noise(kind, decibels), SPEAKERS, 1)
  assert (again != others).any()


def test_loud_sums_are_turned_down_not_clipped(windows):
  loud = (windows.astype(int) * 3).clip(-32_768, 32_767).astype(np.int16)
  mixed = noise.add(loud, noise.Noise("white", 0), SPEAKERS, 0)
  assert (np.abs(mixed.astype(int)) >= 32_767).sum(1).max() <= 2


def test_music_has_notes():
  speech = np.full((1, SECOND), 100, np.int16)
  music = noise.add(speech, noise.Noise("music", -40), SPEAKERS[:1], 3)[0] - 100.0
  spectrum = np.sort(np.square(np.abs(np.fft.rfft(music))))[::-1]
  assert spectrum[:200].sum() > 0.9 * spectrum.sum()  # few frequencies hold nearly all


def test_silence_is_silent(windows):
  assert not noise.add(windows, noise.parse("silence"), SPEAKERS, 0).any()


def test_noise_is_named_as_it_is_typed():
  assert noise.parse("babble:10") == noise.Noise("babble", 10)
  assert str(noise.parse("white:-2.5")) == "white -2.5 dB"
  assert str(noise.parse("silence")) == "silence"
  for wrong in ("babble", "silence:3", "rain:3", "white:loud", ""):
    with pytest.raises(UserError, match="expected KIND:DECIBELS"):
      noise.parse(wrong)


def test_a_babble_is_of_others():
  voices = np.stack([np.full(SECOND, 1000), np.full(SECOND, -1000)]).astype(np.int16)
  mixed = noise.add(voices, noise.Noise("babble", 20), np.array([0, 1]), 0)
  assert (mixed[0] < 1000).all()
  assert (mixed[1] > -1000).all()
  with pytest.raises(UserError, match="needs several speakers"):
    noise.add(voices, noise.Noise("babble", 20), np.zeros(2, int), 0)
