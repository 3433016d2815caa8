"""The limits of a machine: large matrix products, and copies within its memory.

python -m benchmarks.ceiling
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

from benchmarks import turns

FLOAT32, BFLOAT16 = "float32", "bfloat16"
PRODUCTS, COPIES = 8, 8  # per turn
COPIED = 2**30  # bytes on a GPU; a quarter of that on a CPU


@dataclasses.dataclass(frozen=True)
class Product:
  """A product of two square matrices.

  Attributes:
    framework: "JAX" or "PyTorch".
    precision: The dtype of the matrices; on a GPU float32 is computed in TF32.
  """

  framework: str
  precision: str

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
  flags = turns.parser(__doc__.partition("\n")[0]).parse_args()
  copies = {"copy, JAX": _jax_copy, "copy, PyTorch": _torch_copy}
  taken = turns.take(sides() | copies, flags.rounds)
  print(turns.machine())
  figures = {}
  for product in products():
    rates = product.flop / taken[product.name].seconds / 1e12
    figures[product.name] = {"tflops": [float(rates.max()), float(rates.min())]}
    print(f"{product.name:36} {rates.max():8.3f} TFLOP/s at most, {rates.min():.3f} at least")
  for name in copies:
    rates = COPIES * 2 * _copied() / taken[name].seconds / 1e9
    figures[name] = {"gbytes_per_second": [float(rates.max()), float(rates.min())]}
    print(
      f"{name:36} {rates.max():8.1f} GB/s at most, {rates.min():.1f} at least, read and written"
    )
  ratio = turns.ratio(taken, Product("JAX", FLOAT32).name, Product("PyTorch", FLOAT32).name)
  turns.write(flags.json, {"side": _side(), "sides": figures, "ratio": ratio[0]})


def _side() -> int:
  return 8192 if turns.gpu() else 3072


def _copied() -> int:
  return COPIED if turns.gpu() else COPIED // 4


def _jax_product(precision: str) -> turns.Work:
  import jax
  import jax.numpy as jnp

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
  import jax
  import jax.numpy as jnp

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
