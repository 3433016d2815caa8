"""Matrix products in the form that XLA runs fastest on a CPU."""

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

Array = jax.Array


@jax.custom_vjp
def product(x: Array, kernel: Array) -> Array:
  """`x @ kernel` of [M, K] and [K, N], whose gradient of the kernel is `transposed_product`."""
  return x @ kernel


product.defvjp(
  lambda x, kernel: (x @ kernel, (x, kernel)),
  lambda saved, y: (y @ saved[1].T, transposed_product(saved[0], y)),
)


def transposed_product(a: Array, b: Array) -> Array:
  """`a.T @ b` of [M, K] and [M, N]: [K, N].

  XLA's fast products want the left side to lie in memory as it is multiplied, and its optimiser
  folds a transposed copy into the product again, which then takes 1.0 to 2.3 times as long
  (measured on shapes of these networks). So the copy is made behind a barrier: of a, or where that
  moves less, of b and of the result. With K below 64 it does not pay.
  """
  (m, k), n = a.shape, b.shape[1]
  if k < 64:
    return a.T @ b
  if m * k <= m * n + n * k:
    return _transposed(a) @ b
  return _transposed(_transposed(b) @ a)


def _transposed(x: Array) -> Array:
  """A copy on its own: what it were fused with would run at the pace of strided reads."""
  with set_xla_metadata(inlineable="false"):
    return _transpose(x)


@jax.jit
def _transpose(x: Array) -> Array:
  return lax.optimization_barrier(x.T)
