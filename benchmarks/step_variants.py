"""Speed of a training step in variants: what would be worth changing, before it is changed.

python -m benchmarks.step_variants --image_size=128 --batch_size=64 --precision=bfloat16

Each variant computes the same step (a test compares them) in a process of its own, and is compared
with the step as it is. `docs/performance.md` says what each was expected to save.
"""

import functools
import itertools
import os
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from benchmarks import jax_side, turns
from benchmarks.jax_side import IDENTITIES
from benchmarks.train_step import batch
from wav2pix_jax import ops, train_step
from wav2pix_jax.models import layers
from wav2pix_jax.ops import conv
from wav2pix_jax.runtime import distributed
from wav2pix_jax.runtime.allocator import keep_freed_memory

AS_IT_IS = "as it is"
FEW = 4  # channels of speech and of faces
STEPS_A_CALL = 8
SEVERAL, ALL = f"{STEPS_A_CALL} steps a call", "all of our own"
Step = Callable[..., Any]


def few_channels_as_products() -> None:
  """Computes the layers of speech and of faces as matrix products on other platforms, too."""

  def chosen(layer: Callable[..., jax.Array], product: Callable[..., jax.Array], axes: slice):
    def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
      return (product if min(kernel.shape[axes]) <= FEW else layer)(x, kernel)

    return convolve

  for name in ("conv_15_stride_4", "conv_4x4_stride_2", "conv_transpose_4x4_stride_2"):
    axes = slice(1, None) if name == "conv_15_stride_4" else slice(2, None)
    product = getattr(conv, f"_{name}_cpu")
    setattr(ops, name, chosen(getattr(conv, name), product, axes))


def batch_norm_in_one_pass() -> None:
  """Sums a map and its squares at once, and scales it in its own dtype."""

  class OnePass(layers.BatchNorm):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
      channels, wide = x.shape[-1:], x.astype(jnp.float32)
      scale = self.param("scale", lambda key: 1 + layers.RELEASE_INIT(key, channels))
      bias = self.param("bias", nn.initializers.zeros, channels)
      running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
      running_var = self.variable("batch_stats", "var", jnp.ones, channels)
      mean, var = running_mean.value, running_var.value
      if train:
        axes, together = tuple(range(x.ndim - 1)), self.devices.together if self.devices else 1
        # Around the running mean, since differences of large squares would be inexact.
        shift = lax.stop_gradient(running_mean.value)
        centred = wide - shift
        both = jnp.stack([centred.mean(axes), jnp.square(centred).mean(axes)])
        mean, var = self.devices.mean(both) if self.devices and together > 1 else both
        var, mean = jnp.maximum(var - jnp.square(mean), 0), mean + shift
        count = x.size // x.shape[-1] * together
        running_mean.value += 0.1 * (mean - running_mean.value)
        running_var.value += 0.1 * (var * count / max(count - 1, 1) - running_var.value)
      factor = scale * lax.rsqrt(var + 1e-5)
      return x * factor.astype(x.dtype) + (bias - mean * factor).astype(x.dtype)

  layers.BatchNorm = OnePass  # type: ignore[misc]


def adam_over_one_vector() -> None:
  """Updates all parameters of a network in one pass over one vector."""
  adam = optax.adam
  optax.adam = lambda *args, **fields: optax.flatten(adam(*args, **fields))


def random_bits_of_the_device() -> None:
  """Draws dropout masks with the generator of the hardware."""
  jax.config.update("jax_default_prng_impl", "rbg")


def several_steps(step: Step) -> Step:
  """Returns `STEPS_A_CALL` steps in one."""

  def steps(state, batch, key):
    state, metrics = lax.scan(lambda s, _: step(s, batch, key), state, length=STEPS_A_CALL)
    return state, jax.tree.map(lambda x: x[-1], metrics)

  return steps


def flag(*flags: str) -> Callable[[], None]:
  """Returns a function that sets flags of XLA, before JAX starts."""

  def set_flags() -> None:
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])

  return set_flags


PATCHES: dict[str, list[Callable[[], None]]] = {
  AS_IT_IS: [],
  "layers of few channels as products": [few_channels_as_products],
  "batch norm in one pass": [batch_norm_in_one_pass],
  SEVERAL: [],
  "Adam over one vector": [adam_over_one_vector],
  "random bits by rbg": [random_bits_of_the_device],
  "XLA: convolutions in NHWC": [flag("--xla_gpu_force_conv_nhwc=true")],
  "XLA: no CUDA graphs": [flag("--xla_gpu_enable_command_buffer=")],
  "XLA: scheduler that hides latency": [flag("--xla_gpu_enable_latency_hiding_scheduler=true")],
  "XLA: products by cuBLAS only": [flag("--xla_gpu_enable_triton_gemm=false")],
}
PATCHES[ALL] = list(
  itertools.chain(*(patches for name, patches in PATCHES.items() if not name.startswith("XLA")))
)


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__)
  parser.add_argument("--config", default="release", choices=jax_side.CONFIGS)
  parser.add_argument("--image_size", type=int, default=128)
  parser.add_argument("--batch_size", type=int, default=64)
  parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
  parser.add_argument("--steps", type=int, default=24, help="steps per turn, a multiple of 8")
  parser.add_argument("--only", nargs="*", default=list(PATCHES), help="names of variants")
  parser.add_argument("--list", action="store_true", help="print the names of variants, and end")
  flags = parser.parse_args()
  if flags.list:
    print(*(name for name in PATCHES if name != AS_IT_IS), sep="\n")
    return
  names = dict.fromkeys([AS_IT_IS, *flags.only])
  sizes = flags.config, flags.image_size, flags.batch_size, flags.precision, flags.steps
  taken = turns.take({name: functools.partial(start, name, *sizes) for name in names}, flags.rounds)
  print(f"{turns.machine()}; configs/{flags.config}.py in {flags.precision}, {flags.image_size} px")
  rows = {
    name: {
      "faces_per_second": one.rates(flags.batch_size * flags.steps),
      "of_the_rate_as_it_is": turns.ratio(taken, name, AS_IT_IS) if AS_IT_IS in taken else None,
      "peak_mib": one.peak_mib,
    }
    for name, one in sorted(taken.items(), key=lambda item: item[1].median)
  }
  turns.show(rows)
  turns.write(
    flags.json, {"sides": rows, "image_size": flags.image_size, "batch_size": flags.batch_size}
  )


def start(
  name: str, config_name: str, image_size: int, batch_size: int, precision: str, steps: int
) -> turns.Work:
  """Prepares training in a variant, in a process of its own, and returns the work of its steps."""
  keep_freed_memory()
  config = jax_side.get_config(config_name, image_size)
  config.precision = precision
  step, calls = variant(name, config), steps
  if calls_several(name):
    calls = steps // STEPS_A_CALL
  batches = itertools.repeat(distributed.shard(batch(config, batch_size)))
  return jax_side.train(config, IDENTITIES, step, batches, jax.random.key(0), calls)


def variant(name: str, config: Any) -> Step:
  """Changes this process to a variant, and returns its step, of `distributed.pmapped`."""
  for patch in PATCHES[name]:
    patch()
  step = functools.partial(train_step.train_step, config=config, axis_name=distributed.AXIS)
  return several_steps(step) if calls_several(name) else step


def calls_several(name: str) -> bool:
  """Whether a call of a variant's step is several steps."""
  return name in (SEVERAL, ALL)


if __name__ == "__main__":
  main()
