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


def test_identities_with_few_units_keep_them_for_training():
  units = {"rich": dict.fromkeys(range(6), 1), "poor": {6: 1, 7: 1}, "poorest": {8: 9}}
  units |= {f"other {n}": {10 + 3 * n + i: 1 for i in range(3)} for n in range(4)}
  split_of = splits.assign_sparingly(units)
  total = sum(sum(sizes.values()) for sizes in units.values())
  for split, share in splits.SHARES.items():
    size = sum(
      n for sizes in units.values() for unit, n in sizes.items() if split_of[unit] == split
    )
    assert abs(size - share * total) <= 2
  assert {split_of[unit] for unit in (6, 7, 8)} == {schema.TRAIN}
  assert sum(split_of[unit] != schema.TRAIN for unit in range(6)) >= 3
  assert {split_of[unit] for unit in units["rich"]} == set(splits.SHARES)
  only = splits.assign_sparingly({"a": {0: 1, 1: 1}, "b": {2: 1, 3: 1}}, ("train", "validation"))
  assert sorted(only.values()) == ["train", "train", "train", "validation"]


def test_where_everybody_has_one_unit_even_the_sparing_split_by_time():
  items = [splits.Item(who, who, who, 10.0 * n) for who in ("a", "b") for n in range(4)]
  placed = splits.divide(items, sparing=True)
  assert [place and place[0] for place in placed] == [
    *2 * (schema.TRAIN, schema.TRAIN, schema.VALIDATION, schema.TEST)
  ]
