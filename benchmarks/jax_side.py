"""The side of this project: its configs by name, and training as `train.py` does it."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from ml_collections import ConfigDict

from benchmarks import turns
from configs import base, demo, release
from wav2pix_jax import models
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_state import create_state

CONFIGS = {"base": base, "demo": demo, "release": release}
IDENTITIES = 10


def get_config(name: str, image_size: int | None = None) -> ConfigDict:
  """Returns the config `configs/<name>.py`, for another image size if there is one."""
  config = CONFIGS[name].get_config()
  config.image_size = image_size or config.image_size
  return config


def train(
  config: ConfigDict,
  identities: int,
  step: Callable[..., Any],
  batches: Iterator[Any],
  constants: Any,
  steps: int,
) -> turns.Work:
  """Prepares training without its logs, and returns the work of this many steps.

  `step` is as for `distributed.pmapped`, with batches on the devices and constants.
  """
  networks = models.build(config, identities, distributed.AXIS)
  state = distributed.replicate(create_state(config, networks, jax.random.key(config.seed)))
  step_on_devices = distributed.pmapped(step)

  def work() -> None:
    nonlocal state
    before = None
    for _ in range(steps):
      state, metrics = step_on_devices(state, next(batches), constants)
      jax.block_until_ready(before)  # one step ahead of the devices, as the log keeps it
      before = metrics
    jax.block_until_ready((state, metrics))

  return work
