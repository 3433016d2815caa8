"""The objective, formulas only (paper section 4.2; release where the paper is silent).

Every function returns float32 scalars. `pmean` averages over the devices: it goes inside wherever
a formula is not linear in the batch, so that gradients do not depend on the number of devices.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

Array = jax.Array


def least_squares(scores: Array, target: float) -> Array:
  """Mean squared distance of the scores [B] to a target."""
  return jnp.mean(jnp.square(scores - target))


def discriminator(scores: Mapping[str, Array], weights: Any) -> dict[str, Array]:
  """What D minimises.

  Args:
    scores: [B] of `real` faces with their own speech, wanted at `weights.real_target`; of `fake`
      ones, wanted at 0; and (release, where the term has weight) of `mismatched` ones, real faces
      of another identity, wanted at 0.
    weights: `config.loss`.

  Returns:
    Each term and their weighted sum `total`.
  """
  wanted = {"real": weights.real_target, "fake": 0.0, "mismatched": 0.0}
  terms = {name: least_squares(score, wanted[name]) for name, score in scores.items()}
  total = terms["real"] + terms["fake"]
  if "mismatched" in terms:
    total += weights.mismatched * terms["mismatched"]
  return {**terms, "total": _half(weights) * total}


def generator(
  fake: Array,
  fake_features: Array,
  real_features: Array,
  fake_faces: Array,
  real_faces: Array,
  redrawn_faces: Array,
  logits: Array,
  identities: Array,
  weights: Any,
  pmean: Callable[[Array], Array],
) -> dict[str, Array]:
  """What G, the speech encoder and the auxiliary classifier minimise.

  Args:
    fake: D's scores of generated faces, [B], wanted at 1.
    fake_features: D's last features of generated faces, [B, 4, 4, C].
    real_features: of the real ones.
    fake_faces: [B, S, S, 3] in [-1, 1].
    real_faces: that go with the same speech.
    redrawn_faces: generated from the same speech with other dropout, taken as given.
    logits: of the auxiliary classifier, [B, identities].
    identities: int32 [B].
    weights: `config.loss`.
    pmean: the mean over devices of an array.

  Returns:
    Each term and their weighted sum `total`. By L1 alone the best face is the median of all that go
    with the speech, always the same and blurred. With `energy_score` the difference to the redrawn
    face is taken off again. In expectation the gradient is then that of the energy score of
    Gneiting and Raftery (2007), E|x - y| - E|x - x'| / 2 for every pixel: it is least where drawn
    faces x vary as the real ones y do, so drawing is sampling. (The half is gone because x' is
    taken as given: it would contribute as much again.)
  """
  terms = {
    "adversarial": least_squares(fake, 1.0),
    "feature_matching": jnp.mean(
      jnp.square(pmean(fake_features.mean(0)) - pmean(real_features.mean(0)))
    ),
    "l1": jnp.mean(jnp.abs(fake_faces - real_faces)),
    "redrawn": jnp.mean(jnp.abs(fake_faces - redrawn_faces)),
    "softmax": jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, identities)),
  }
  total = (
    _half(weights) * weights.adversarial * terms["adversarial"]
    + weights.feature_matching * terms["feature_matching"]
    + weights.l1 * terms["l1"]
    + weights.softmax * terms["softmax"]
  )
  if weights.energy_score:
    total -= weights.l1 * terms["redrawn"]
  return {**terms, "total": total}


def _half(weights: Any) -> float:
  """The halves in front of the paper's least squares, which the release leaves out."""
  return 0.5 if weights.half else 1.0
