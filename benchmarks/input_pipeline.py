"""Training with the real input pipelines, compared with training on one batch again and again.

python -m benchmarks.input_pipeline --config=demo
"""

import functools
import itertools

import numpy as np

from benchmarks import turns
from configs import base, demo

CONFIGS = {"demo": demo, "base": base}
GRAIN, ON_DEVICE = "gathered on the host", "gathered on the device"
CONSTANT = "one batch, again and again"


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__.partition("\n")[0])
  parser.add_argument("--config", default="demo", choices=CONFIGS)
  parser.add_argument("--data_dir", default="data", help="folder of prepared datasets")
  parser.add_argument("--steps", type=int, default=40, help="steps per turn (default 40)")
  flags = parser.parse_args()
  sides = {
    side: functools.partial(_train, flags.config, flags.data_dir, flags.steps, side)
    for side in (GRAIN, ON_DEVICE, CONSTANT)
  }
  taken = turns.take(sides, flags.rounds)
  config = CONFIGS[flags.config].get_config()
  print(f"{turns.machine()}; configs/{flags.config}.py")
  rates = {side: config.batch_size * flags.steps / taken[side].seconds for side in sides}
  for side, rate in rates.items():
    print(f"{side:28} {np.median(rate):6.1f} faces/s ({rate.min():.1f} to {rate.max():.1f})")
  ratios = {side: turns.ratio(taken, side, CONSTANT) for side in (GRAIN, ON_DEVICE)}
  for side, (median, least, most) in ratios.items():
    print(f"{side} keeps {median:.1%} of the rate ({least:.1%} to {most:.1%})")
  figures = {side: float(np.median(rate)) for side, rate in rates.items()}
  turns.write(
    flags.json,
    {
      "config": flags.config,
      "faces_per_second": figures,
      "ratio": ratios[GRAIN][0],
      "ratios": ratios,
    },
  )


def _train(name: str, data_dir: str, steps: int, side: str) -> turns.Work:
  """Returns the work of training as `train.py` does, without its logs."""
  from wav2pix_jax.runtime.allocator import keep_freed_memory

  keep_freed_memory()
  import jax

  from wav2pix_jax import data, models
  from wav2pix_jax.common import schema
  from wav2pix_jax.runtime import distributed
  from wav2pix_jax.train_state import create_state
  from wav2pix_jax.train_step import train_step

  config = CONFIGS[name].get_config()
  config.dataset.data_dir = data_dir
  config.dataset.on_device = side == ON_DEVICE
  builder = data.prepare(config.dataset)
  records = data.load(builder, schema.TRAIN, config.image_size)
  networks = models.build(config, len(data.identity_names(builder)), distributed.AXIS)
  key = jax.random.key(config.seed)
  state = distributed.replicate(create_state(config, networks, key))
  feed = data.Feed(records, config)
  step = functools.partial(train_step, config=config, axis_name=distributed.AXIS)
  fed_step = distributed.pmapped(feed.into(step))
  constants = distributed.replicate((key, feed.resident))
  batches = feed.batches(distributed.process_batch_size(config.batch_size))
  if side == CONSTANT:
    batches = itertools.repeat(next(batches))

  def work():
    nonlocal state
    before = None
    for batch in itertools.islice(batches, steps):
      state, metrics = fed_step(state, distributed.shard(batch), constants)
      jax.block_until_ready(before)  # one step ahead of the devices, as the log keeps it
      before = metrics
    jax.block_until_ready((state, metrics))

  return work


if __name__ == "__main__":
  main()
