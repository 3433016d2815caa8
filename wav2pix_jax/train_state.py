"""Everything that training changes, in one value."""

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax.training import train_state

from wav2pix_jax.models import Networks


class NetworkState(train_state.TrainState):
  """One network in training."""

  # The collections that a forward pass in training changes: running statistics of batch norm
  # ("batch_stats") and vectors of the power iterations ("spectral"), float32.
  stats: Any

  @property
  def variables(self) -> dict[str, Any]:
    """The variables that flax's `apply` takes."""
    return {"params": self.params, **self.stats}


class GanState(flax.struct.PyTreeNode):
  """The state of training between two steps."""

  generator: NetworkState  # the generator with the speech encoder and the auxiliary classifier
  discriminator: NetworkState
  face_encoder: NetworkState | None  # None where the config has no `loss.matching`
  # An exponential moving average of the generator's variables (parameters and statistics); empty
  # where `config.ema_decay` is 0.
  ema: Any

  @property
  def step(self) -> jax.Array:
    """The number of finished steps, int32 []."""
    return jnp.asarray(self.generator.step)

  @property
  def sampling_variables(self) -> dict[str, Any]:
    """The generator's variables to sample with: the averaged ones where there are any."""
    return self.ema or self.generator.variables


def create_state(config: Any, networks: Networks, key: jax.Array) -> GanState:
  """Returns the state at step 0, with parameters initialised from a key."""
  speech = jnp.zeros((1, config.dataset.window_samples))
  faces = jnp.zeros((1, config.image_size, config.image_size, 3))
  embedding = jnp.zeros((1, config.model.embedding))

  @jax.jit
  def variables(key):
    generator_key, discriminator_key = jax.random.split(key)
    face_encoder = networks.face_encoder and networks.face_encoder.init(
      jax.random.fold_in(key, 2), faces, embedding, False
    )
    return (
      networks.generator.init(generator_key, speech, False, True),
      networks.discriminator.init(discriminator_key, faces, embedding, False),
      face_encoder,
    )

  return state_from_variables(config, networks, *variables(key))


def state_from_variables(
  config: Any,
  networks: Networks,
  generator: dict[str, Any],
  discriminator: dict[str, Any],
  face_encoder: dict[str, Any] | None = None,
) -> GanState:
  """Returns the state at step 0 with given variables and new optimizers.

  The variables of the networks are as flax's `init` or an import returns them. `config.optimizer`
  gives learning rates and betas, `config.ema_decay` whether weights are averaged.
  """
  optimizer, matcher = config.optimizer, None
  if networks.face_encoder and face_encoder:
    matcher = _network_state(networks.face_encoder, face_encoder, optimizer.lr_g, optimizer)
  return GanState(
    generator=_network_state(networks.generator, generator, optimizer.lr_g, optimizer),
    discriminator=_network_state(networks.discriminator, discriminator, optimizer.lr_d, optimizer),
    face_encoder=matcher,
    ema=jax.tree.map(jnp.copy, generator) if config.ema_decay else {},
  )


def _network_state(
  network: flax.linen.Module, variables: dict[str, Any], learning_rate: float, optimizer: Any
) -> NetworkState:
  adam = optax.adam(learning_rate, b1=optimizer.b1, b2=optimizer.b2)
  stats = {name: tree for name, tree in variables.items() if name != "params"}
  state = NetworkState.create(
    apply_fn=network.apply, params=variables["params"], tx=adam, stats=stats
  )
  return state.replace(step=jnp.zeros((), jnp.int32))
