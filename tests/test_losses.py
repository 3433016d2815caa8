"""What the terms are for, shown where the answer is known."""

import jax
import jax.numpy as jnp
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
