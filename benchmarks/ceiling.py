"""The limits of a machine: large matrix products, and copies within its memory.

python -m benchmarks.ceiling
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from benchmarks import turns

FLOAT32, BFLOAT16 = "float32", "bfloat16"
PRODUCTS, COPIES = 8, 8  # per turn
COPIED = 2**30  # bytes on a GPU; a quarter of that on a CPU


@dataclasses.dataclass(frozen=True)
class Product:
  """A product of two square matrices."""

  framework: str  # "JAX" or "PyTorch"
  precision: str  # dtype of the matrices; on a GPU float32 is computed in TF32

  @property
  def name(self) -> str:
    """The name of the side that computes it."""
    return f"matrix product, {self.framework}, {self.precision}"

  @property
  def flop(self) -> int:
    """Operations per turn."""
    return PRODUCTS * 2 * _side() ** 3

  def start(self) -> turns.Work:
    """Prepares the product, and returns the work of a turn."""
    return (_jax_product if self.framework == "JAX" else _torch_product)(self.precision)


def products() -> list[Product]:
  """Returns the products in all precisions that are compared on this machine, by both libraries."""
  precisions = (FLOAT32, BFLOAT16) if turns.gpu() else (FLOAT32,)
  return [Product(library, p) for library in ("JAX", "PyTorch") for p in precisions]


def sides() -> dict[str, Callable[[], turns.Work]]:
  """Returns sides that compute the products: the ceiling of whatever consists of products."""
  return {product.name: product.start for product in products()}


def reached(taken: Mapping[str, turns.Taken]) -> dict[str, float]:
  """Returns the most operations per second of any turn of `sides`, by precision."""
  most: dict[str, float] = {}
  for product in products():
    if product.name in taken:
      rate = product.flop / taken[product.name].seconds.min()
      most[product.precision] = max(rate, most.get(product.precision, 0.0))
  return most


def in_words(ceilings: Mapping[str, float]) -> str:
  """Returns the ceilings as a phrase."""
  rates = (f"{rate / 1e12:.3g} TFLOP/s in {name}" for name, rate in ceilings.items())
  return f"matrix ceiling {', '.join(rates)}"


def main() -> None:
  """Runs the command line."""
  flags = turns.parser(__doc__).parse_args()
  copies = {"copy, JAX": _jax_copy, "copy, PyTorch": _torch_copy}
  taken = turns.take(sides() | copies, flags.rounds)
  rows = {p.name: {"tflops": taken[p.name].rates(p.flop / 1e12)} for p in products()}
  moved = COPIES * 2 * _copied()  # bytes, read and written
  rows |= {name: {"gbytes_per_second": taken[name].rates(moved / 1e9)} for name in copies}
  print(turns.machine())
  turns.show(rows)
  ratio = turns.ratio(taken, Product("JAX", FLOAT32).name, Product("PyTorch", FLOAT32).name)
  turns.write(flags.json, {"side": _side(), "sides": rows, "ratio": ratio[0]})


def _side() -> int:
  return 8192 if turns.gpu() else 3072


def _copied() -> int:
  return COPIED if turns.gpu() else COPIED // 4


def _jax_product(precision: str) -> turns.Work:
  x = jax.random.normal(jax.random.key(0), (_side(), _side()), jnp.dtype(precision))
  product = jax.jit(
    functools.partial(jnp.matmul, precision="tensorfloat32" if turns.gpu() else None)
  )

  def work() -> None:
    jax.block_until_ready([product(x, x) for _ in range(PRODUCTS)])

  return work


def _torch_product(precision: str) -> turns.Work:
  import torch

  torch.backends.cuda.matmul.allow_tf32 = True
  device = "cuda" if turns.gpu() else "cpu"
  x = torch.randn(_side(), _side(), device=device).to(getattr(torch, precision))

  def work() -> None:
    for _ in range(PRODUCTS):
      x @ x
    if turns.gpu():
      torch.cuda.synchronize()

  return work


def _jax_copy() -> turns.Work:
  x = jnp.zeros(_copied() // 4)
  add = jax.jit(lambda x: x + 1, donate_argnums=0)  # a copy that is not optimised away

  def work() -> None:
    nonlocal x
    for _ in range(COPIES):
      x = add(x)
    x.block_until_ready()

  return work


def _torch_copy() -> turns.Work:
  import torch

  x = torch.zeros(_copied() // 4, device="cuda" if turns.gpu() else "cpu")
  y = torch.empty_like(x)

  def work() -> None:
    for _ in range(COPIES):
      y.copy_(x)
    if turns.gpu():
      torch.cuda.synchronize()

  return work


if __name__ == "__main__":
  main()
