"""What the terms are for, shown where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from wav2pix_jax import losses


@pytest.mark.parametrize("energy_score", [True, False])
def test_by_the_energy_score_drawing_is_sampling(energy_score):
  """A one-pixel generator, mean + scale * noise, of pixels normal around 0.2 with deviation 0.5.

  L1 alone leaves none of the scale: each draw is the median.
  """
  none = {"half": False, "feature_matching": 0.0, "softmax": 0.0}
  weights = ConfigDict({**none, "adversarial": 1.0, "l1": 1.0, "energy_score": energy_score})
  optimizer = optax.adam(0.02)

  @jax.jit
  def step(params, opt_state, key):
    noise, other, real = jax.random.normal(key, (3, 4096, 1, 1, 1))

    def draw(params, noise):
      return params["mean"] + params["scale"] * noise

    def loss(drawing):
      terms = losses.generator_loss(
        scores=jnp.zeros(1),
        features=jnp.zeros((1, 4, 4, 1)),
        real_features=jnp.zeros((1, 4, 4, 1)),
        faces=draw(drawing, noise),
        real_faces=0.2 + 0.5 * real,
        other_faces=draw(params, other),
        logits=jnp.zeros((1, 2)),
        identities=jnp.zeros(1, int),
        weights=weights,
        pmean=lambda x: x,
      )
      return terms["total"]

    updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state)
    return optax.apply_updates(params, updates), opt_state

  params = {"mean": jnp.array(-0.5), "scale": jnp.array(1.0)}
  opt_state = optimizer.init(params)
  for i in range(300):
    params, opt_state = step(params, opt_state, jax.random.key(i))
  assert abs(params["mean"] - 0.2) < 0.05
  assert abs(abs(params["scale"]) - (0.5 if energy_score else 0.0)) < 0.05


def _matching(speech, faces, records, scale=1.0):
  return float(
    losses.matching_loss(
      speech=jnp.asarray(speech, jnp.float32),
      faces=jnp.asarray(faces, jnp.float32),
      scale=jnp.float32(scale),
      records=jnp.asarray(records),
      gather=lambda x: x,
    )
  )


def test_matching_is_cross_entropy_over_faces_and_over_speech():
  count, further = 5, 3
  records = np.arange(count * (1 + further)).reshape(count, -1)
  speech, faces = np.ones((count, 1)), np.ones((count, 1 + further, 1))
  guessing = (np.log(count * (1 + further)) + np.log(count)) / 2
  assert _matching(speech, faces, records) == pytest.approx(guessing, rel=1e-6)
  vectors = np.eye(count * (1 + further))  # every face another direction
  faces = vectors.reshape(count, 1 + further, -1)
  assert _matching(faces[:, 0], faces, records, 100) < 1e-6
  assert _matching(faces[:, 1], faces, records, 100) > 40  # each speech goes with a further face


def test_a_further_face_that_is_the_own_one_is_not_to_be_told_from_it():
  vectors = np.eye(3)
  faces = np.stack([vectors[:2], vectors[[0, 2]]]).swapaxes(0, 1)  # own 0, 1; further 0, 2
  assert _matching(vectors[:2], faces, [[7, 7], [8, 9]], 100) < 1e-6
  assert _matching(vectors[:2], faces, [[7, 6], [8, 9]], 100) == pytest.approx(np.log(2) / 4, 1e-5)
