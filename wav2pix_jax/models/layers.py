"""Layers of the networks: a convolution with optional spectral norm, and batch normalisation."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
RELEASE_INIT = nn.initializers.normal(0.02)  # release: every convolution and dense layer


class Conv(nn.Module):
  """A convolution of this file, with its kernel.

  With spectral norm it is divided by the kernel's largest singular value in every pass: one power
  iteration each (release), kept in the collection "spectral" in training. The stored kernel stays
  as it is; flax's `nn.SpectralNorm` divides it too, at initialisation. Rows and columns are the
  release's, since every kernel here has last the axis that PyTorch has first.

  Kernels are stored, and normalised, in float32, and convolve in the dtype of x.

  Attributes:
    convolve: a function of this file.
    kernel_shape: as that function's docstring gives it.
    use_bias: one number per output channel, from 0.
    spectral_norm: as above.
  """

  convolve: Callable[[Array, Array], Array]
  kernel_shape: tuple[int, ...]
  use_bias: bool = False
  spectral_norm: bool = False

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """The convolution of x; shapes stand with the function."""
    dtype = x.dtype
    kernel = self.param("kernel", RELEASE_INIT, self.kernel_shape)
    x = self.convolve(x, kernel.astype(dtype))
    if self.spectral_norm:  # as good as the kernel's division, of less, and passes share the kernel
      x = (x / self._sigma(kernel, train)).astype(dtype)
    if self.use_bias:  # in float32, for the sake of its gradient, a long sum
      x = (x + self.param("bias", nn.initializers.zeros, (x.shape[-1],))).astype(dtype)
    return x

  def _sigma(self, kernel: Array, train: bool) -> Array:
    matrix = kernel.reshape(-1, kernel.shape[-1])
    u = self.variable("spectral", "u", self._random_unit, matrix.shape[-1:])
    with jax.default_matmul_precision("highest"):  # few operations, and no TF32 in sigma
      right = lax.stop_gradient(_unit(matrix @ u.value))
      left = lax.stop_gradient(_unit(right @ matrix))
      sigma = right @ matrix @ left
    if train:
      u.value = left
    return sigma

  def _random_unit(self, shape: tuple[int, ...]) -> Array:
    return _unit(jax.random.normal(self.make_rng("params"), shape))


def _unit(vector: Array) -> Array:
  return vector / (jnp.linalg.norm(vector) + 1e-12)


class BatchNorm(nn.Module):
  """Batch normalisation with the statistics PyTorch keeps, over all devices of an axis.

  flax's own stores the biased variance of a batch; the release's running variance is the unbiased
  one (N / (N - 1)). Momentum 0.9 (the release's 0.1), epsilon 1e-5. Release: scale starts from
  N(1, 0.02), shift from 0. All of it is computed in float32, whatever comes in and goes out.

  Attributes:
    axis_name: the devices to average over in training; None for one device.
  """

  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """X [..., C], normalised by its own statistics in training, else by the running ones."""
    dtype, channels = x.dtype, x.shape[-1:]
    x = x.astype(jnp.float32)
    scale = self.param("scale", lambda key: 1 + RELEASE_INIT(key, channels))
    bias = self.param("bias", nn.initializers.zeros, channels)
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
    running_var = self.variable("batch_stats", "var", jnp.ones, channels)
    if train:
      axes, devices = tuple(range(x.ndim - 1)), self._devices()
      mean = x.mean(axes)
      var = jnp.square(x - mean).mean(axes)
      if devices > 1:  # in one sum, since each keeps all devices waiting: `docs/scaling.md`
        both = jnp.stack([mean, var + jnp.square(mean)])
        mean, mean_of_squares = lax.pmean(both, self.axis_name)
        var = mean_of_squares - jnp.square(mean)
      count = x.size // x.shape[-1] * devices
      running_mean.value += 0.1 * (mean - running_mean.value)
      running_var.value += 0.1 * (var * count / max(count - 1, 1) - running_var.value)
    else:
      mean, var = running_mean.value, running_var.value
    return ((x - mean) * (scale * lax.rsqrt(var + 1e-5)) + bias).astype(dtype)

  def _devices(self) -> int:
    return lax.axis_size(self.axis_name) if self.axis_name else 1


class Dropout(nn.Module):
  """Dropout as flax's own, but of half the random bits: 4% of a step at 128 px on a CPU.

  Attributes:
    rate: chance of an element to become 0, from 0 to below 1, in steps of 1 / 65,536.
  """

  rate: float

  @nn.compact
  def __call__(self, x: Array, deterministic: bool) -> Array:
    """X, with elements dropped and the others grown by as much, unless `deterministic`."""
    if deterministic or not self.rate:
      return x
    levels = 2**16
    dropped = min(round(self.rate * levels), levels - 1)
    words = jax.random.bits(self.make_rng("dropout"), ((x.size + 1) // 2,), jnp.uint32)
    kept = jnp.concatenate([words >> 16 >= dropped, words % levels >= dropped])  # halves of words
    grown = x * (levels / (levels - dropped))
    return jnp.where(kept[: x.size].reshape(x.shape), grown, 0).astype(x.dtype)
