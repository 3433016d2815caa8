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
# Kinds of real faces that do not go with the speech.
MISMATCHED = ("mismatched", "mismatched_moment")


def least_squares(scores: Array, target: float) -> Array:
  """Returns the mean squared distance of scores [B] to a target."""
  return jnp.mean(jnp.square(scores - target))


def discriminator_loss(*, scores: Mapping[str, Array], weights: Any) -> dict[str, Array]:
  """Returns each term of the discriminator's loss, and their weighted sum `total`.

  Args:
    scores: Scores [B] by kind of face. `real` faces with their own speech have the target
      `weights.real_target`, `fake` (generated) ones 0. Two more kinds have the target 0 and are
      optional: `mismatched`, real faces of another identity (PyTorch release), and
      `mismatched_moment`, real faces of the same identity at another moment (ours).
    weights: `config.loss`.
  """
  targets = {"real": weights.real_target}
  terms = {name: least_squares(score, targets.get(name, 0.0)) for name, score in scores.items()}
  total = terms["real"] + terms["fake"]
  for name in MISMATCHED:
    if name in terms:
      total += weights[name] * terms[name]
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
    other_faces: Faces generated from the same speech with other noise, held constant.
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


def matching_loss(
  *,
  speech: Array,
  faces: Array,
  scale: Array,
  records: Array,
  gather: Callable[[Array], Array],
) -> Array:
  """Returns the symmetric cross-entropy of matching speech with faces (Radford et al. 2021; ours).

  Each speech has to find its own face among all others of the batch and further faces, and each
  face its own speech among those of the batch. Other speakers teach who speaks; further faces of
  the same speaker at other moments teach what is said. It trains the speech encoder to carry both.

  Args:
    speech: Unit vectors of speech, [B, C].
    faces: Unit vectors of faces, [B, 1 + K, C]: of each example its own face, then further faces.
    scale: The factor of their products, [].
    records: The record of each face, int32 [B, 1 + K]. A further face of the same record as an
      example's own is not one to be told from it.
    gather: Concatenates an array over the devices, so that all compare with all.
  """
  speech, faces, records = gather(speech), gather(faces), gather(records)
  own, further = faces[:, 0], faces[:, 1:].reshape(-1, faces.shape[-1])
  among_own = scale * speech @ own.T  # [B, B]
  among_further = scale * speech @ further.T  # [B, B * K]
  same = records[:, :1] == records[:, 1:].reshape(-1)
  among_further = jnp.where(same, -jnp.inf, among_further)
  labels = jnp.arange(len(speech))
  cross_entropy = optax.softmax_cross_entropy_with_integer_labels
  of_speech = cross_entropy(jnp.concatenate([among_own, among_further], 1), labels)
  of_faces = cross_entropy(among_own.T, labels)
  return (jnp.mean(of_speech) + jnp.mean(of_faces)) / 2


def _half(weights: Any) -> float:
  """Returns the factor before the paper's least squares, which the PyTorch release leaves out."""
  return 0.5 if weights.half else 1.0
