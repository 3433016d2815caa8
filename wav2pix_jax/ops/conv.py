"""Convolutions, each in the form that the platform it runs on computes fastest.

Parameters and results do not depend on the form, so checkpoints move freely between machines. On a
CPU, XLA is slow at the gradients of strided convolutions. There each is written as matrix products
on a view in which the stride has become channels: one product, or for wide layers those of
`winograd.py`. On other platforms XLA's own convolution is used. The choice is made when a program
is compiled for a platform, not when it is traced (`lax.platform_dependent`), so that a program
exported on one platform is right for all others. See `docs/performance.md`.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from wav2pix_jax.ops import matmul, winograd

Array = jax.Array


def conv_15_stride_4(x: Array, kernel: Array) -> Array:
  """1-D convolution with stride 4 and padding (6, 7).

  From speech [B, T, C] and a kernel [15, C, D] to [B, (T - 2) // 4 + 1, D].
  """
  return lax.platform_dependent(x, kernel, cpu=_conv_15_stride_4_cpu, default=_conv_15_stride_4)


def conv_same(x: Array, kernel: Array, stride: int) -> Array:
  """1-D convolution, with zeros around x so that every step of the stride has an output.

  From sequences [B, T, C] and a kernel [K, C, D] to [B, ceil(T / stride), D].
  """
  cpu = functools.partial(_conv_same_cpu, stride=stride)
  default = functools.partial(_conv_same, stride=stride)
  return lax.platform_dependent(x, kernel, cpu=cpu, default=default)


def conv_4x4_stride_2(x: Array, kernel: Array) -> Array:
  """2-D convolution with stride 2 and padding 1.

  From maps [B, H, W, C] and a kernel [4, 4, C, D] to [B, H / 2, W / 2, D].
  """
  return lax.platform_dependent(x, kernel, cpu=_conv_4x4_stride_2_cpu, default=_conv_4x4_stride_2)


def conv_transpose_4x4_stride_2(x: Array, kernel: Array) -> Array:
  """2-D transposed convolution with stride 2 and padding 1.

  From maps [B, H, W, C] and a kernel [4, 4, D, C] to [B, 2 H, 2 W, D].
  """
  return lax.platform_dependent(
    x, kernel, cpu=_conv_transpose_4x4_stride_2_cpu, default=_conv_transpose_4x4_stride_2
  )


def conv_transpose_4x4_from_point(x: Array, kernel: Array) -> Array:
  """Transposed convolution of a single pixel, without padding: one 4x4 stamp for each vector.

  From vectors [B, C] and a kernel [4, 4, D, C] to [B, 4, 4, D].
  """
  return jnp.einsum("bc,hwdc->bhwd", x, kernel)


def conv_4x4_to_point(x: Array, kernel: Array) -> Array:
  """Convolution of 4x4 maps to a single pixel, without padding.

  From maps [B, 4, 4, C] and a kernel [4, 4, C, D] to [B, 1, 1, D].
  """
  return jnp.einsum("bhwc,hwcd->bd", x, kernel)[:, None, None]


def product(x: Array, kernel: Array) -> Array:
  """Matrix product of vectors [B, C] and a kernel [C, D]: [B, D]."""
  return x @ kernel


def _conv_15_stride_4(x: Array, kernel: Array) -> Array:
  return lax.conv_general_dilated(
    x, kernel, (4,), [(6, 7)], dimension_numbers=("NWC", "WIO", "NWC")
  )


def _conv_same(x: Array, kernel: Array, stride: int) -> Array:
  return lax.conv_general_dilated(
    x, kernel, (stride,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
  )


def _conv_4x4_stride_2(x: Array, kernel: Array) -> Array:
  return lax.conv_general_dilated(
    x, kernel, (2, 2), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
  )


def _conv_transpose_4x4_stride_2(x: Array, kernel: Array) -> Array:
  return lax.conv_transpose(
    x,
    kernel,
    (2, 2),
    [(2, 2), (2, 2)],
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    transpose_kernel=True,
  )


def _conv_15_stride_4_cpu(x: Array, kernel: Array) -> Array:
  batch, length, channels = x.shape
  out_length = (length - 2) // 4 + 1
  # A kernel of 16 with one zero tap spans four steps of the view [B, T / 4, 4 C].
  taps = jnp.pad(kernel, ((0, 1), (0, 0), (0, 0))).reshape(16 * channels, -1)
  x = jnp.pad(x, ((0, 0), (6, 4 * (out_length + 3) - 6 - length), (0, 0)))
  x = x.reshape(batch, out_length + 3, 4 * channels)
  patches = jnp.concatenate([x[:, i : i + out_length] for i in range(4)], -1)
  return matmul.product(patches.reshape(-1, 16 * channels), taps).reshape(batch, out_length, -1)


def _conv_same_cpu(x: Array, kernel: Array, stride: int) -> Array:
  (batch, length, channels), taps = x.shape, len(kernel)
  ((before, after),) = lax.padtype_to_pads((length,), (taps,), (stride,), "SAME")
  x = jnp.pad(x, ((0, 0), (before, after), (0, 0)))
  ends = range(x.shape[1] - taps + 1, x.shape[1] + 1)
  patches = jnp.concatenate([x[:, i:end:stride] for i, end in enumerate(ends)], -1)
  out = matmul.product(patches.reshape(-1, taps * channels), kernel.reshape(taps * channels, -1))
  return out.reshape(batch, -(-length // stride), -1)


def _conv_4x4_stride_2_cpu(x: Array, kernel: Array) -> Array:
  batch, height, width, channels = x.shape
  h, w = height // 2, width // 2
  if _wide(batch, h, w, kernel):
    return winograd.conv_4x4_stride_2(x, kernel)
  # A 4x4 window at stride 2 is a 2x2 window on the space-to-depth view [B, h + 1, w + 1, 4 C].
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  x = x.reshape(batch, h + 1, 2, w + 1, 2, channels).transpose(0, 1, 3, 2, 4, 5)
  x = x.reshape(batch, h + 1, w + 1, 4 * channels)
  patches = jnp.concatenate([x[:, :-1, :-1], x[:, :-1, 1:], x[:, 1:, :-1], x[:, 1:, 1:]], -1)
  taps = kernel.reshape(2, 2, 2, 2, channels, -1).transpose(0, 2, 1, 3, 4, 5)
  taps = taps.reshape(16 * channels, -1)
  return matmul.product(patches.reshape(-1, 16 * channels), taps).reshape(batch, h, w, -1)


def _conv_transpose_4x4_stride_2_cpu(x: Array, kernel: Array) -> Array:
  batch, h, w, channels = x.shape
  if _wide(batch, h, w, kernel):
    return winograd.conv_transpose_4x4_stride_2(x, kernel)
  out = kernel.shape[2]
  # One product makes the 4x4 stamp of each pixel; the stamps are then laid over each other as
  # four quarters, each shifted by two output pixels.
  stamps = x.reshape(-1, channels) @ kernel.reshape(16 * out, channels).T
  stamps = stamps.reshape(batch, h, w, 2, 2, 2, 2, out).transpose(0, 1, 2, 3, 5, 4, 6, 7)
  stamps = stamps.reshape(batch, h, w, 2, 2, 4 * out)
  y = sum(
    jnp.pad(stamps[:, :, :, i, j], ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0)))
    for i in (0, 1)
    for j in (0, 1)
  )
  y = jnp.asarray(y).reshape(batch, h + 1, w + 1, 2, 2, out).transpose(0, 1, 3, 2, 4, 5)
  return y.reshape(batch, 2 * h + 2, 2 * w + 2, out)[:, 1:-1, 1:-1]


def _wide(batch: int, h: int, w: int, kernel: Array) -> bool:
  """Whether fewer products pay for the sums around them; [batch, h, w] are the smaller maps."""
  return batch * h * w >= 256 and min(kernel.shape[2:]) >= 16 and not (h % 2 or w % 2)
