"""Speed of a training step, compared with the same networks, losses and updates in PyTorch.

.venv/bin/pip install -e '.[bench]'
python -m benchmarks.train_step --image_size=128 --batch_size=16

On a CPU all sides compute in float32; on a GPU in float32 as the release does, in TF32, and in
bfloat16. Batches are on the device.
"""

import dataclasses
import functools

import numpy as np

from benchmarks import ceiling, flops, turns
from configs import base, release
from wav2pix_jax.common import schema

RECIPES = {"release": release, "base": base}
IDENTITIES = 10
FLOAT32, TF32, BFLOAT16 = "float32", "TF32", "bfloat16"


@dataclasses.dataclass(frozen=True)
class Side:
  """One way to train.

  Attributes:
    name: The side's name.
    recipe: The config, `configs/<recipe>.py`.
    precision: The precision of convolutions and matrix products.
    torch: None for JAX; else how PyTorch runs, "eager" or "torch.compile".
  """

  name: str
  recipe: str = "release"
  precision: str = FLOAT32
  torch: str | None = None

  def start(self, image_size: int, batch_size: int, steps: int) -> turns.Work:
    """Prepares training, and returns the work of this many steps."""
    sized = image_size, batch_size, steps
    return _theirs(self, *sized) if self.torch else _ours(self, *sized)


JAX, BASE = Side("JAX, configs/release.py"), Side("JAX, configs/base.py", "base")
EAGER = Side("PyTorch, eager", torch="eager")
COMPILED = Side("PyTorch, torch.compile", torch="torch.compile")
# On a GPU. `EAGER` is compared there, too: it runs without TF32, as the release does.
JAX_TF32, JAX_BF16, BASE_BF16 = (
  Side("JAX, configs/release.py, TF32", precision=TF32),
  Side("JAX, configs/release.py, bfloat16", precision=BFLOAT16),
  Side("JAX, configs/base.py, bfloat16", "base", BFLOAT16),
)
EAGER_TF32, COMPILED_BF16 = (
  Side("PyTorch, eager, TF32", precision=TF32, torch="eager"),
  Side("PyTorch, torch.compile, bfloat16", precision=BFLOAT16, torch="torch.compile"),
)


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__.partition("\n")[0])
  parser.add_argument("--image_size", type=int, default=128, choices=(64, 128))
  parser.add_argument("--batch_size", type=int, default=16)
  parser.add_argument("--steps", type=int, default=3, help="steps per turn (default 3)")
  parser.add_argument(
    "--without", metavar="WORDS", action="append", help="leave out sides whose names contain WORDS"
  )
  flags = parser.parse_args()
  size, batch_size, steps = flags.image_size, flags.batch_size, flags.steps
  sides: tuple[Side, ...]
  if turns.gpu():
    sides = (JAX_BF16, JAX_TF32, BASE_BF16, EAGER, EAGER_TF32, COMPILED_BF16)
    compared = [(JAX_TF32, EAGER), (JAX_BF16, EAGER), (JAX_BF16, COMPILED_BF16)]
  else:
    sides = (JAX, EAGER, COMPILED, BASE)
    compared = [(JAX, EAGER), (JAX, COMPILED)]
  left_out = flags.without or []
  sides = tuple(side for side in sides if not any(words in side.name for words in left_out))
  starts = {side.name: functools.partial(side.start, size, batch_size, steps) for side in sides}
  taken = turns.take(starts | ceiling.sides(), flags.rounds)
  sides = tuple(side for side in sides if side.name in taken)  # on a GPU one may not fit
  compared = [pair for pair in compared if set(pair) <= set(sides)]
  ceilings = ceiling.reached(taken)
  print(f"{turns.machine()}; {size} px, batch {batch_size}; {ceiling.in_words(ceilings)}")
  figures = {}
  for side in sides:
    cost = flops.train_step(_config(side.recipe, size), IDENTITIES)
    faces = batch_size * steps / taken[side.name].seconds
    rate, peak = float(np.median(faces)), taken[side.name].peak_mib
    share = rate * cost / ceilings[BFLOAT16 if side.precision == BFLOAT16 else FLOAT32]
    figures[side.name] = {
      "faces_per_second": [round(x, 2) for x in (rate, faces.min(), faces.max())],
      "model_gflop_a_face": cost / 1e9,
      "share_of_ceiling": round(share, 3),
      "peak_mib": peak,
    }
    memory = f", {peak:,} MiB at most" if peak else ""
    print(
      f"{side.name:34} {rate:8.1f} faces/s ({faces.min():.1f} to {faces.max():.1f}), "
      f"{cost / 1e9:.1f} GFLOP per face, {share:.0%} of the ceiling{memory}"
    )
  ratios = {}
  for ours, theirs in compared:
    median, least, most = turns.ratio(taken, ours.name, theirs.name)
    ratios[f"{ours.name} / {theirs.name}"] = [median, least, most]
    print(f"{ours.name} is {median:.2f} times as fast as {theirs.name} ({least:.2f} to {most:.2f})")
  turns.write(
    flags.json,
    {
      "image_size": size,
      "batch_size": batch_size,
      "ceiling_gflops": {name: rate / 1e9 for name, rate in ceilings.items()},
      "sides": figures,
      "ratio": next(iter(ratios.values()))[0] if ratios else None,
      "ratios": ratios,
    },
  )


