"""Layers of the networks: a convolution with optional spectral norm, and normalisation."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
RELEASE_INIT = nn.initializers.normal(0.02)  # release: every convolution and dense layer


class Conv(nn.Module):
  """A convolution of `ops` with its kernel, and optional spectral norm.

  Spectral norm divides the result by the kernel's largest singular value. Each pass makes one power
  iteration (PyTorch release), whose vector the collection "spectral" keeps in training. The stored
  kernel stays as it is, while flax's `nn.SpectralNorm` also divides it, at initialisation. Rows and
  columns are those of the release: the last axis of every kernel here is PyTorch's first.

  Kernels are stored and normalised in float32, and convolve in the dtype of the input.
  """

  convolve: Callable[[Array, Array], Array]  # a function of `ops`
  kernel_shape: tuple[int, ...]  # the kernel's shape, as that function's docstring gives it
  use_bias: bool = False  # whether to add a bias per output channel, initially 0
  spectral_norm: bool = False  # whether to apply spectral norm
  kernel_init: nn.initializers.Initializer = RELEASE_INIT

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """Returns the convolution of x; see the function in `ops` for shapes."""
    dtype = x.dtype
    kernel = self.param("kernel", self.kernel_init, self.kernel_shape)
    x = self.convolve(x, kernel.astype(dtype))
    if self.spectral_norm:  # dividing the result is cheaper, and passes share the kernel
      x = (x / self._sigma(kernel, train)).astype(dtype)
    if self.use_bias:  # in float32, since its gradient is a long sum
      x = (x + self.param("bias", nn.initializers.zeros, (x.shape[-1],))).astype(dtype)
    return x

  def _sigma(self, kernel: Array, train: bool) -> Array:
    matrix = kernel.reshape(-1, kernel.shape[-1])
    u = self.variable("spectral", "u", self._random_unit, matrix.shape[-1:])
    with jax.default_matmul_precision("highest"):  # few operations, and sigma without TF32
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


@dataclasses.dataclass(frozen=True)
class Devices:
  """The devices that share a batch, inside of `jax.pmap`."""

  axis: str  # the name of their axis
  group: int = 0  # how many neighbours normalise together; 0 for all

  @property
  def together(self) -> int:
    """The number of devices that normalise together."""
    return self.group or lax.axis_size(self.axis)

  def mean(self, x: Array) -> Array:
    """Returns the mean of x over the devices that normalise together."""
    together, count = self.together, lax.axis_size(self.axis)
    groups = [list(range(i, i + together)) for i in range(0, count, together)]
    return lax.pmean(x, self.axis, axis_index_groups=groups if together < count else None)


class BatchNorm(nn.Module):
  """Batch normalisation with the statistics that PyTorch keeps, over several devices.

  flax's own keeps the biased variance of a batch, while the release's running variance is unbiased
  (N / (N - 1)). Momentum is 0.9 (PyTorch's 0.1) and epsilon 1e-5; the scale is initialised from
  N(1, 0.02) and the shift with 0, as in the release. Computation is in float32 for any dtype.
  """

  devices: Devices | None = None  # the devices to average over in training; None for one

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """Normalises x [..., C] by its own statistics in training, otherwise by the running ones."""
    dtype, channels = x.dtype, x.shape[-1:]
    x = x.astype(jnp.float32)
    scale = self.param("scale", lambda key: 1 + RELEASE_INIT(key, channels))
    bias = self.param("bias", nn.initializers.zeros, channels)
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
    running_var = self.variable("batch_stats", "var", jnp.ones, channels)
    if train:
      axes, together = tuple(range(x.ndim - 1)), self.devices.together if self.devices else 1
      mean = x.mean(axes)
      var = jnp.square(x - mean).mean(axes)
      if self.devices and together > 1:  # in one sum, since all wait for each: `docs/scaling.md`
        mean, mean_of_squares = self.devices.mean(jnp.stack([mean, var + jnp.square(mean)]))
        var = mean_of_squares - jnp.square(mean)
      count = x.size // x.shape[-1] * together
      running_mean.value += 0.1 * (mean - running_mean.value)
      running_var.value += 0.1 * (var * count / max(count - 1, 1) - running_var.value)
    else:
      mean, var = running_mean.value, running_var.value
    return ((x - mean) * (scale * lax.rsqrt(var + 1e-5)) + bias).astype(dtype)


def rms_normalise(x: Array) -> Array:
  """Returns vectors [B, C] divided by their root mean squares."""
  return x * lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-8)
