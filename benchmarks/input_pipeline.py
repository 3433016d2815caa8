"""Training fed by the real pipeline against the same training fed one batch again and again.

python -m benchmarks.input_pipeline --config=demo
"""

import functools
import itertools

import numpy as np

from benchmarks import turns
from configs import base, demo

CONFIGS = {"demo": demo, "base": base}
REAL, CONSTANT = "records, by Grain", "one batch, again and again"


def main() -> None:
  """The command."""
  parser = turns.parser(__doc__.partition("\n")[0])
  parser.add_argument("--config", default="demo", choices=CONFIGS)
  parser.add_argument("--data_dir", default="data", help="where prepared datasets are kept")
  parser.add_argument("--steps", type=int, default=40, help="in each turn (default 40)")
  flags = parser.parse_args()
  sides = {
    side: functools.partial(_train, flags.config, flags.data_dir, flags.steps, side == REAL)
    for side in (REAL, CONSTANT)
  }
  seconds = turns.take(sides, flags.rounds)
  config = CONFIGS[flags.config].get_config()
  print(f"{turns.machine()}; configs/{flags.config}.py")
  rates = {side: config.batch_size * flags.steps / seconds[side] for side in sides}
  for side, rate in rates.items():
    print(f"{side:28} {np.median(rate):6.1f} faces/s ({rate.min():.1f} to {rate.max():.1f})")
  median, least, most = turns.ratio(seconds, REAL, CONSTANT)
  print(f"the pipeline keeps {median:.1%} of the rate ({least:.1%} to {most:.1%})")
  figures = {side: float(np.median(rate)) for side, rate in rates.items()}
  turns.write(
    flags.json,
    {"config": flags.config, "faces_per_second": figures, "ratio": median, "range": [least, most]},
  )


def _train(name: str, data_dir: str, steps: int, real: bool) -> turns.Work:
  """As `train.py` does, but for what it logs."""
  from wav2pix_jax.allocator import keep_freed_memory

  keep_freed_memory()
  import jax

  from wav2pix_jax import data, models, parallel, schema
  from wav2pix_jax.state import build_optimizers, initialise
  from wav2pix_jax.steps import step_of

  config = CONFIGS[name].get_config()
  config.dataset.data_dir = data_dir
  builder = data.prepare(config.dataset)
  records = data.load(builder, schema.TRAIN, config.image_size)
  identities = len(data.identity_names(builder))
  nets, optimizers = models.build(config, identities, parallel.AXIS), build_optimizers(config)
  key = jax.random.key(config.seed)
  state = parallel.replicate(initialise(nets, optimizers, key, config))
  step = parallel.pmapped(step_of(config, nets, optimizers, parallel.AXIS))
  batches = data.train_batches(records, config, parallel.process_batch_size(config.batch_size))
  if not real:
    batches = itertools.repeat(next(batches))

  def work():
    nonlocal state
    before = None
    for batch in itertools.islice(batches, steps):
      state, metrics = step(state, parallel.shard(batch), key)
      jax.block_until_ready(before)  # one step ahead of the devices, as the log keeps it
      before = metrics
    jax.block_until_ready((state, metrics))

  return work


if __name__ == "__main__":
  main()