def _config(recipe: str, image_size: int):
  config = RECIPES[recipe].get_config()
  config.image_size = image_size
  return config


def batch(image_size: int, batch_size: int, window: int) -> dict[str, np.ndarray]:
  """Returns a batch of noise, as `schema.py` defines it."""
  rng = np.random.default_rng(0)
  faces = (batch_size, image_size, image_size, 3)
  return {
    schema.SPEECH: rng.uniform(-1, 1, (batch_size, window)).astype(np.float32),
    schema.FACE: rng.uniform(-1, 1, faces).astype(np.float32),
    schema.MISMATCHED_FACE: rng.uniform(-1, 1, faces).astype(np.float32),
    schema.IDENTITY: rng.integers(0, IDENTITIES, batch_size).astype(np.int32),
  }


def _ours(side: Side, image_size: int, batch_size: int, steps: int) -> turns.Work:
  """Returns the work of training as `train.py` does."""
  from wav2pix_jax.runtime.allocator import keep_freed_memory

  keep_freed_memory()
  import jax

  from wav2pix_jax import models
  from wav2pix_jax.runtime import distributed
  from wav2pix_jax.train_state import create_state
  from wav2pix_jax.train_step import train_step

  config = _config(side.recipe, image_size)
  config.precision = BFLOAT16 if side.precision == BFLOAT16 else FLOAT32
  networks = models.build(config, IDENTITIES, distributed.AXIS)
  key = jax.random.key(0)
  state = distributed.replicate(create_state(config, networks, key))
  step = distributed.pmapped(
    functools.partial(train_step, config=config, axis_name=distributed.AXIS)
  )
  fed = distributed.shard(batch(image_size, batch_size, config.dataset.window_samples))

  def work():
    nonlocal state
    before = None
    for _ in range(steps):
      state, metrics = step(state, fed, key)
      jax.block_until_ready(before)  # one step ahead of the device, as the log keeps it
      before = metrics
    jax.block_until_ready((state, metrics))

  return work


def _theirs(side: Side, image_size: int, batch_size: int, steps: int) -> turns.Work:
  import torch

  from benchmarks.torch_peer import Trainer

  torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = (
    side.precision != FLOAT32
  )
  torch.backends.cudnn.benchmark = side.torch == "torch.compile"
  trainer = Trainer(
    image_size,
    device="cuda" if torch.cuda.is_available() else "cpu",
    compiled=side.torch == "torch.compile",
    autocast=side.precision == BFLOAT16,
    channels_last=side.precision == BFLOAT16,
  )
  tensors = trainer.tensors(batch(image_size, batch_size, 16_000))

  def work():
    for _ in range(steps):
      trainer.step(tensors)
    if torch.cuda.is_available():
      torch.cuda.synchronize()

  return work


if __name__ == "__main__":
  main()
