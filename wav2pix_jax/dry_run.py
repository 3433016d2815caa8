"""The flag `--dry_run`: what a config needs, without data, workdir or training."""

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
from wav2pix_jax.data.plan import further_faces
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_state import create_state
from wav2pix_jax.train_step import train_step


def dry_run(config: ConfigDict) -> None:
  """Prints layers, parameters, operations and memory of a step, and steps per epoch.

  The step is compiled for the available devices, which takes as long as at the start of training;
  XLA counts its operations and memory. Nothing is computed. The number of records is that of the
  published dataset, each with a whole clip of speech.

  Raises:
    UserError: The dataset or the networks are impossible.
  """
  identities, records = registry.size(config.dataset)
  root_key = jax.random.key(config.seed)
  networks = models.build(config, identities, distributed.AXIS)
  state = distributed.abstract(functools.partial(create_state, config, networks, root_key))
  devices = jax.device_count()
  share = config.batch_size // devices
  batch = _abstract_batch(config, share)
  embedding = jax.ShapeDtypeStruct((share, config.model.embedding), jnp.float32)
  one_device = models.build(config, identities)
  speech = (batch[schema.SPEECH], False, True)
  _print_layers("generator", one_device.generator, state.generator, speech)
  faces = (batch[schema.FACE], embedding, False)
  _print_layers("discriminator", one_device.discriminator, state.discriminator, faces)
  if one_device.face_encoder:
    _print_layers("face encoder", one_device.face_encoder, state.face_encoder, faces)

  step = functools.partial(train_step, config=config, axis_name=distributed.AXIS)
  local = jax.local_device_count()
  sharded = {name: jax.ShapeDtypeStruct((local, *x.shape), x.dtype) for name, x in batch.items()}
  lowered = distributed.pmapped(step).lower(state, sharded, root_key)
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
  print(f"devices: {devices} ({jax.devices()[0].device_kind}), {share} faces each")
  print(f"a step: {flops / 1e9:,.0f} GFLOP, {flops / 1e9 / config.batch_size:,.1f} per face")
  print(
    f"memory of a device: {(peak + stored) / 2**20:,.0f} MiB, of which state "
    f"{held / 2**20:,.0f} MiB, records {stored / 2**20:,.0f} MiB"
  )
  print(
    f"an epoch of {config.dataset.name} (about {records:,} records): "
    f"{records / config.batch_size:,.1f} steps; {config.num_steps:,} steps are "
    f"{config.num_steps * config.batch_size / records:,.1f} epochs"
  )


def _abstract_batch(config: ConfigDict, size: int) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of a device's share of a batch, as `schema.py` defines it."""
  face = jax.ShapeDtypeStruct((size, config.image_size, config.image_size, 3), jnp.float32)
  batch = {
    schema.SPEECH: jax.ShapeDtypeStruct((size, config.dataset.window_samples), jnp.float32),
    schema.FACE: face,
    schema.IDENTITY: jax.ShapeDtypeStruct((size,), jnp.int32),
  }
  if config.loss.mismatched:
    batch[schema.MISMATCHED_FACE] = face
  if further := further_faces(config.loss):
    batch[schema.FURTHER_FACES] = jax.ShapeDtypeStruct((size, further, *face.shape[1:]), face.dtype)
    batch[schema.RECORDS] = jax.ShapeDtypeStruct((size, 1 + further), jnp.int32)
  return batch


def _print_layers(name: str, network: Any, state: Any, inputs: tuple) -> None:
  """Prints output shape and parameters of each layer, in the order of the forward pass."""
  outputs: dict[tuple[str, ...], Any] = {}

  def forward(variables, arrays, flags):
    _, seen = network.apply(
      variables, *arrays, *flags, capture_intermediates=True, mutable=["intermediates"]
    )
    outputs.update(flax.traverse_util.flatten_dict(seen["intermediates"]))

  arrays = [x for x in inputs if not isinstance(x, bool)]
  flags = [x for x in inputs if isinstance(x, bool)]
  jax.eval_shape(functools.partial(forward, flags=flags), state.variables, arrays)
  counts: Counter[tuple[str, ...]] = Counter()
  for path, leaf in flax.traverse_util.flatten_dict(state.params).items():
    counts[path[:-1]] += leaf.size
  print(f"{name}: {counts.total():,} parameters")
  for (*path, _), (output, *_) in outputs.items():
    if path and tuple(path) in counts:  # the network itself has outputs, too
      print(f"  {'/'.join(path):20} {_shape(output):24} {counts[tuple(path)]:>12,}")


def _shape(x: Any) -> str:
  return f"{x.dtype}[{', '.join(map(str, x.shape))}]"
