"""Speech on the clock of a file, whatever its muxer wrote."""

from fractions import Fraction

import av
import numpy as np
import pytest

from wav2pix_jax.common import sound

RATE, LENGTH = 16_000, 320  # samples per second, and of a frame: 20 ms
SOUND = (8_000 * np.random.default_rng(0).standard_normal(300 * LENGTH)).astype(np.int16)


def _speech(times):
  """Speech of frames of `SOUND` with these timestamps in seconds; None for none."""
  decoder = sound.Decoder()
  for number, time in enumerate(times):
    samples = SOUND[number * LENGTH : (number + 1) * LENGTH]
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.time_base = RATE, Fraction(1, 1_000)
    frame.pts = None if time is None else round(1_000 * time)
    decoder.add(frame)
  return decoder.finish()


def _regular(count=300):
  return np.arange(count) * LENGTH / RATE


def test_timestamps_that_wander_by_half_a_block_are_no_gaps():
  """As Vorbis in WebM has them: 10 ms early or late, for up to 1.6 s."""
  off = np.zeros(300)
  off[3:80], off[90:130], off[131] = 0.01, -0.01, 0.01
  speech = _speech(_regular() + off)
  np.testing.assert_array_equal(speech.samples, SOUND)
  assert speech.runs == [(0, len(SOUND))]


@pytest.mark.parametrize("gap", [0.02, 0.2, -0.03])
def test_a_jump_that_is_kept_is_one(gap):
  times = _regular()
  times[100:] += gap
  speech = _speech(times)
  at, jump = 100 * LENGTH, round(gap * RATE)
  assert len(speech.samples) == len(SOUND) + jump
  np.testing.assert_array_equal(speech.samples[at + jump :], SOUND[at:])
  np.testing.assert_array_equal(speech.samples[: at + min(jump, 0)], SOUND[: at + min(jump, 0)])
  assert len(speech.runs) == (2 if gap > 0.05 else 1)


def test_a_single_wrong_timestamp_is_none():
  times = _regular()
  times[50] += 30
  np.testing.assert_array_equal(_speech(times).samples, SOUND)


def test_frames_without_a_timestamp_follow_the_one_before():
  times = [time if number % 5 == 0 else None for number, time in enumerate(_regular())]
  np.testing.assert_array_equal(_speech(times).samples, SOUND)


@pytest.mark.parametrize("jump", [-1.5, -100.0, 700.0])
def test_sound_on_another_clock_follows_and_is_told_apart(jump):
  times = _regular()
  times[100:] += jump
  heard = _speech(times)
  np.testing.assert_array_equal(heard.samples, SOUND)
  assert heard.restart == 100 * LENGTH


def test_a_pause_of_minutes_is_kept():
  times = _regular()
  times[100:] += 300
  heard = _speech(times)
  assert heard.restart is None
  np.testing.assert_array_equal(heard.samples[-200 * LENGTH :], SOUND[100 * LENGTH :])
  assert len(heard.samples) == len(SOUND) + 300 * RATE
  assert len(heard.runs) == 2


def test_first_frames_without_a_timestamp_end_where_the_next_begins():
  times = [None] * 10 + list(_regular()[10:] + 5)
  heard = _speech(times)
  np.testing.assert_array_equal(heard.samples, SOUND)
  assert heard.start == pytest.approx(5)
  assert len(heard.runs) == 1


def test_sound_without_timestamps_starts_at_zero():
  heard = _speech([None] * 300)
  np.testing.assert_array_equal(heard.samples, SOUND)
  assert heard.start == 0


def test_no_frames_are_no_samples():
  assert not len(sound.Decoder().finish().samples)
