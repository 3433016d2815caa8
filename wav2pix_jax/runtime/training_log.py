"""What a person sees of a run while it trains: progress, lines of losses, writers and grids."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import metrics as clu_metrics
from ml_collections import ConfigDict

from wav2pix_jax.common import images
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.runtime import distributed, history, metric_writer
from wav2pix_jax.runtime.progress import Progress

SHOWN = ("d_loss/total", "g_loss/total", "g_loss/l1", "classifier_accuracy")


class TrainingLog:
  """Collects the metrics of steps and writes their means; only the first process writes.

  As a context manager it shows the progress while it is open.
  """

  def __init__(self, workdir: Path, start: int, config: ConfigDict):
    """Opens the writers, or raises UserError, and shows the progress from `start` on."""
    self._first = distributed.is_first()
    self._batch_size, self._samples = config.batch_size, workdir / "samples"
    rates = {"generator": config.optimizer.lr_g, "discriminator": config.optimizer.lr_d}
    self._rates = {f"learning_rate/{network}": rate for network, rate in rates.items()}
    self._unwritten: list[dict[str, Any]] = []
    self._waited, self._written_at = 0.0, time.perf_counter()
    self._writers = metric_writer.open_writers(workdir, config, start) if self._first else []
    self._write(start, {"devices": ", ".join(history.devices())})
    self._progress = Progress("Training", start, config.num_steps, self._batch_size, self._first)

  def __enter__(self) -> "TrainingLog":
    return self

  def __exit__(self, *error: Any) -> None:
    self._progress.close()
    for writer in self._writers:
      writer.close()

  def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
    """Yields the same batches; the time that training waits for them becomes a metric."""
    while True:
      before = time.perf_counter()
      batch = next(batches)
      self._waited = time.perf_counter() - before
      yield batch

  def add(self, metrics: Mapping[str, jax.Array]) -> None:
    """Adds a step's metrics, which the devices may still be computing."""
    if self._unwritten:  # wait for the step before, so that the progress is not ahead of devices
      jax.block_until_ready(self._unwritten[-1])
    self._unwritten.append({**metrics, "seconds_waiting_for_data": self._waited})
    self._progress.step()

  def write(self, step: int) -> None:
    """Writes means over the steps since the last call, faces per second, and learning rates.

    Raises:
      UserError: A step had NaN or Inf, or a writer cannot write.
    """
    unwritten = jax.device_get(self._unwritten)
    self._unwritten.clear()
    means = {}
    for name in unwritten[0]:
      average = clu_metrics.Average.from_model_output(np.array([one[name] for one in unwritten]))
      means[name] = float(average.compute())
    if means.pop("finite") < 1:
      found = [name for name, value in means.items() if not np.isfinite(value)]
      raise UserError(
        f"training stopped by step {step}: NaN or Inf in {', '.join(found) or 'statistics'}; the "
        "last good checkpoint is kept. Check the data, or try a lower optimizer.lr_g and lr_d in a "
        "new --workdir."
      )
    now = time.perf_counter()
    rate = {"faces_per_second": self._batch_size * len(unwritten) / (now - self._written_at)}
    self._written_at = now
    self._write(step, means | rate | self._rates)
    self._print(step, {name: means[name] for name in SHOWN if name in means})

  def write_snapshot(
    self,
    step: int,
    name: str,
    figures: Mapping[str, float],
    grid: np.ndarray,
    warnings: Sequence[str],
  ) -> None:
    """Writes a snapshot's figures and its grid, uint8 [H, W, 3], and prints warnings.

    The grid is written as `step_<step>_<name>.png`, too.

    Raises:
      UserError: It cannot be written.
    """
    self._write(step, {**figures, f"{name}/grid": grid})
    if self._first:
      images.save_png(self._samples / f"step_{step:06d}_{name}.png", grid)
    self._print(step, figures)
    for warning in warnings:
      self._progress.write(f"WARNING step {step}: {warning}")

  def _write(self, step: int, values: Mapping[str, metric_writer.Value]) -> None:
    for writer in self._writers:
      writer.write(step, values)

  def _print(self, step: int, values: Mapping[str, float]) -> None:
    text = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
    self._progress.write(f"step {step}: {text}")
