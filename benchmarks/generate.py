"""Speed of sampling, from speech to uint8, compared with the same networks in PyTorch.

.venv/bin/pip install -e '.[bench]'
python -m benchmarks.generate --image_size=128

On a CPU PyTorch runs both with malloc as it is and with the settings that our commands make.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

from benchmarks import ceiling, flops, jax_side, turns
from benchmarks.jax_side import IDENTITIES
from wav2pix_jax import models
from wav2pix_jax.runtime.allocator import keep_freed_memory
from wav2pix_jax.sampler import Sampler, sampling_keys
from wav2pix_jax.train_state import create_state

BATCHES = {1: 20, 64: 2}  # faces at once, and how often per turn
JAX, EAGER, COMPILED = "JAX", "PyTorch, eager", "PyTorch, torch.compile"
KEPT = "with our malloc settings"


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__)
  parser.add_argument("--image_size", type=int, default=128, choices=(64, 128))
  flags = parser.parse_args()
  size = flags.image_size
  starts: dict[str, Callable[[int, int], turns.Work]] = {
    JAX: _ours,
    EAGER: functools.partial(_theirs, False, False),
    COMPILED: functools.partial(_theirs, True, False),
    f"{EAGER}, {KEPT}": functools.partial(_theirs, False, True),
    f"{COMPILED}, {KEPT}": functools.partial(_theirs, True, True),
  }
  names = {(side, count): f"{side}, batch {count}" for count in BATCHES for side in starts}
  sides = {
    name: functools.partial(starts[side], size, count) for (side, count), name in names.items()
  }
  taken = turns.take(sides | ceiling.sides(), flags.rounds)
  ceilings = ceiling.reached(taken)
  cost = flops.forward(jax_side.get_config("release", size), IDENTITIES).generator
  print(
    f"{turns.machine()}; {size} px, {cost / 1e9:.2f} GFLOP per face; {ceiling.in_words(ceilings)}"
  )
  rows = {}
  for (_, count), name in names.items():
    each = taken[name].median / BATCHES[count]
    rows[name] = {
      "milliseconds": round(1e3 * each, 2),
      "faces_per_second": round(count / each, 2),
      "share_of_ceiling": round(count * cost / each / ceilings[ceiling.FLOAT32], 3),
    }
  turns.show(rows)
  ratios = turns.ratios(
    taken, [(names[JAX, count], name) for (side, count), name in names.items() if side != JAX]
  )
  turns.write(
    flags.json,
    {
      "image_size": size,
      "ceiling_gflops": {name: rate / 1e9 for name, rate in ceilings.items()},
      "sides": rows,
      "ratio": ratios[f"{names[JAX, 64]} / {names[EAGER, 64]}"][0],
      "ratios": ratios,
    },
  )


def _speech(count: int) -> np.ndarray:
  return np.random.default_rng(0).uniform(-1, 1, (count, 16_000)).astype(np.float32)


def _ours(image_size: int, count: int) -> turns.Work:
  """Returns the work of sampling as `--mode=sample` does."""
  keep_freed_memory()
  config = jax_side.get_config("release", image_size)
  networks = models.build(config, IDENTITIES)
  state = create_state(config, networks, jax.random.key(0))
  sampler = Sampler(config, [], networks.generator, state.sampling_variables)
  keys = sampling_keys(0, "", np.arange(count), 0)

  def work() -> None:
    for _ in range(BATCHES[count]):
      sampler.sample(_speech(count), keys)

  return work


def _theirs(compiled: bool, memory_kept: bool, image_size: int, count: int) -> turns.Work:
  if memory_kept:
    keep_freed_memory()
  import torch

  from benchmarks.torch_peer import Trainer

  device = "cuda" if torch.cuda.is_available() else "cpu"
  torch.backends.cuda.matmul.allow_tf32 = True
  trainer = Trainer(image_size, device=device, compiled=compiled)

  def work() -> None:
    for _ in range(BATCHES[count]):
      faces = trainer.draw(torch.from_numpy(_speech(count)).to(device))
      faces = faces.mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8)
      faces.permute(0, 2, 3, 1).cpu().numpy()

  return work


if __name__ == "__main__":
  main()
