"""What a plan names, and that it depends on the seed and the step alone."""

import dataclasses

import numpy as np
import pytest

from wav2pix_jax import data
from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.data import plan
from wav2pix_jax.data.plan import FACE, FURTHER, MISMATCHED, RECORD, START


@pytest.fixture
def records(clean, config):
  return data.load(clean, "train", config.image_size)


def _batches(records, config, batch_size, *args, **more):
  return plan.iterate(plan.plan_batches(records, config, batch_size, *args, **more))


def _examples(records, config, count, **more):
  """Returns the plan of the first examples, each [count, ...]."""
  size = len(records)
  batches = _batches(records, config, size, **more)
  parts = [next(batches) for _ in range(-(-count // size))]
  return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


def _equal(a, b):
  return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_plan_is_a_few_integers(records, config):
  config.loss.matching, config.loss.matching_faces = 1.0, 2
  one = next(_batches(records, config, 8))
  assert {name: (x.shape, x.dtype) for name, x in one.items()} == {
    RECORD: ((8,), np.int32),
    START: ((8,), np.int32),
    FACE: ((8,), np.int32),
    schema.LENGTH: ((8,), np.int32),
    schema.SEED: ((8,), np.uint32),
    schema.MIRRORED: ((8,), np.bool_),
    MISMATCHED: ((8,), np.int32),
    schema.MISMATCHED_MIRRORED: ((8,), np.bool_),
    FURTHER: ((8, 2), np.int32),
    schema.FURTHER_MIRRORED: ((8, 2), np.bool_),
  }


def test_a_face_is_of_the_record_or_where_any_will_do_of_the_speaker(records, config):
  config.loss.matching, config.loss.matching_faces = 1.0, 2
  examples = _examples(records, config, 200)
  np.testing.assert_array_equal(examples[FACE], examples[RECORD])
  examples = _examples(dataclasses.replace(records, any_face=True), config, 200)
  identity = records.identity[examples[RECORD]]
  np.testing.assert_array_equal(records.identity[examples[FACE]], identity)
  for who in np.unique(identity):
    assert len(np.unique(examples[FACE][identity == who])) > 3
  assert (examples[FURTHER] != examples[FACE][:, None]).all()


def test_one_identity_cannot_train(records, config):
  only = dataclasses.replace(records, identity=np.zeros_like(records.identity))
  with pytest.raises(UserError, match="one identity"):
    plan.plan_batches(only, config, 4)
  config.loss.mismatched = 0.0
  assert MISMATCHED not in next(_batches(only, config, 4))


def test_an_epoch_names_every_record_once_and_the_next_in_another_order(records, config):
  count = len(records)
  batches = _batches(records, config, count)
  first, second = (next(batches) for _ in range(2))
  assert sorted(first[RECORD]) == sorted(second[RECORD]) == list(range(count))
  assert not np.array_equal(first[RECORD], second[RECORD])
  seeds = {*first[schema.SEED].tolist(), *second[schema.SEED].tolist()}
  assert len(seeds) == 2 * count  # each example is augmented in its own way
  config.seed = 1
  assert not np.array_equal(next(_batches(records, config, count))[RECORD], first[RECORD])


@pytest.mark.parametrize("start", [3, 12, 200])
def test_a_plan_goes_on_from_any_step_and_a_seed_decides(records, config, start):
  whole = _batches(records, config, 4)
  expected = [next(whole) for _ in range(start + 20)]  # across the ends of epochs
  again = _batches(records, config, 4, start=start)
  assert all(_equal(batch, next(again)) for batch in expected[start:])
  config.seed = 1
  first, other = (next(_batches(records, config, 4)) for _ in range(2))
  assert _equal(first, other)
  assert not np.array_equal(first[schema.SEED], expected[0][schema.SEED])


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("start", [0, 7])
def test_processes_share_the_global_batch(records, config, processes, start):
  whole = _batches(records, config, 8, start=start)
  parts = [_batches(records, config, 8 // processes, p, processes, start) for p in range(processes)]
  for _ in range(20):
    found = [next(part) for part in parts]
    joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    assert _equal(joined, next(whole))


@pytest.mark.slow
@pytest.mark.parametrize("window_offset", ["uniform", "centred"])
def test_windows_start_where_they_may(records, config, window_offset):
  """Uniform ones anywhere, centred ones at the instant, give or take a fiftieth of a second."""
  config.dataset.window_offset = window_offset
  examples = _examples(records, config, 40 * len(records))
  for record in range(len(records)):
    length, instant = int(records.lengths[record]), int(records.instant[record])
    starts = examples[START][examples[RECORD] == record]
    assert len(starts) == 40
    low, high = (
      (0, length - 16_000)
      if window_offset == "uniform"
      else (data.centred_start(length, 16_000, instant + j) for j in (-plan.JITTER, plan.JITTER))
    )
    assert low <= starts.min() <= starts.max() <= high
    if high - low in (2 * plan.JITTER, length - 16_000) and low < high:
      deviation = (high - low) / np.sqrt(12)
      assert abs(starts.mean() - (low + high) / 2) < 5 * deviation / np.sqrt(40)
      assert starts.std() == pytest.approx(deviation, rel=0.4)
  assert (examples[schema.LENGTH] == 16_000).all()


@pytest.mark.parametrize("window", [4_800, 11_200, 16_384, 70_000])
def test_a_window_has_the_speech_that_there_is(records, config, window):
  config.dataset.window_samples, config.dataset.window_offset = window, "uniform"
  examples = _examples(records, config, 10 * len(records))
  left = records.lengths[examples[RECORD]] - examples[START]
  assert np.array_equal(examples[schema.LENGTH], np.minimum(left, window))
  assert (left >= np.minimum(records.lengths[examples[RECORD]], window)).all()


@pytest.mark.slow
def test_mismatched_records_are_everybody_elses_alike(records, config):
  """Those of the other identity, each as often as any other."""
  examples = _examples(records, config, 60 * len(records))
  own, other = records.identity[examples[RECORD]], records.identity[examples[MISMATCHED]]
  assert (own != other).all()
  for identity in (0, 1):
    others = np.flatnonzero(records.identity != identity)
    counts = np.bincount(examples[MISMATCHED][own == identity], minlength=len(records))[others]
    expected = counts.sum() / len(others)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_half_of_the_faces_are_mirrored_where_that_is_asked_for(records, config):
  names = schema.MIRRORED, schema.MISMATCHED_MIRRORED
  examples = _examples(records, config, 400)
  assert not any(examples[name].any() for name in names)
  config.dataset.flip = True
  examples = _examples(records, config, 400)
  for name in names:
    assert 150 < examples[name].sum() < 250
  both = examples[names[0]] & examples[names[1]]
  assert 60 < both.sum() < 140  # one by one


def test_further_records_are_others_of_the_same_speaker_each_once(records, config):
  config.loss.matching, config.loss.matching_faces = 1.0, 3
  examples = _examples(records, config, 20 * len(records))
  further = examples[FURTHER]
  assert (records.identity[further] == records.identity[examples[RECORD]][:, None]).all()
  assert (further != examples[RECORD][:, None]).all()
  assert all(len(set(row)) == 3 for row in further)
  counts = np.bincount(further.ravel(), minlength=len(records))
  assert counts.min() > 0.5 * counts.mean()


def test_further_records_repeat_where_there_are_too_few(records, config):
  config.loss.matching, config.loss.matching_faces = 1.0, 3
  few = np.array([*np.flatnonzero(records.identity == 0)[:2], np.argmax(records.identity == 1)])
  stops = np.cumsum(records.lengths[few])
  small = dataclasses.replace(
    records,
    faces=records.faces[few],
    speech=np.concatenate([records.speech_of(i) for i in few]),
    stops=stops,
    identity=records.identity[few],
    instant=records.instant[few],
  )
  examples = _examples(small, config, 30)
  # The third record is the only one of its speaker, whose moments are then others'.
  allowed = {0: {1}, 1: {0}, 2: {0, 1}}
  for record, further in zip(examples[RECORD], examples[FURTHER], strict=True):
    assert {*further.tolist()} <= allowed[int(record)]
