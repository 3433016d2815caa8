"""A training step against the same networks, losses and order of updates in PyTorch.

.venv/bin/pip install -e '.[bench]'
python -m benchmarks.train_step --image_size=128 --batch_size=16
"""

import functools

import numpy as np

from benchmarks import flops, turns
from configs import base, release
from wav2pix_jax import schema

CONFIGS = {"release": release, "base": base}
IDENTITIES = 10
JAX, BASE = "JAX, configs/release.py", "JAX, configs/base.py"
EAGER, COMPILED = "PyTorch, eager", "PyTorch, torch.compile"
CONFIG_OF = {JAX: "release", EAGER: "release", COMPILED: "release", BASE: "base"}


def main() -> None:
  """The command."""
  parser = turns.parser(__doc__.partition("\n")[0])
  parser.add_argument("--image_size", type=int, default=128, choices=(64, 128))
  parser.add_argument("--batch_size", type=int, default=16)
  parser.add_argument("--steps", type=int, default=3, help="in each turn (default 3)")
  flags = parser.parse_args()
  size, batch_size, steps = flags.image_size, flags.batch_size, flags.steps
  sides = {
    JAX: functools.partial(_ours, "release", size, batch_size, steps),
    EAGER: functools.partial(_theirs, False, size, batch_size, steps),
    COMPILED: functools.partial(_theirs, True, size, batch_size, steps),
    BASE: functools.partial(_ours, "base", size, batch_size, steps),
  }
  seconds = turns.take(sides | turns.matrix_products(), flags.rounds)
  ceiling = turns.ceiling(seconds)
  cost = {
    side: flops.train_step(_config(which, size), IDENTITIES) for side, which in CONFIG_OF.items()
  }
  print(
    f"{turns.machine()}; {size} px, batch {batch_size}; matrix ceiling {ceiling / 1e9:.0f} GFLOP/s"
  )
  figures = {}
  for side in sides:
    faces = batch_size * steps / seconds[side]
    rate = float(np.median(faces))
    share = rate * cost[side] / ceiling
    figures[side] = {
      "faces_per_second": [round(x, 2) for x in (rate, faces.min(), faces.max())],
      "model_gflop_a_face": cost[side] / 1e9,
      "share_of_ceiling": round(share, 3),
    }
    print(
      f"{side:24} {rate:6.1f} faces/s ({faces.min():.1f} to {faces.max():.1f}), "
      f"{cost[side] / 1e9:.1f} GFLOP a face, {share:.0%} of the ceiling"
    )
  ratios = {side: turns.ratio(seconds, JAX, side) for side in (EAGER, COMPILED)}
  for side, (median, least, most) in ratios.items():
    print(f"{JAX} is {median:.2f} times as fast as {side} ({least:.2f} to {most:.2f})")
  turns.write(
    flags.json,
    {
      "image_size": size,
      "batch_size": batch_size,
      "ceiling_gflops": ceiling / 1e9,
      "sides": figures,
      "ratio": ratios[EAGER][0],
      "ratios": ratios,
    },
  )


def _config(which: str, image_size: int):
  config = CONFIGS[which].get_config()
  config.image_size = image_size
  return config


def batch(image_size: int, batch_size: int, window: int) -> dict[str, np.ndarray]:
  """A batch of noise, as `schema.py` says."""
  rng = np.random.default_rng(0)
  faces = (batch_size, image_size, image_size, 3)
  return {
    schema.SPEECH: rng.uniform(-1, 1, (batch_size, window)).astype(np.float32),
    schema.FACE: rng.uniform(-1, 1, faces).astype(np.float32),
    schema.MISMATCHED_FACE: rng.uniform(-1, 1, faces).astype(np.float32),
    schema.IDENTITY: rng.integers(0, IDENTITIES, batch_size).astype(np.int32),
  }


def _ours(which: str, image_size: int, batch_size: int, steps: int) -> turns.Work:
  """As `train.py` trains."""
  from wav2pix_jax.allocator import keep_freed_memory

  keep_freed_memory()
  import jax

  from wav2pix_jax import models, parallel
  from wav2pix_jax.state import build_optimizers, initialise
  from wav2pix_jax.steps import step_of

  config = _config(which, image_size)
  nets, optimizers = models.build(config, IDENTITIES, parallel.AXIS), build_optimizers(config)
  key = jax.random.key(0)
  state = parallel.replicate(initialise(nets, optimizers, key, config))
  step = parallel.pmapped(step_of(config, nets, optimizers, parallel.AXIS))
  fed = batch(image_size, batch_size, config.dataset.window_samples)

  def work():
    nonlocal state
    for _ in range(steps):
      state, metrics = step(state, parallel.shard(fed), key)
      jax.block_until_ready((state, metrics))

  return work


def _theirs(compiled: bool, image_size: int, batch_size: int, steps: int) -> turns.Work:
  from benchmarks.torch_peer import Trainer

  trainer = Trainer(image_size, compiled=compiled)
  tensors = trainer.tensors(batch(image_size, batch_size, 16_000))

  def work():
    for _ in range(steps):
      trainer.step(tensors)

  return work


if __name__ == "__main__":
  main()
