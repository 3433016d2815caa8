"""Splits of a single unit by time."""

import itertools

import pytest

from data_builders import splits
from wav2pix_jax.common import schema

GAP = 4.0


@pytest.mark.parametrize("count", [10, 20, 60, 100])
@pytest.mark.parametrize("rate", [1, 5])
def test_no_two_splits_share_speech(count, rate):
  moments = [("a.mp4", i / rate) for i in range(count * rate)]
  parts = splits.by_time(moments, GAP)
  assert list(parts) == [schema.TRAIN, schema.VALIDATION, schema.TEST]
  for earlier, later in itertools.pairwise(parts.values()):
    assert min(moments[i][1] for i in later) - max(moments[i][1] for i in earlier) >= GAP
  assert len(parts[schema.TEST]) == len(parts[schema.VALIDATION]) == count * rate // 10
  left_out = len(moments) - sum(map(len, parts.values()))
  assert left_out <= 2 * GAP * rate


def test_too_few_are_for_training_and_to_validate():
  assert splits.by_time([("a", 0.0), ("a", 1.0), ("a", 2.0)], GAP) == {schema.TRAIN: [0, 1, 2]}
  few = splits.by_time([("a", float(i)) for i in range(6)], GAP)
  assert few == {schema.TRAIN: [0, 1], schema.VALIDATION: [5]}


def test_another_file_needs_no_gap():
  moments = [*(("a", float(i)) for i in range(18)), ("b", 18.0), ("b", 19.0)]
  parts = splits.by_time(moments, GAP)
  assert parts == {
    schema.TRAIN: list(range(13)),
    schema.VALIDATION: [16, 17],
    schema.TEST: [18, 19],
  }
