"""Speed of a training step, compared with the same networks, losses and updates in PyTorch.

.venv/bin/pip install -e '.[bench]'
python -m benchmarks.train_step --image_size=128 --batch_size=16

On a CPU all sides compute in float32, and PyTorch both with malloc as it is and with the settings
that our training makes; on a GPU in float32 as the release does, in TF32, and in bfloat16. Batches
are on the device.
"""

import dataclasses
import functools
import itertools

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import ceiling, flops, jax_side, turns
from benchmarks.jax_side import IDENTITIES
from wav2pix_jax import train_step
from wav2pix_jax.common import schema
from wav2pix_jax.data.plan import further_faces
from wav2pix_jax.runtime import distributed
from wav2pix_jax.runtime.allocator import keep_freed_memory

FLOAT32, TF32, BFLOAT16 = "float32", "TF32", "bfloat16"


@dataclasses.dataclass(frozen=True)
class Side:
  """One way to train."""

  name: str
  config: str = "release"  # the config, `configs/<config>.py`
  precision: str = FLOAT32  # of convolutions and matrix products
  torch: str | None = None  # None for JAX; else how PyTorch runs, "eager" or "torch.compile"
  moments: bool = True  # whether the terms stay that make faces follow what is said
  memory_kept: bool = True  # whether freed memory stays with the process, as in our training

  def settings(self, image_size: int) -> ConfigDict:
    """Returns the side's config."""
    config = jax_side.get_config(self.config, image_size)
    if not self.moments:
      config.loss.matching = config.loss.mismatched_moment = 0.0
    return config

  def start(self, image_size: int, batch_size: int, steps: int) -> turns.Work:
    """Prepares training, and returns the work of this many steps."""
    sized = image_size, batch_size, steps
    return _theirs(self, *sized) if self.torch else _ours(self, *sized)


JAX, DEMO = Side("JAX, configs/release.py"), Side("JAX, configs/demo.py", "demo")
PLAIN = Side("JAX, configs/demo.py without matching", "demo", moments=False)
EAGER = Side("PyTorch, eager", torch="eager", memory_kept=False)
COMPILED = Side("PyTorch, torch.compile", torch="torch.compile", memory_kept=False)
EAGER_KEPT = Side("PyTorch, eager, with our malloc settings", torch="eager")
COMPILED_KEPT = Side("PyTorch, torch.compile, with our malloc settings", torch="torch.compile")
# On a GPU. `EAGER` is compared there, too: it runs without TF32, as the release does.
JAX_TF32 = Side("JAX, configs/release.py, TF32", precision=TF32)
JAX_BF16 = Side("JAX, configs/release.py, bfloat16", precision=BFLOAT16)
BASE_BF16 = Side("JAX, configs/base.py, bfloat16", "base", BFLOAT16)
EAGER_TF32 = Side("PyTorch, eager, TF32", precision=TF32, torch="eager")
COMPILED_BF16 = Side("PyTorch, torch.compile, bfloat16", "release", BFLOAT16, "torch.compile")


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__)
  parser.add_argument("--image_size", type=int, default=128, choices=(64, 128))
  parser.add_argument("--batch_size", type=int, default=16)
  parser.add_argument("--steps", type=int, default=3, help="steps per turn (default 3)")
  parser.add_argument(
    "--without", metavar="WORDS", action="append", help="leave out sides whose names contain WORDS"
  )
  flags = parser.parse_args()
  size, batch_size = flags.image_size, flags.batch_size
  if turns.gpu():
    sides = [JAX_BF16, EAGER, COMPILED_BF16, JAX_TF32, EAGER_TF32, BASE_BF16]
    compared = [(JAX_BF16, EAGER), (JAX_BF16, COMPILED_BF16)]
    compared += [(JAX_TF32, EAGER), (JAX_TF32, EAGER_TF32)]
  else:
    sides = [JAX, EAGER, COMPILED, EAGER_KEPT, COMPILED_KEPT, DEMO, PLAIN]
    compared = [(JAX, side) for side in sides if side.torch] + [(DEMO, PLAIN)]
  starts = {
    side.name: functools.partial(side.start, size, batch_size, flags.steps)
    for side in sides
    if not any(words in side.name for words in flags.without or ())
  }
  taken = turns.take(starts | ceiling.sides(), flags.rounds)
  ceilings = ceiling.reached(taken)
  print(f"{turns.machine()}; {size} px, batch {batch_size}; {ceiling.in_words(ceilings)}")
  rows = {}
  for side in sides:
    if side.name in taken:  # on a GPU one may not fit
      cost = flops.train_step(side.settings(size), IDENTITIES)
      rates = taken[side.name].rates(batch_size * flags.steps)
      limit = ceilings[BFLOAT16 if side.precision == BFLOAT16 else FLOAT32]
      rows[side.name] = {
        "faces_per_second": rates,
        "model_gflop_a_face": cost / 1e9,
        "share_of_ceiling": round(rates[0] * cost / limit, 3),
        "peak_mib": taken[side.name].peak_mib,
      }
  turns.show(rows)
  ratios = turns.ratios(taken, [(ours.name, theirs.name) for ours, theirs in compared])
  turns.write(
    flags.json,
    {
      "image_size": size,
      "batch_size": batch_size,
      "ceiling_gflops": {name: rate / 1e9 for name, rate in ceilings.items()},
      "sides": rows,
      "ratio": next(iter(ratios.values()))[0] if ratios else None,
      "ratios": ratios,
    },
  )


def batch(config: ConfigDict, size: int) -> dict[str, np.ndarray]:
  """Returns a batch of noise of a size, as `schema.py` defines it."""
  rng, pixels = np.random.default_rng(0), (config.image_size, config.image_size, 3)
  further = further_faces(config.loss)

  def faces(*shape: int) -> np.ndarray:
    return rng.uniform(-1, 1, (*shape, *pixels)).astype(np.float32)

  made = {
    schema.SPEECH: rng.uniform(-1, 1, (size, config.dataset.window_samples)).astype(np.float32),
    schema.FACE: faces(size),
    schema.MISMATCHED_FACE: faces(size),
    schema.IDENTITY: rng.integers(0, IDENTITIES, size).astype(np.int32),
  }
  if further:
    made[schema.FURTHER_FACES] = faces(size, further)
    records = np.arange(size * (1 + further), dtype=np.int32)
    made[schema.RECORDS] = records.reshape(size, -1)
  return made


def _ours(side: Side, image_size: int, batch_size: int, steps: int) -> turns.Work:
  keep_freed_memory()
  config = side.settings(image_size)
  config.precision = BFLOAT16 if side.precision == BFLOAT16 else FLOAT32
  step = functools.partial(train_step.train_step, config=config, axis_name=distributed.AXIS)
  sharded = distributed.shard(batch(config, batch_size))
  batches = itertools.repeat(sharded)
  return jax_side.train(config, IDENTITIES, step, batches, jax.random.key(0), steps)


def _theirs(side: Side, image_size: int, batch_size: int, steps: int) -> turns.Work:
  if side.memory_kept:
    keep_freed_memory()
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
    # With torch.compile, channels_last fails in PyTorch 2.11, in the backward pass of the first
    # transposed convolution.
    channels_last=side.precision == BFLOAT16 and side.torch != "torch.compile",
  )
  tensors = trainer.tensors(batch(side.settings(image_size), batch_size))

  def work() -> None:
    for _ in range(steps):
      trainer.step(tensors)
    if torch.cuda.is_available():
      torch.cuda.synchronize()

  return work


if __name__ == "__main__":
  main()
