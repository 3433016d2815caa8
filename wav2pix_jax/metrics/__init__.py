"""Measures of generated faces, and the classifiers and baselines they need."""

import functools

from wav2pix_jax.metrics.catalogue import METRICS, frechet
from wav2pix_jax.metrics.faces import Faces, describe_faces
from wav2pix_jax.metrics.metric import Context, Kind, Metric, Need, Result, compute

# The results of all metrics for which these faces suffice: `compute` without its first argument.
measure = functools.partial(compute, METRICS)
TITLES = {metric.name: metric.title for metric in METRICS}


def needing(need: Need) -> list[str]:
  """Returns the names of the metrics with a need."""
  return [metric.name for metric in METRICS if need in metric.needs]
