"""Which units (audio groups, videos, utterances) train, and which are held out."""

from collections.abc import Mapping

from wav2pix_jax import schema

SHARES = {schema.TRAIN: 0.8, schema.VALIDATION: 0.1, schema.TEST: 0.1}


def assign(units: Mapping[str, Mapping[int, int]]) -> dict[int, str]:
  """A split for every unit, about 80/10/10 of each identity's records, by a fixed rule.

  An identity's units go from largest to smallest (ties: lowest number first), each to the split
  that then lacks most records of its share. Where a split would stay empty, train gives it its
  smallest unit, as long as train keeps one: first validation, then test. A unit of two identities
  goes where the later of them puts it.

  Args:
    units: identity -> unit -> number of records.
  """
  splits: dict[int, str] = {}
  for sizes in units.values():
    total = sum(sizes.values())
    lacking = {split: share * total for split, share in SHARES.items()}
    order = sorted(sizes, key=lambda unit: (-sizes[unit], unit))
    chosen = {}
    for unit in order:
      chosen[unit] = max(lacking, key=lacking.__getitem__)
      lacking[chosen[unit]] -= sizes[unit]
    for split in (schema.VALIDATION, schema.TEST):
      training = [unit for unit in order if chosen[unit] == schema.TRAIN]
      if split not in chosen.values() and len(training) > 1:
        chosen[training[-1]] = split
    splits |= chosen
  return splits
