"""Intervals of metrics by the bootstrap over chunks of speech, within each person."""

from collections.abc import Callable

import numpy as np

Interval = tuple[float, float]
# Computes a metric on chunks int [n], some of them more than once: its value, and that by label.
Measure = Callable[[np.ndarray], tuple[float, dict[int, float]]]

SEED = 0


def intervals(
  measure: Measure, identity: np.ndarray, resamples: int, unbiased: bool
) -> tuple[Interval, dict[int, Interval]]:
  """Returns the 95% interval of a metric, and that of each label, from a number of resamples.

  Each person's chunks, whose labels are int32 [N], are drawn again with replacement; all samples of
  a chunk go with it. Where most people have a single chunk, people are drawn instead, with all of
  theirs; intervals of single people then say nothing. `unbiased` says whether resamples estimate
  the metric without bias, as a mean over chunks does. If not, since a resample contains the same
  face twice, intervals are shifted by the bias.
  """
  rng = np.random.default_rng(SEED)
  people = [np.flatnonzero(identity == label) for label in np.unique(identity)]
  one_each = np.median([len(own) for own in people]) == 1
  value, by_identity = measure(np.arange(len(identity)))
  values: list[float] = []
  by_label: dict[int, list[float]] = {label: [] for label in by_identity}
  for _ in range(resamples):
    if one_each:
      drawn = [people[i] for i in rng.choice(len(people), len(people))]
    else:
      drawn = [rng.choice(own, len(own)) for own in people]
    resampled, of_people = measure(np.concatenate(drawn))
    values.append(resampled)
    for label, one in of_people.items():
      by_label[label].append(one)

  def interval(value: float, resampled: list[float]) -> Interval:
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    bias = 0.0 if unbiased else np.nanmean(resampled) - value
    return float(low - bias), float(high - bias)

  return interval(value, values), {
    label: interval(by_identity[label], by_label[label]) for label in by_label
  }
