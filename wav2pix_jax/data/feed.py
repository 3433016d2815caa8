"""How batches reach the training step: plan, gather and augment put together."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from wav2pix_jax.data import gather, plan
from wav2pix_jax.data.augment import Batch, augment
from wav2pix_jax.data.records import Records


class Feed:
  """Training batches of a config.

  Attributes:
    resident: Arrays that `batch` needs on every device; empty where the host gathers.
  """

  def __init__(self, records: Records, config: Any):
    """Creates the feed of a config; raises UserError if the records do not fit on a device."""
    self._records, self._config = records, config
    self._window = config.dataset.window_samples
    self.resident: dict[str, np.ndarray] = {}
    if config.dataset.on_device:
      self.resident = gather.arrays(records, self._window)

  def batches(
    self, batch_size: int, process_index: int = 0, process_count: int = 1, start: int = 0
  ) -> Iterator[dict[str, np.ndarray]]:
    """Returns what the host feeds to `batch`, endlessly from `start` on; see `plan_batches`."""
    planned = plan.plan_batches(
      self._records, self._config, batch_size, process_index, process_count, start
    )
    if not self.resident:
      planned = planned.map(lambda batch: gather.gather(self._records, batch, self._window))
    return plan.iterate(planned)

  def into(self, step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `step(state, batch, key)` as a function of a state, `fed`, and (key, `resident`)."""

    def fed_step(state, fed, constants):
      key, resident = constants
      return step(state, self.batch(fed, resident), key)

    return fed_step

  def batch(self, fed: dict[str, jax.Array], resident: dict[str, jax.Array]) -> Batch:
    """Returns a batch as the networks take it; a pure function inside the step.

    `fed` is what `batches` yields, or a device's share of it, and `resident` is on the device.
    """
    raw = gather.gather_on_device(resident, fed, self._window) if resident else fed
    return augment(raw, self._config.dataset)
