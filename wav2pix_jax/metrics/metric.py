"""What a metric is, and how all metrics of a set of generated faces are computed."""

import dataclasses
import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from wav2pix_jax.metrics import baselines, bootstrap
from wav2pix_jax.metrics.bootstrap import Interval, Measure
from wav2pix_jax.metrics.faces import Faces
from wav2pix_jax.metrics.heard import Heard


class Need(enum.Enum):
  """What a metric needs besides faces and the identity classifier's features."""

  KNOWN_IDENTITIES = "the classifier knows the identities"
  GENDERS = "genders are known"
  VGG_FACE = "VGG-Face"
  DLIB = "dlib"
  SEVERAL_DRAWS = "several samples of a chunk"
  SPEECH = "speech around the moments of the faces"
  EXPRESSION = "a regressor of expressions"


class Kind(enum.Enum):
  """How a metric is computed and read.

  A SHARE is the mean over faces of a property, bool [N], or of a share, float [N] with NaN where it
  has no meaning. A DISTANCE is 0 between equal sets, so real faces are compared with other real
  faces. A RATIO is relative to real faces, and for two real faces of a person it is 1. A
  CORRELATION has the baseline 0 and is tested by permutations. An OFFSET is in milliseconds.
  """

  SHARE = "share"
  DISTANCE = "distance"
  RATIO = "ratio"
  CORRELATION = "correlation"
  OFFSET = "offset"


@dataclasses.dataclass(frozen=True)
class Context:
  """What generated faces are compared with."""

  held_out: Faces  # the N real faces that go with the speech
  reference: Faces  # real faces of everyone, other than those
  genders: np.ndarray  # gender of each label; empty where they are not known
  draws: int  # number of samples of each chunk
  heard: Heard | None = None  # what is heard in the speech; None where it is not known

  def provides(self, need: Need) -> bool:
    """Whether a metric with this need can be computed."""
    return {
      Need.KNOWN_IDENTITIES: self.held_out.identity.max() < self.held_out.logits.shape[1],
      Need.GENDERS: len(self.genders) > 0,
      Need.VGG_FACE: self.held_out.named is not None,
      Need.DLIB: self.held_out.described is not None,
      Need.SEVERAL_DRAWS: self.draws > 1,
      Need.SPEECH: self.heard is not None,
      Need.EXPRESSION: self.held_out.expression is not None,
    }[need]


@dataclasses.dataclass(frozen=True)
class Metric:
  """One metric; `catalogue.py` lists them all."""

  name: str  # its name in `metrics.json` and in logs
  title: str  # its name in tables and reports
  kind: Kind  # how it is computed and read
  # Of a SHARE, from a context and faces to bool or float [N]. Of others, from a context and the
  # faces sampled from all chunks, once or more often, to a function that computes the metric on
  # some of the chunks, or to None if there are too few faces.
  function: Callable[[Context, Any], Any]
  needs: Collection[Need] = ()  # what has to be there
  # Of a CORRELATION, from a context and faces to the share of permutations that reach it.
  p_value: Callable[[Context, Sequence[Faces]], float] | None = None

  def on(self, context: Context, draws: Sequence[Faces]) -> Measure | None:
    """Returns the metric of faces as a function of chunks; None if there are too few faces."""
    if self.kind == Kind.SHARE:
      values = np.mean([self.function(context, faces) for faces in draws], 0)
      return None if np.isnan(values).all() else _mean_over_chunks(context, values)
    return self.function(context, draws)


@dataclasses.dataclass(frozen=True)
class Result:
  """A metric's values."""

  value: float  # its value for generated faces
  real: float  # its value for real faces: the ceiling, or of a distance the floor
  baseline: float  # its value for faces that ignore the speech (see `baselines.py`)
  # Its value for each label, where it has a meaning.
  by_identity: Mapping[int, float] = dataclasses.field(default_factory=dict)
  # 95% interval, over what `bootstrap.py` says; None where it was not computed.
  interval: Interval | None = None
  # The same for each label.
  intervals: Mapping[int, Interval] = dataclasses.field(default_factory=dict)
  # Share of permutations in which faces of other chunks go as well with the speech; None where that
  # was not tested.
  p_value: float | None = None


def compute(
  metrics: Sequence[Metric],
  draws: Sequence[Faces],
  held_out: Faces,
  reference: Faces,
  resamples: int = 0,
  genders: Sequence[str] = (),
  heard: Heard | None = None,
) -> dict[str, Result]:
  """Returns the results of all metrics for which these faces suffice.

  Args:
    metrics: The metrics.
    draws: Faces sampled from the same N chunks of speech, once or more often.
    held_out: The N real faces that go with the speech.
    reference: Real faces of everyone, other than those.
    resamples: Resamples for the intervals; 0 for none.
    genders: Gender of each label, where they are known.
    heard: What is heard in the chunks; None where it is not known.
  """
  context = Context(held_out, reference, np.array(genders), len(draws), heard)
  ignoring = baselines.most_frequent_person(held_out, reference, len(draws))
  others = baselines.other_real_faces(held_out, reference)
  chunks = np.arange(len(held_out))
  results = {}
  for metric in metrics:
    measure = metric.on(context, draws) if all(map(context.provides, metric.needs)) else None
    if measure is None:
      continue
    value, by_identity = measure(chunks)
    if Need.SEVERAL_DRAWS in metric.needs:
      real = 1.0  # two real faces of a person
    else:
      real = _value(metric, context, [others if metric.kind == Kind.DISTANCE else held_out])
    baseline = 0.0 if metric.kind == Kind.CORRELATION else _value(metric, context, ignoring)
    interval: Interval | None = None
    intervals: dict[int, Interval] = {}
    if resamples:
      interval, intervals = bootstrap.intervals(
        measure,
        held_out.identity,
        resamples,
        unbiased=metric.kind in (Kind.SHARE, Kind.OFFSET),
        over_people=not context.provides(Need.KNOWN_IDENTITIES),
      )
    p_value = metric.p_value(context, draws) if metric.p_value else None
    results[metric.name] = Result(value, real, baseline, by_identity, interval, intervals, p_value)
  return results


def _value(metric: Metric, context: Context, draws: Sequence[Faces]) -> float:
  measure = metric.on(context, draws)
  return measure(np.arange(len(context.held_out)))[0] if measure else float("nan")


def _mean_over_chunks(context: Context, values: np.ndarray) -> Measure:
  """Returns the mean of values float [N] of the chunks, without NaN, as a metric."""

  def measure(chunks):
    chunks = chunks[~np.isnan(values[chunks])]
    identity = context.held_out.identity[chunks]
    by_identity = {
      int(label): float(values[chunks[identity == label]].mean()) for label in np.unique(identity)
    }
    return float(values[chunks].mean()) if len(chunks) else np.nan, by_identity

  return measure
