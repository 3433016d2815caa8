"""Which units (audio groups, videos, utterances) train, and which are held out."""

from collections.abc import Iterable, Mapping, Sequence

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError

SHARES = {schema.TRAIN: 0.8, schema.VALIDATION: 0.1, schema.TEST: 0.1}


def learned(everyone: Sequence[str], unseen: Iterable[str], where: str) -> list[str]:
  """Those of everyone who are not unseen, in the same order.

  Args:
    everyone: names.
    unseen: names of those in no split but `unseen`.
    where: what everyone is in, for the errors.

  Raises:
    UserError: unseen people who are not there, or leave fewer than two.
  """
  if absent := set(unseen) - set(everyone):
    raise UserError(
      f"dataset.unseen: {', '.join(sorted(absent))} not in {where}, which has "
      f"{', '.join(everyone) or 'nobody'}."
    )
  left = [name for name in everyone if name not in set(unseen)]
  if len(left) < 2:
    raise UserError(
      f"{where}: {len(left)} identities to learn; two at least are needed to tell apart."
    )
  return left


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
