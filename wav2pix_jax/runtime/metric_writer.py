"""Where scalars, images and text of a run are written: TensorBoard, Weights & Biases."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import writing

Value = float | np.ndarray | str  # a scalar, an image uint8 [H, W, 3], or text


class MetricWriter(Protocol):
  """Writes values of a run; a new kind of writer is a class and an entry in `WRITERS`."""

  def write(self, step: int, values: Mapping[str, Value]) -> None:
    """Writes the values at a step, at once; raises UserError if they cannot be written."""

  def close(self) -> None:
    """Ends the writing."""


class TensorBoardWriter:
  """Writes an event file into `<workdir>/tensorboard`."""

  def __init__(self, workdir: Path, config: Any, start: int):
    """Opens a new event file; TensorBoard discards what was written at steps after `start`.

    Raises UserError if the folder cannot be written.
    """
    self._folder = workdir / "tensorboard"
    with writing(self._folder):
      self._folder.mkdir(parents=True, exist_ok=True)
      # Not tensorboardX's SummaryWriter, whose thread hangs when a disk is full.
      self._events = EventsWriter(str(self._folder / "events"), f".{os.getpid()}")
    started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._write(start + 1, session_log=started)

  def write(self, step: int, values: Mapping[str, Value]) -> None:
    """See `MetricWriter`."""
    for name, value in values.items():
      if isinstance(value, str):
        self._write(step, summary=summary.text(name, value))
      elif isinstance(value, np.ndarray):
        self._write(step, summary=summary.image(name, value, dataformats="HWC"))
      else:
        self._write(step, summary=summary.scalar(name, value))

  def close(self) -> None:
    """See `MetricWriter`."""
    with writing(self._folder):
      self._events.close()

  def _write(self, step: int, **what: Any) -> None:
    with writing(self._folder):
      self._events.write_event(event_pb2.Event(wall_time=time.time(), step=step, **what))
      self._events.flush()


class WandbWriter:
  """Writes to Weights & Biases (the extra `wandb`), as its environment variables say."""

  def __init__(self, workdir: Path, config: Any, start: int):
    """Starts a run with the name of the workdir, which holds Weights & Biases' own files.

    Raises UserError if Weights & Biases is not installed, or cannot start.
    """
    try:
      import wandb
    except ImportError as error:
      raise UserError("wandb is not installed; pip install -e '.[wandb]'.") from error
    self._wandb = wandb
    try:
      self._run = wandb.init(
        project="wav2pix_jax",
        name=workdir.name,
        dir=str(workdir),
        config=config.to_dict(),
        settings=wandb.Settings(console="off", silent=True),
      )
    except wandb.Error as error:
      raise UserError(f"Weights & Biases cannot start ({error}).") from error

  def write(self, step: int, values: Mapping[str, Value]) -> None:
    """See `MetricWriter`."""
    images = {name: x for name, x in values.items() if isinstance(x, np.ndarray)}
    self._run.log({**values, **{n: self._wandb.Image(x) for n, x in images.items()}}, step=step)

  def close(self) -> None:
    """See `MetricWriter`."""
    self._run.finish()


WRITERS: dict[str, Callable[[Path, Any, int], MetricWriter]] = {
  "tensorboard": TensorBoardWriter,
  "wandb": WandbWriter,
}


def check(config: Any) -> None:
  """Raises UserError if a config names a writer that does not exist."""
  for name in config.metric_writers:
    if name not in WRITERS:
      raise UserError(f"metric_writers has {name!r}; choose from {', '.join(WRITERS)}.")


def open_writers(workdir: Path, config: Any, start: int) -> list[MetricWriter]:
  """Returns the writers that `config.metric_writers` names, of a run that continues after `start`.

  Raises UserError if one of them cannot be opened.
  """
  return [WRITERS[name](workdir, config, start) for name in config.metric_writers]
