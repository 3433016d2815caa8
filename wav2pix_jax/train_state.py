"""Everything that training changes, in one value."""

import dataclasses
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from wav2pix_jax.models import Networks


@dataclasses.dataclass(frozen=True)
class Optimizers:
  """One Adam for each player; the generator's also moves encoder and auxiliary classifier."""

  generator: optax.GradientTransformation
  discriminator: optax.GradientTransformation


class Player(flax.struct.PyTreeNode):
  """One network in training.

  Attributes:
    params: what its optimizer moves, float32.
    stats: the collections that a forward pass in training moves: running statistics of batch norm
      ("batch_stats") and vectors of the power iterations ("spectral"), float32.
    opt_state: of its optimizer.
  """

  params: Any
  stats: Any
  opt_state: Any

  @property
  def variables(self) -> dict[str, Any]:
    """What flax's `apply` takes."""
    return {"params": self.params, **self.stats}


class GanState(flax.struct.PyTreeNode):
  """Training between two steps.

  Attributes:
    step: int32 [], rounds done.
    generator: draws, encodes the speech and names the speaker.
    discriminator: judges.
    ema: the generator's variables (parameters and statistics), averaged over the last steps;
      empty where `ema_decay` is 0.
  """

  step: jax.Array
  generator: Player
  discriminator: Player
  ema: Any

  @property
  def drawing(self) -> dict[str, Any]:
    """The generator's variables to draw with: the averaged ones where there are any."""
    return self.ema or self.generator.variables


def build_optimizers(config: Any) -> Optimizers:
  """Adam with the rates and betas of `config.optimizer`."""
  opt = config.optimizer
  return Optimizers(
    generator=optax.adam(opt.lr_g, b1=opt.b1, b2=opt.b2),
    discriminator=optax.adam(opt.lr_d, b1=opt.b1, b2=opt.b2),
  )


def initialise(nets: Networks, optimizers: Optimizers, key: jax.Array, config: Any) -> GanState:
  """The state at step 0 of a config's networks, from a key."""
  speech = jnp.zeros((1, config.dataset.window_samples))
  faces = jnp.zeros((1, config.image_size, config.image_size, 3))
  embedding = jnp.zeros((1, config.model.embedding))

  @jax.jit
  def variables(generator_key, discriminator_key):
    return (
      nets.generator.init(generator_key, speech, False, True),
      nets.discriminator.init(discriminator_key, faces, embedding, False),
    )

  generator, discriminator = variables(*jax.random.split(key))
  return start(generator, discriminator, optimizers, config.ema_decay)


def start(
  generator: dict[str, Any],
  discriminator: dict[str, Any],
  optimizers: Optimizers,
  ema_decay: float,
) -> GanState:
  """The state at step 0 of variables that flax's `init` or an import gives."""
  return GanState(
    step=jnp.zeros((), jnp.int32),
    generator=_player(generator, optimizers.generator),
    discriminator=_player(discriminator, optimizers.discriminator),
    ema=jax.tree.map(jnp.copy, generator) if ema_decay else {},
  )


def _player(variables: dict[str, Any], optimizer: optax.GradientTransformation) -> Player:
  stats = {name: tree for name, tree in variables.items() if name != "params"}
  params = variables["params"]
  return Player(params=params, stats=stats, opt_state=optimizer.init(params))
