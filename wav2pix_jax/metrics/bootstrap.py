"""Intervals of metrics by the bootstrap, over chunks of speech or over people."""

from collections.abc import Callable

import numpy as np

Interval = tuple[float, float]
# Computes a metric on chunks int [n], some of them more than once: its value, and that by label.
Measure = Callable[[np.ndarray], tuple[float, dict[int, float]]]

SEED = 0


def intervals(
  measure: Measure,
  identity: np.ndarray,
  resamples: int,
  *,
  unbiased: bool,
  over_people: bool = False,
) -> tuple[Interval, dict[int, Interval]]:
  """Returns the 95% interval of a metric, and that of each label, from a number of resamples.

  Each person's chunks, whose labels are int32 [N], are drawn again with replacement; all samples of
  a chunk go with it. With `over_people`, where those people stand for others, and where most have a
  single chunk, people are drawn instead, with all of theirs, and labels have no intervals.
  `unbiased` says whether resamples estimate the metric without bias, as a mean over chunks does. If
  not, since a resample contains the same face twice, intervals are shifted by the bias.
  """
  rng = np.random.default_rng(SEED)
  people = [np.flatnonzero(identity == label) for label in np.unique(identity)]
  over_people |= bool(np.median([len(own) for own in people]) == 1)
  value, by_identity = measure(np.arange(len(identity)))
  values: list[float] = []
  by_label: dict[int, list[float]] = {label: [] for label in by_identity if not over_people}
  for _ in range(resamples):
    if over_people:
      drawn = [people[i] for i in rng.choice(len(people), len(people))]
    else:
      drawn = [rng.choice(own, len(own)) for own in people]
    resampled, of_people = measure(np.concatenate(drawn))
    values.append(resampled)
    for label in by_label.keys() & of_people.keys():
      by_label[label].append(of_people[label])

  def interval(value: float, resampled: list[float]) -> Interval:
    known = [one for one in resampled if not np.isnan(one)] or [np.nan]
    low, high = np.quantile(known, [0.025, 0.975])
    bias = 0.0 if unbiased else np.mean(known) - value
    return float(low - bias), float(high - bias)

  return interval(value, values), {
    label: interval(by_identity[label], by_label[label]) for label in by_label
  }
