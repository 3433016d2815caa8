"""Matrix products in the form that XLA computes fastest on a CPU."""

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

Array = jax.Array


@jax.custom_vjp
def product(x: Array, kernel: Array) -> Array:
  """Returns `x @ kernel` of [M, K] and [K, N]; its gradient uses `transposed_product`."""
  return x @ kernel


product.defvjp(
  lambda x, kernel: (x @ kernel, (x, kernel)),
  lambda saved, y: (y @ saved[1].T, transposed_product(saved[0], y)),
)


def transposed_product(a: Array, b: Array) -> Array:
  """Returns `a.T @ b` of [M, K] and [M, N]: [K, N].

  XLA's fast products need the left operand in memory in the order of multiplication, and its
  optimiser folds a transposed copy into the product again, which then takes 1.0 to 2.3 times as
  long (measured on shapes of these networks). So the copy is made behind a barrier: of `a`, or if
  that moves fewer bytes, of `b` and the result. With K below 64 a copy does not pay.
  """
  (m, k), n = a.shape, b.shape[1]
  if k < 64:
    return a.T @ b
  if m * k <= m * n + n * k:
    return _transposed(a) @ b
  return _transposed(_transposed(b) @ a)


def _transposed(x: Array) -> Array:
  """Copies in a fusion of its own; another operation in it would be as slow as strided reads."""
  with set_xla_metadata(inlineable="false"):
    return _transpose(x)


@jax.jit
def _transpose(x: Array) -> Array:
  return lax.optimization_barrier(x.T)
