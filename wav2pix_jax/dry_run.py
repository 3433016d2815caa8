"""A dry run: what a config makes and what it costs, without data, workdir or training."""

import functools
from collections import Counter
from typing import Any

import flax
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from data_builders import registry
from wav2pix_jax import models
from wav2pix_jax.common import schema
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_state import build_optimizers, initialise
from wav2pix_jax.train_step import step_of


def dry_run(config: ConfigDict) -> None:
  """Prints layers, parameters, a step's operations and memory, and steps per epoch.

  The step is compiled for the devices at hand, and operations and memory are those that XLA counts;
  nothing is computed. The number of records is that of the published dataset; on the devices they
  are taken to have a whole clip of speech each.

  Raises:
    UserError: a dataset or networks that cannot be.
  """
  identities, records = registry.size(config.dataset)
  nets = models.build(config, identities, distributed.AXIS)
  optimizers = build_optimizers(config)
  root_key = jax.random.key(config.seed)
  state = distributed.abstract(functools.partial(initialise, nets, optimizers, root_key, config))
  devices = jax.device_count()
  batch = _abstract_batch(config, config.batch_size // devices)
  embedding = jax.ShapeDtypeStruct((len(batch[schema.FACE]), config.model.embedding), jnp.float32)
  one_device = models.build(config, identities)
  _print_layers(
    "generator", one_device.generator, state.generator, (batch[schema.SPEECH], False, True)
  )
  _print_layers(
    "discriminator",
    one_device.discriminator,
    state.discriminator,
    (batch[schema.FACE], embedding, False),
  )

  step = distributed.pmapped(step_of(config, nets, optimizers, distributed.AXIS))
  sharded = {
    name: jax.ShapeDtypeStruct((jax.local_device_count(), *x.shape), x.dtype)
    for name, x in batch.items()
  }
  lowered = step.lower(state, sharded, root_key)
  flops = lowered.cost_analysis()["flops"] * devices
  memory = lowered.compile().memory_analysis()
  held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
  peak = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
    + memory.temp_size_in_bytes
  )
  pixels = 3 * config.image_size**2
  stored = records * (pixels + 2 * schema.CLIP_SAMPLES) if config.dataset.on_device else 0
  print("batch: " + ", ".join(f"{name} {_shape(x)}" for name, x in batch.items()))
  kind, share = jax.devices()[0].device_kind, config.batch_size // devices
  for line in (
    f"devices: {devices} ({kind}), {share} faces each",
    f"a step: {flops / 1e9:,.0f} GFLOP, {flops / 1e9 / config.batch_size:,.1f} a face",
    f"memory of a device: {(peak + stored) / 2**20:,.0f} MiB, of which state "
    f"{held / 2**20:,.0f} MiB, records {stored / 2**20:,.0f} MiB",
    f"an epoch of {config.dataset.name} (about {records:,} records): "
    f"{records / config.batch_size:,.1f} steps; {config.num_steps:,} steps are "
    f"{config.num_steps * config.batch_size / records:,.1f} epochs",
  ):
    print(line)


def _abstract_batch(config: ConfigDict, size: int) -> dict[str, jax.ShapeDtypeStruct]:
  """A device's share of a batch, as `schema.py` says."""
  face = jax.ShapeDtypeStruct((size, config.image_size, config.image_size, 3), jnp.float32)
  batch = {
    schema.SPEECH: jax.ShapeDtypeStruct((size, config.dataset.window_samples), jnp.float32),
    schema.FACE: face,
    schema.IDENTITY: jax.ShapeDtypeStruct((size,), jnp.int32),
  }
  return batch | ({schema.MISMATCHED_FACE: face} if config.loss.mismatched else {})


def _print_layers(name: str, net: Any, player: Any, inputs: tuple) -> None:
  """A line for each layer, in the order of the forward pass: output shape and parameters."""
  outputs: dict[tuple[str, ...], Any] = {}

  def forward(variables, arrays, flags):
    _, seen = net.apply(
      variables, *arrays, *flags, capture_intermediates=True, mutable=["intermediates"]
    )
    outputs.update(flax.traverse_util.flatten_dict(seen["intermediates"]))

  arrays = [x for x in inputs if not isinstance(x, bool)]
  flags = [x for x in inputs if isinstance(x, bool)]
  jax.eval_shape(functools.partial(forward, flags=flags), player.variables, arrays)
  counts: Counter[tuple[str, ...]] = Counter()
  for path, leaf in flax.traverse_util.flatten_dict(player.params).items():
    counts[path[:-1]] += leaf.size
  print(f"{name}: {counts.total():,} parameters")
  for (*path, _), (output, *_) in outputs.items():
    if tuple(path) in counts:
      print(f"  {'/'.join(path):20} {_shape(output):24} {counts[tuple(path)]:>12,}")


def _shape(x: Any) -> str:
  return f"{x.dtype}[{', '.join(map(str, x.shape))}]"
