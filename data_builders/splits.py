"""Assigns units (audio groups, videos or utterances) to the splits."""

import collections
import dataclasses
import heapq
import sys
from collections.abc import Iterable, Mapping, Sequence

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError, listed

SHARES = {schema.TRAIN: 0.8, schema.VALIDATION: 0.1, schema.TEST: 0.1}


@dataclasses.dataclass(frozen=True)
class Item:
  """A future record."""

  identity: str
  unit: str  # what must not be in two splits, such as a video
  file: str  # the recording
  time: float  # where in it, seconds


def learned(everyone: Sequence[str], unseen: Iterable[str], where: str) -> list[str]:
  """Returns the names of identities that are not unseen, in the same order.

  The unseen are in no split but `unseen`. `where` names the dataset in error messages.

  Raises:
    UserError: Unseen identities do not exist, or leave fewer than two others.
  """
  if absent := set(unseen) - set(everyone):
    raise UserError(
      f"dataset.unseen: {listed(sorted(absent))} not in {where}, which has "
      f"{listed(everyone) or 'no identities'}."
    )
  left = [name for name in everyone if name not in set(unseen)]
  if len(left) < 2:
    raise UserError(f"{where}: {len(left)} identities to learn; at least two are needed.")
  return left


def divide(
  items: Sequence[Item], into: Sequence[str] = tuple(SHARES), sparing: bool = False
) -> list[tuple[str, int] | None]:
  """Returns the split of each item and the number of its unit there; None for what is left out.

  Units are numbered in the order of their names, and assigned by `assign`, or by `assign_sparingly`
  where there are few of each identity. The items of an identity with a single unit are split
  `by_time`, unless sparing is possible; those that are nearer than a clip's length to a later split
  are left out, and the numbers of its parts are above all others.
  """
  number_of = {unit: number for number, unit in enumerate(sorted({item.unit for item in items}))}
  of_identity: dict[str, list[int]] = collections.defaultdict(list)
  for i, item in enumerate(items):
    of_identity[item.identity].append(i)
  units = {
    identity: collections.Counter(number_of[items[i].unit] for i in own)
    for identity, own in sorted(of_identity.items())
  }
  sparing = sparing and any(len(own) > 1 for own in units.values())
  split_of = assign_sparingly(units, into) if sparing else assign(units, into)
  placed: list[tuple[str, int] | None] = [None] * len(items)
  for identity, own in of_identity.items():
    if sparing or len(units[identity]) > 1:
      for i in own:
        number = number_of[items[i].unit]
        placed[i] = split_of[number], number
      continue
    moments = [(items[i].file, items[i].time) for i in own]
    for part, split in enumerate(by_time(moments, schema.CLIP_SECONDS, into).items()):
      name, chosen = split
      for i in chosen:
        placed[own[i]] = name, number_of[items[own[i]].unit] + len(number_of) * part
  return placed


def warn_of_single_units(sources: Mapping[str, set[str]]) -> None:
  """Says of which identities all splits are of one video, given the units of each identity."""
  single = [identity for identity, units in sources.items() if len(units) == 1]
  if single:
    print(
      f"warning: of {listed(single)} there is one video only, which is split by time, with gaps "
      "of the length of a clip. Recording and clothes are the same in all splits, so figures "
      "flatter; give each identity three videos.",
      file=sys.stderr,
    )


def assign(
  units: Mapping[str, Mapping[int, int]], into: Sequence[str] = tuple(SHARES)
) -> dict[int, str]:
  """Returns the split of every unit, with about 80/10/10 % of each identity's records.

  Each identity's units, given with their numbers of records, are assigned from largest to smallest
  (lowest number first among equals) to the split that is then furthest below its share. If
  validation or test, in this order, would stay empty, it gets the smallest training unit, unless
  that is the only one. A unit of two identities is assigned by the later one. Only the splits
  `into` are assigned, which begin with train.
  """
  shares = {split: SHARES[split] / sum(SHARES[name] for name in into) for split in into}
  splits: dict[int, str] = {}
  for sizes in units.values():
    total = sum(sizes.values())
    lacking = {split: share * total for split, share in shares.items()}
    order = sorted(sizes, key=lambda unit: (-sizes[unit], unit))
    chosen = {}
    for unit in order:
      chosen[unit] = max(lacking, key=lacking.__getitem__)
      lacking[chosen[unit]] -= sizes[unit]
    for split in into[1:]:
      training = [unit for unit in order if chosen[unit] == schema.TRAIN]
      if split not in chosen.values() and len(training) > 1:
        chosen[training[-1]] = split
    splits |= chosen
  return splits


def assign_sparingly(
  units: Mapping[str, Mapping[int, int]], into: Sequence[str] = tuple(SHARES)
) -> dict[int, str]:
  """Returns the split of every unit, with about 80/10/10 % of all records, for few units of each.

  As long as a held-out split is below its share, the identity with most training units (the first
  one among equals) gives it the smallest of them. So those with few keep them all for training, and
  no unit is held out of an identity that has only one.
  """
  shares = {split: SHARES[split] / sum(SHARES[name] for name in into) for split in into}
  total = sum(sum(sizes.values()) for sizes in units.values())
  lacking = {split: shares[split] * total for split in into[1:]}
  splits = {unit: schema.TRAIN for sizes in units.values() for unit in sizes}
  left = {
    identity: sorted(sizes, key=lambda unit: (-sizes[unit], unit))
    for identity, sizes in units.items()
  }
  queue = [(-len(own), i, identity) for i, (identity, own) in enumerate(left.items())]
  heapq.heapify(queue)
  while queue and any(missing > 0 for missing in lacking.values()):
    count, i, identity = heapq.heappop(queue)
    if count < -1:
      unit, split = left[identity].pop(), max(lacking, key=lacking.__getitem__)
      splits[unit] = split
      lacking[split] -= units[identity][unit]
      heapq.heappush(queue, (count + 1, i, identity))
  return splits


def by_time(
  moments: Sequence[tuple[str, float]], gap: float, into: Sequence[str] = tuple(SHARES)
) -> dict[str, list[int]]:
  """Splits the records of one unit by time: the last tenth is for test, the one before to validate.

  Args:
    moments: The file and the time of each record in it, seconds.
    gap: Records that are nearer than this before a later split are left out, in seconds, so that
      none shares speech with it.
    into: The splits, which begin with train.

  Returns:
    The indices of each split's records. With too few of them there is no test split, and then no
    validation split.
  """
  earlier = sorted(range(len(moments)), key=lambda i: moments[i])
  count = max(1, round(SHARES[schema.TEST] * len(moments)))
  later: list[list[int]] = []
  for _ in into[1:]:
    part = earlier[-count:]
    file, time = moments[part[0]]
    apart = [i for i in earlier[:-count] if moments[i][0] != file or time - moments[i][1] >= gap]
    if apart:
      earlier, later = apart, [part, *later]
  return dict(zip(into, [earlier, *later], strict=False))
