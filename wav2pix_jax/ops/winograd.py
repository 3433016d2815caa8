"""Strided convolutions by Winograd's minimal algorithm, for CPUs: 9 products where 16 were needed.

A 4x4 kernel at stride 2 is, on the view in which the stride has become channels, a 2x2 kernel at
stride 1. Along one axis, two neighbouring outputs of two taps g0, g1 take three products
(Winograd 1980; Lavin and Gray 2016, F(2, 2)) instead of four:

    y0 = x0 g0 + x1 g1 = (x0 - x1) g0 + x1 (g0 + g1)
    y1 = x1 g0 + x2 g1 =                x1 (g0 + g1) - (x1 - x2) g1

Applied to both axes that is 9 products for 16. All factors are 1 or -1, so rounding stays that of
the plain sum (measured: 1e-6 of the largest value). Channels make each product one of matrices.

The three linear maps are `_data`, `_kernel` and `_output`; a convolution is
`_output(_data(x) * _kernel(k))`. Its adjoint in x, a transposed convolution, and its adjoint in k,
a kernel's gradient, are the same products with the maps turned round. So all three have 9 products,
and each is the derivative of the others.
"""

import jax
import jax.numpy as jnp

from wav2pix_jax.ops.matmul import transposed_product

Array = jax.Array


@jax.custom_vjp
def conv_4x4_stride_2(x: Array, kernel: Array) -> Array:
  """Convolves [B, H, W, C] with [4, 4, C, D], padding 1: [B, H / 2, W / 2, D]; 4 divides H, W."""
  return _output([a @ b for a, b in zip(_data(x), _kernel(kernel), strict=True)], x.shape)


@jax.custom_vjp
def conv_transpose_4x4_stride_2(y: Array, kernel: Array) -> Array:
  """Transposed convolution of [B, H, W, D], [4, 4, C, D]: [B, 2 H, 2 W, C]; H, W even."""
  shape = (len(y), 2 * y.shape[1], 2 * y.shape[2], kernel.shape[2])
  products = zip(_output_adjoint(y), _kernel(kernel), strict=True)
  return _data_adjoint([a @ b.T for a, b in products], shape)


def _kernel_gradient(x: Array, y: Array) -> Array:
  """Returns the kernel's gradient at x [B, H, W, C] for the gradient y [B, H / 2, W / 2, D]."""
  products = zip(_data(x), _output_adjoint(y), strict=True)
  return _kernel_adjoint([transposed_product(a, b) for a, b in products], x.shape[-1])


conv_4x4_stride_2.defvjp(
  lambda x, kernel: (conv_4x4_stride_2(x, kernel), (x, kernel)),
  lambda saved, y: (conv_transpose_4x4_stride_2(y, saved[1]), _kernel_gradient(saved[0], y)),
)
conv_transpose_4x4_stride_2.defvjp(
  lambda y, kernel: (conv_transpose_4x4_stride_2(y, kernel), (y, kernel)),
  lambda saved, x: (conv_4x4_stride_2(x, saved[1]), _kernel_gradient(x, saved[0])),
)


def _data(x: Array) -> list[Array]:
  """[B, H, W, C] -> 9 of [B * H / 4 * W / 4, 4 C]."""
  batch, height, width, channels = x.shape
  h, w = height // 2 + 1, width // 2 + 1
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  x = x.reshape(batch, h, 2, w, 2, channels).transpose(0, 1, 3, 2, 4, 5)
  x = x.reshape(batch, h, w, 4 * channels)
  # x0, x1, x2 of all tiles: every other row, each third one shared with the next tile
  rows = _differences(x[:, :-1:2], x[:, 1::2], x[:, 2::2])
  tiles = [_differences(r[:, :, :-1:2], r[:, :, 1::2], r[:, :, 2::2]) for r in rows]
  return [tile.reshape(-1, 4 * channels) for row in tiles for tile in row]


