"""Training with the real input pipelines, compared with training on one batch again and again.

python -m benchmarks.input_pipeline --config=demo
"""

import functools
import itertools

import jax

from benchmarks import jax_side, turns
from wav2pix_jax import data, train_step
from wav2pix_jax.common import schema
from wav2pix_jax.runtime import distributed
from wav2pix_jax.runtime.allocator import keep_freed_memory

GRAIN, ON_DEVICE = "gathered on the host", "gathered on the device"
CONSTANT = "one batch, again and again"


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__)
  parser.add_argument("--config", default="demo", choices=jax_side.CONFIGS)
  parser.add_argument("--data_dir", default="data", help="folder of prepared datasets")
  parser.add_argument("--steps", type=int, default=40, help="steps per turn (default 40)")
  flags = parser.parse_args()
  config = jax_side.get_config(flags.config)
  config.dataset.data_dir = flags.data_dir
  data.prepare(config.dataset)  # here, since the sides may not start processes
  sides = {
    side: functools.partial(_train, flags.config, flags.data_dir, flags.steps, side)
    for side in (GRAIN, ON_DEVICE, CONSTANT)
  }
  taken = turns.take(sides, flags.rounds)
  faces = config.batch_size * flags.steps
  rows = {side: {"faces_per_second": taken[side].rates(faces)} for side in sides}
  print(f"{turns.machine()}; configs/{flags.config}.py")
  turns.show(rows)
  ratios = turns.ratios(taken, [(GRAIN, CONSTANT), (ON_DEVICE, CONSTANT)])
  figures = {"ratio": turns.ratio(taken, GRAIN, CONSTANT)[0], "ratios": ratios}
  turns.write(flags.json, {"config": flags.config, "sides": rows} | figures)


def _train(name: str, data_dir: str, steps: int, side: str) -> turns.Work:
  keep_freed_memory()
  config = jax_side.get_config(name)
  config.dataset.data_dir = data_dir
  config.dataset.on_device = side == ON_DEVICE
  builder = data.prepare(config.dataset)
  feed = data.Feed(data.load(builder, schema.TRAIN, config.image_size), config)
  step = functools.partial(train_step.train_step, config=config, axis_name=distributed.AXIS)
  batches = feed.batches(distributed.process_batch_size(config.batch_size))
  if side == CONSTANT:
    batches = itertools.repeat(next(batches))
  return jax_side.train(
    config,
    identities=len(data.identity_names(builder)),
    step=feed.into(step),
    batches=map(distributed.shard, batches),
    constants=distributed.replicate((jax.random.key(config.seed), feed.resident)),
    steps=steps,
  )


if __name__ == "__main__":
  main()
