"""What a person watches while a run trains: bar, lines, TensorBoard, and grids of faces."""

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm
from clu import metrics as clu_metrics
from ml_collections import ConfigDict
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from wav2pix_jax import data, sampler
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import writing
from wav2pix_jax.metrics import metrics
from wav2pix_jax.metrics.identity_classifier import Identify
from wav2pix_jax.models import Networks
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_state import GanState

GRID_COLUMNS, GRID_BANDS = 8, 2
DRAWS = 2  # of each chunk in a look


class Log:
  """A progress bar, a line every so many steps, and TensorBoard; silent but in the first process.

  Values are written at once; where they cannot be, a UserError says so. As a context manager it
  shows the bar while open.

  Args:
    workdir: for `tensorboard/` and `samples/`.
    start: steps done before; what was written of later ones is taken back.
    config: of the run.
  """

  def __init__(self, workdir: Path, start: int, config: ConfigDict):
    self._batch_size = config.batch_size
    self._rates = {"generator": config.optimizer.lr_g, "discriminator": config.optimizer.lr_d}
    self._unwritten: list[dict[str, Any]] = []
    self._waited = 0.0
    self._folder, self._samples = workdir / "tensorboard", workdir / "samples"
    self._board = None
    if distributed.is_first():
      with writing(self._folder):
        self._folder.mkdir(parents=True, exist_ok=True)
        self._board = EventsWriter(str(self._folder / "events"), f".{os.getpid()}")
      self._put(start + 1, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
    self._bar = tqdm.tqdm(
      desc="Training",
      total=config.num_steps * config.batch_size,
      initial=start * config.batch_size,
      unit=" faces",
      mininterval=1 if sys.stderr.isatty() else 60,
      disable=not distributed.is_first(),
    )

  def __enter__(self) -> "Log":
    return self

  def __exit__(self, *error: Any) -> None:
    self._bar.close()
    if self._board:
      with writing(self._folder):
        self._board.close()

  def timed(self, batches: Iterator[data.Example]) -> Iterator[data.Example]:
    """The same batches; the time that training waits for them is written with the next metrics."""
    while True:
      before = time.perf_counter()
      batch = next(batches)
      self._waited = time.perf_counter() - before
      yield batch

  def add(self, metrics: dict[str, jax.Array]) -> None:
    """Takes in a step's metrics, which the devices may still be computing."""
    if self._unwritten:  # wait for the step before, lest the bar run ahead of the devices
      jax.block_until_ready(self._unwritten[-1])
    self._unwritten.append({**metrics, "seconds_waiting_for_data": self._waited})
    self._bar.update(self._batch_size)

  def write(self, step: int) -> None:
    """Writes the means over the steps since the last call, and the learning rates.

    Raises:
      UserError: one of these steps was not finite.
    """
    unwritten = jax.device_get(self._unwritten)
    self._unwritten.clear()
    means = {}
    for name in unwritten[0]:
      average = clu_metrics.Average.from_model_output(np.array([one[name] for one in unwritten]))
      means[name] = float(average.compute())
    if means.pop("finite") < 1:
      unsound = [name for name, value in means.items() if not np.isfinite(value)]
      raise UserError(
        f"training stopped by step {step}, not finite: {', '.join(unsound) or 'statistics'}; "
        "the last good checkpoint is kept. Look at the data, or try a lower optimizer.lr_g and "
        "lr_d in a new --workdir."
      )
    rates = {f"learning_rate/{player}": rate for player, rate in self._rates.items()}
    self._scalars(step, means | rates)
    shown = ("d_loss/total", "g_loss/total", "g_loss/l1", "classifier_accuracy")
    self._say(step, {name: means[name] for name in shown})

  def write_look(self, step: int, name: str, seen: "Seen", warn: bool) -> None:
    """Writes what a look saw, its grid also as `step_<step>_<name>.png`; warns where asked to."""
    self._scalars(step, seen.figures)
    self._put(step, summary=summary.image(f"{name}/grid", seen.grid, dataformats="HWC"))
    if distributed.is_first():
      images.save_png(self._samples / f"step_{step:06d}_{name}.png", seen.grid)
    self._say(step, seen.figures)
    for warning in seen.warnings if warn and distributed.is_first() else ():
      self._bar.write(f"WARNING step {step}: {warning}", file=sys.stdout)

  def _scalars(self, step: int, values: dict[str, float]) -> None:
    for name, value in values.items():
      self._put(step, summary=summary.scalar(name, value))

  def _put(self, step: int, **what: Any) -> None:
    """Not through tensorboardX's SummaryWriter, whose thread hangs where a disk is full."""
    if self._board:
      with writing(self._folder):
        self._board.write_event(event_pb2.Event(wall_time=time.time(), step=step, **what))
        self._board.flush()

  def _say(self, step: int, values: dict[str, float]) -> None:
    if distributed.is_first():
      text = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
      self._bar.write(f"step {step}: {text}", file=sys.stdout)


@dataclasses.dataclass(frozen=True)
class Seen:
  """What a look saw.

  Attributes:
    figures: by name, `<look>/<figure>`.
    grid: uint8 [H, W, 3], bands of real faces, those drawn as sampling draws them and, where these
      come from averaged weights, those drawn with the last ones.
    warnings: what has gone wrong, in words.
  """

  figures: dict[str, float]
  grid: np.ndarray
  warnings: list[str]


class Look:
  """Faces drawn from a split's speech: the same speech and the same keys in every look.

  Its figures are the rows of `metrics.py` without dlib, the mean difference to the real faces
  (`l1`), and how often the auxiliary classifier names the speaker (`classifier_accuracy`).

  Args:
    name: of its figures.
    records: of the split.
    split: what it is called in the labels.
    count: of examples, evenly spread over the records.
    reference: real training faces.
    identify: the classifier of real faces.
    nets: of the run.
    config: of the run.
    identities: who the labels stand for.
  """

  def __init__(
    self,
    name: str,
    records: data.Records,
    split: str,
    count: int,
    reference: metrics.Faces,
    identify: Identify,
    nets: Networks,
    config: ConfigDict,
    identities: list[str],
  ):
    self._name, self._split, self._names = name, split, identities
    self._draw = sampler.drawer(nets.generator)
    chosen = data.evenly(records, count)
    self._speech = data.centred_examples(records, config.dataset, chosen)[schema.SPEECH]
    self._real = metrics.make_out(records.faces[chosen], records.identity[chosen], identify)
    self._reference, self._identify = reference, identify
    self._keys = [
      [sampler.key(config.seed, name, i, draw) for i in range(len(chosen))] for draw in range(DRAWS)
    ]

  def __call__(self, state: GanState) -> Seen:
    """What `state` draws."""
    draws = []
    for keys in self._keys:
      faces, logits = self._draw(state.drawing, self._speech, keys)
      draws.append(metrics.make_out(faces, self._real.identity, self._identify))
    rows = metrics.measure(draws, self._real, self._reference)
    real, drawn = self._real.pictures, draws[-1].pictures
    figures = {name: row.value for name, row in rows.items()} | {
      "l1": float(np.abs(images.to_float(drawn) - images.to_float(real)).mean()),
      "classifier_accuracy": float((logits.argmax(-1) == self._real.identity).mean()),
    }
    figures = {f"{self._name}/{name}": value for name, value in figures.items()}
    return Seen(figures, self._grid(state, drawn), metrics.warnings(rows))

  def _grid(self, state: GanState, drawn: np.ndarray) -> np.ndarray:
    real, labels = self._real.pictures, self._real.identity
    picked = np.linspace(0, len(real) - 1, GRID_COLUMNS * GRID_BANDS).round().astype(int)
    rows = {"real": real, "averaged weights" if state.ema else "drawn": drawn}
    rows = {title: row[picked] for title, row in rows.items()}
    if state.ema:
      keys = [self._keys[-1][i] for i in picked]
      rows["last weights"], _ = self._draw(state.generator.variables, self._speech[picked], keys)
    faces, titles = [], []
    for band in np.array_split(np.arange(len(picked)), GRID_BANDS):
      who = ", ".join(sorted({self._names[label] for label in labels[picked[band]]}))
      for title, row in rows.items():
        faces.append(list(row[band]))
        titles.append(f"{who}: {title}, {self._split} speech")
    return images.grid(faces, titles)
