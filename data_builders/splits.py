"""Assigns units (audio groups, videos or utterances) to the splits."""

from collections.abc import Iterable, Mapping, Sequence

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError

SHARES = {schema.TRAIN: 0.8, schema.VALIDATION: 0.1, schema.TEST: 0.1}


def learned(everyone: Sequence[str], unseen: Iterable[str], where: str) -> list[str]:
  """Returns the names of identities that are not unseen, in the same order.

  The unseen are in no split but `unseen`. `where` names the dataset in error messages.

  Raises:
    UserError: Unseen identities do not exist, or leave fewer than two others.
  """
  if absent := set(unseen) - set(everyone):
    raise UserError(
      f"dataset.unseen: {', '.join(sorted(absent))} not in {where}, which has "
      f"{', '.join(everyone) or 'no identities'}."
    )
  left = [name for name in everyone if name not in set(unseen)]
  if len(left) < 2:
    raise UserError(f"{where}: {len(left)} identities to learn; at least two are needed.")
  return left


def assign(units: Mapping[str, Mapping[int, int]]) -> dict[int, str]:
  """Returns the split of every unit, with about 80/10/10 % of each identity's records.

  Each identity's units, given with their numbers of records, are assigned from largest to smallest
  (lowest number first among equals) to the split that is then furthest below its share. If
  validation or test, in this order, would stay empty, it gets the smallest training unit, unless
  that is the only one. A unit of two identities is assigned by the later one.
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


def by_time(moments: Sequence[tuple[str, float]], gap: float) -> dict[str, list[int]]:
  """Splits the records of one unit by time: the last tenth is for test, the one before to validate.

  Args:
    moments: The file and the time of each record in it, seconds.
    gap: Records that are nearer than this before a later split are left out, in seconds, so that
      none shares speech with it.

  Returns:
    The indices of each split's records. With too few of them there is no test split, and then no
    validation split.
  """
  earlier = sorted(range(len(moments)), key=lambda i: moments[i])
  count = max(1, round(SHARES[schema.TEST] * len(moments)))
  later: list[list[int]] = []
  for _ in (schema.VALIDATION, schema.TEST):
    part = earlier[-count:]
    file, time = moments[part[0]]
    apart = [i for i in earlier[:-count] if moments[i][0] != file or time - moments[i][1] >= gap]
    if apart:
      earlier, later = apart, [part, *later]
  return dict(zip(SHARES, [earlier, *later], strict=False))
