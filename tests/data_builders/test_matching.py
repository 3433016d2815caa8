"""Pieces of sound find their place, exactly, and only where they truly share samples."""

import numpy as np
import small_release

from data_builders.youtubers import matching


def _slices(recording, starts, length=16_000):
  return [recording[start : start + length] for start in starts]


def test_pieces_lie_where_they_were_cut():
  rng = np.random.default_rng(1)
  recording = small_release.speech(rng, 10 * 16_000)
  starts = rng.permutation(np.arange(0, 136_000, 5_000) + rng.integers(0, 8_000, 28))
  (timeline,), _ = matching.lay_out(_slices(recording, starts))
  origin = {starts[piece] - position for piece, position in timeline.pieces.items()}
  assert origin == {starts.min()}
  covered = recording[starts.min() : starts.max() + 16_000]
  np.testing.assert_array_equal(timeline.samples[timeline.known], covered[timeline.known])


def test_a_gap_stays_unknown():
  recording = small_release.speech(np.random.default_rng(2), 60_000)
  pieces = _slices(recording, [0, 8_000, 40_000, 30_000])
  timelines, _ = matching.lay_out(pieces)
  assert [sorted(t.pieces) for t in timelines] == [[0, 1], [2, 3]]
  assert [int(t.known.sum()) for t in timelines] == [24_000, 26_000]


def test_the_shortest_overlap_is_always_found_and_none_are_invented():
  rng = np.random.default_rng(3)
  for _ in range(100):
    recording = rng.integers(-9_000, 9_000, 40_000).astype(np.int16)
    pieces = _slices(recording, [0, 16_000 - matching.SHORTEST])
    assert len(matching.lay_out(pieces)[0]) == 1
  strangers = [small_release.speech(rng, 16_000) for _ in range(40)]
  assert len(matching.lay_out(strangers)[0]) == 40


def test_silence_and_short_pieces_join_nothing():
  rng = np.random.default_rng(4)
  voices = [small_release.speech(rng, 16_000) for _ in range(2)]
  for voice in voices:
    voice[8_000:] = 0
  silent = np.zeros(16_000, np.int16)
  timelines, sharing = matching.lay_out([*voices, silent, silent.copy(), silent[:10]])
  assert len(timelines) == 5
  assert not len(sharing)


def test_one_changed_sample_refuses_an_overlap():
  recording = small_release.speech(np.random.default_rng(5), 30_000)
  a, b = (piece.copy() for piece in _slices(recording, [0, 5_000]))
  b[7_000] += 1
  assert len(matching.lay_out([a, b])[0]) == 2


def test_a_recurring_jingle_links_but_is_laid_down_once():
  """The same 2 s at two places of a recording: no sample is ever overwritten by another."""
  rng = np.random.default_rng(6)
  recording = small_release.speech(rng, 12 * 16_000)
  recording[9 * 16_000 : 11 * 16_000] = recording[2 * 16_000 : 4 * 16_000]
  starts = np.arange(0, 11 * 16_000, 4_000)
  pieces = _slices(recording, starts)
  timelines, sharing = matching.lay_out(pieces)
  assert len(sharing)
  for timeline in timelines:
    for piece, position in timeline.pieces.items():
      np.testing.assert_array_equal(timeline.samples[position : position + 16_000], pieces[piece])
  assert sorted(piece for t in timelines for piece in t.pieces) == list(range(len(pieces)))


def test_nothing_in_nothing_out():
  timelines, sharing = matching.lay_out([])
  assert timelines == []
  assert len(sharing) == 0