def _data_adjoint(products: list[Array], shape: tuple[int, ...]) -> Array:
  """9 of [B * H / 4 * W / 4, 4 C] -> [B, H, W, C], the shape given."""
  batch, height, width, channels = shape
  tiles = [p.reshape(batch, height // 4, width // 4, 4 * channels) for p in products]
  rows = [_overlaid(tiles[i : i + 3], axis=2) for i in (0, 3, 6)]
  x = _overlaid(rows, axis=1)
  x = x.reshape(batch, height // 2 + 1, width // 2 + 1, 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(batch, height + 2, width + 2, channels)[:, 1:-1, 1:-1]


def _kernel(kernel: Array) -> list[Array]:
  """[4, 4, C, D] -> 9 of [4 C, D]."""
  *_, channels, out = kernel.shape
  taps = kernel.reshape(2, 2, 2, 2, channels, out)  # tap and phase of a row, of a column
  rows = taps[0], taps[0] + taps[1], taps[1]
  tiles = [(row[:, 0], row[:, 0] + row[:, 1], row[:, 1]) for row in rows]
  return [tile.reshape(4 * channels, out) for row in tiles for tile in row]


def _kernel_adjoint(products: list[Array], channels: int) -> Array:
  """9 of [4 C, D] -> [4, 4, C, D]."""
  tiles = [p.reshape(2, 2, channels, -1) for p in products]
  rows = [_taps(*tiles[i::3]) for i in range(3)]
  taps = jnp.stack([jnp.stack(_taps(*row), 1) for row in zip(*rows, strict=True)])
  return taps.reshape(4, 4, channels, -1)


def _taps(p0: Array, p1: Array, p2: Array) -> tuple[Array, Array]:
  return p0 + p1, p1 + p2


def _output(products: list[Array], shape: tuple[int, ...]) -> Array:
  """9 of [B * H / 4 * W / 4, D] -> [B, H / 2, W / 2, D]; [B, H, W, C] is given."""
  batch, height, width, _ = shape
  tiles = [p.reshape(batch, height // 4, width // 4, -1) for p in products]
  columns = [_outputs(*tiles[i::3]) for i in range(3)]
  rows = [jnp.stack(_outputs(*row), 3) for row in zip(*columns, strict=True)]
  return jnp.stack(rows, 2).reshape(batch, height // 2, width // 2, -1)


def _outputs(p0: Array, p1: Array, p2: Array) -> tuple[Array, Array]:
  return p0 + p1, p1 - p2


def _output_adjoint(y: Array) -> list[Array]:
  """[B, H / 2, W / 2, D] -> 9 of [B * H / 4 * W / 4, D]."""
  batch, height, width, channels = y.shape
  y = y.reshape(batch, height // 2, 2, width // 2, 2, channels)
  rows = y[:, :, 0], y[:, :, 0] + y[:, :, 1], -y[:, :, 1]
  tiles = [(row[..., 0, :], row[..., 0, :] + row[..., 1, :], -row[..., 1, :]) for row in rows]
  return [tile.reshape(-1, channels) for row in tiles for tile in row]


def _differences(x0: Array, x1: Array, x2: Array) -> tuple[Array, Array, Array]:
  return x0 - x1, x1, x1 - x2


def _overlaid(products: list[Array], axis: int) -> Array:
  """The adjoint of `_differences` and of the slices it gets: 3 of length t -> 2 t + 1."""
  p0, p1, p2 = products

  def padded(p, *ends):
    return jnp.pad(p, [ends if i == axis else (0, 0) for i in range(p.ndim)])

  even = padded(p0, 0, 1) - padded(p2, 1, 0)
  odd = padded(p1 + p2 - p0, 0, 1)
  x = jnp.stack([even, odd], axis + 1)
  x = x.reshape(*even.shape[:axis], -1, *even.shape[axis + 1 :])
  return jax.lax.slice_in_dim(x, 0, x.shape[axis] - 1, axis=axis)
