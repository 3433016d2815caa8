"""The objective as formulas (paper, section 4.2; the PyTorch release where the paper is silent).

All functions return float32 scalars. `pmean` averages over devices. It stands inside a formula
wherever that is not linear in the batch, so that gradients do not depend on the number of devices.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

Array = jax.Array


def least_squares(scores: Array, target: float) -> Array:
  """Returns the mean squared distance of scores [B] to a target."""
  return jnp.mean(jnp.square(scores - target))


def discriminator_loss(*, scores: Mapping[str, Array], weights: Any) -> dict[str, Array]:
  """Returns each term of the discriminator's loss, and their weighted sum `total`.

  Args:
    scores: Scores [B] by kind of face. `real` faces with their own speech have the target
      `weights.real_target`, `fake` (generated) ones 0. `mismatched` ones, real faces of another
      identity, have the target 0 as well; they are optional (PyTorch release).
    weights: `config.loss`.
  """
  targets = {"real": weights.real_target, "fake": 0.0, "mismatched": 0.0}
  terms = {name: least_squares(score, targets[name]) for name, score in scores.items()}
  total = terms["real"] + terms["fake"]
  if "mismatched" in terms:
    total += weights.mismatched * terms["mismatched"]
  return {**terms, "total": _half(weights) * total}


def generator_loss(
  *,
  scores: Array,
  features: Array,
  real_features: Array,
  faces: Array,
  real_faces: Array,
  other_faces: Array,
  logits: Array,
  identities: Array,
  weights: Any,
  pmean: Callable[[Array], Array],
) -> dict[str, Array]:
  """Returns each term of the generator's loss, and their weighted sum `total`.

  The loss trains the speech encoder and the auxiliary classifier as well. With L1 alone the best
  face is the median of all faces that go with the speech: always the same, and blurred.
  `weights.energy_score` subtracts the difference to another sample for the same speech. In
  expectation the gradient is then that of the energy score of Gneiting and Raftery (2007),
  E|x - y| - E|x - x'| / 2, of every pixel. It is least where generated faces x vary as real faces y
  do. (The factor 1/2 is absent since x' is held constant: it would contribute as much again.)

  Args:
    scores: The discriminator's scores of generated faces, [B]; their target is 1.
    features: Its last features of the generated faces, [B, 4, 4, C].
    real_features: The same of the real faces, held constant.
    faces: Generated faces [B, S, S, 3] in [-1, 1].
    real_faces: The real faces that go with the same speech.
    other_faces: Faces generated from the same speech with other dropout masks, held constant.
    logits: The auxiliary classifier's logits, [B, identities].
    identities: Labels int32 [B].
    weights: `config.loss`.
    pmean: The mean over devices of an array.
  """
  terms = {
    "adversarial": least_squares(scores, 1.0),
    "feature_matching": jnp.mean(
      jnp.square(pmean(features.mean(0)) - pmean(real_features.mean(0)))
    ),
    "l1": jnp.mean(jnp.abs(faces - real_faces)),
    "between_samples": jnp.mean(jnp.abs(faces - other_faces)),
    "softmax": jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, identities)),
  }
  total = (
    _half(weights) * weights.adversarial * terms["adversarial"]
    + weights.feature_matching * terms["feature_matching"]
    + weights.l1 * terms["l1"]
    + weights.softmax * terms["softmax"]
  )
  if weights.energy_score:
    total -= weights.l1 * terms["between_samples"]
  return {**terms, "total": total}


def _half(weights: Any) -> float:
  """Returns the factor before the paper's least squares, which the PyTorch release leaves out."""
  return 0.5 if weights.half else 1.0
