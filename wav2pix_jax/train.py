"""Training: from a config to checkpoints, curves and grids in a workdir."""

import functools
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorboardX
import tqdm
from clu import metrics as clu_metrics
from clu import parameter_overview
from ml_collections import ConfigDict

from wav2pix_jax import audio, checkpoint, data, generate, images, models, parallel, schema
from wav2pix_jax.errors import UserError
from wav2pix_jax.models import Networks
from wav2pix_jax.state import GanState, build_optimizers, initialise
from wav2pix_jax.steps import stream, train_step

HELD_OUT = 64  # examples that are looked at during training
GRID_COLUMNS, GRID_BANDS = 8, 2


def train(config: ConfigDict, workdir: Path) -> None:
  """Trains until `config.num_steps`, going on from the workdir's latest checkpoint if it has one.

  Raises:
    UserError: a config that cannot run, a workdir of another run, or a step whose losses or
      gradients are not finite; checkpoints saved before stay.
  """
  models.check(config)
  for field in ("num_steps", "log_every", "eval_every", "save_every"):
    if config[field] < 1:
      raise UserError(f"{field} is {config[field]}; it must be at least 1.")
  checkpoint.refuse_changes(workdir, checkpoint.as_dict(config))
  batch_size = parallel.process_batch_size(config.batch_size)
  builder = data.prepare(config.dataset)
  identities = data.identity_names(builder)
  nets = models.build(config, len(identities), parallel.AXIS)
  records = data.load(builder, schema.TRAIN, config.image_size)
  split = data.held_out_split(builder)
  held_out = data.load(builder, split, config.image_size)
  batches = data.train_batches(
    records, config, batch_size, jax.process_index(), jax.process_count()
  )
  checkpoint.write_config(workdir, config, identities)

  root_key = jax.random.key(config.seed)
  optimizers = build_optimizers(config)
  init_key = stream(root_key, "initialise", 0)
  make_state = functools.partial(initialise, nets, optimizers, init_key, config)
  step_on_devices = parallel.pmapped(
    functools.partial(
      train_step, nets=nets, optimizers=optimizers, weights=config.loss, axis_name=parallel.AXIS
    )
  )
  look = HeldOutLook(nets, held_out, split, config, identities, workdir)
  with checkpoint.Checkpoints(workdir) as checkpoints:
    if checkpoints.latest_step is None:
      state = parallel.replicate(make_state())
    else:
      state, iterator_state = checkpoints.restore(parallel.abstract(make_state))
      batches.set_state(iterator_state)
      print(f"Going on from step {int(state.step)} in {workdir}.")
    params = {"generator": state.generator.params, "discriminator": state.discriminator.params}
    print(parameter_overview.get_parameter_overview(params, include_stats=False))
    print(
      f"{len(records)} records to train on, {len(held_out)} of {split} to look at: "
      f"{', '.join(identities)}."
    )

    with Log(workdir, int(state.step), config) as log:
      for step in range(int(state.step) + 1, config.num_steps + 1):
        state, metrics = step_on_devices(state, parallel.shard(next(batches)), root_key)
        log.add(metrics)
        last = step == config.num_steps
        save = last or step % config.save_every == 0
        if save or step % config.log_every == 0:
          log.write(step)  # stops a run that is not finite, so before any save
        figures: dict[str, float] = {}
        if last or step % config.eval_every == 0:
          figures, grid = look(state, step)
          log.write_figures(step, figures, grid)
        if save:
          checkpoints.save(state, batches.get_state(), config, figures)
  print(
    f"Trained to step {int(state.step)}. Last grid: {look.path(int(state.step))}\n"
    "Draw from a recording:\n"
    f"  python main.py --mode=sample --workdir={workdir} --speech={look.recordings}"
  )


class Log:
  """What a person watches: a progress bar, a line every so many steps, TensorBoard.

  As a context manager it shows the bar while open.
  """

  def __init__(self, workdir: Path, start: int, config: ConfigDict):
    self._board = tensorboardX.SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)
    self._bar = tqdm.tqdm(
      desc="Training",
      total=config.num_steps,
      initial=start,
      unit=" faces",
      unit_scale=config.batch_size,
      mininterval=1 if sys.stderr.isatty() else 60,
      disable=jax.process_index() > 0,
    )
    self._unwritten: list[dict[str, jax.Array]] = []

  def __enter__(self) -> "Log":
    return self

  def __exit__(self, *error: Any) -> None:
    self._bar.close()
    self._board.close()

  def add(self, metrics: dict[str, jax.Array]) -> None:
    """Takes in a step's metrics, which the devices may still be computing."""
    if self._unwritten:  # wait for the step before, lest the bar run ahead of the devices
      jax.block_until_ready(self._unwritten[-1])
    self._unwritten.append(metrics)
    self._bar.update()

  def write(self, step: int) -> None:
    """Writes the means over the steps since the last call.

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
    for name, value in means.items():
      self._board.add_scalar(name, value, step)
    shown = ("d_loss/total", "g_loss/total", "g_loss/l1", "classifier_accuracy")
    self._say(step, {name: means[name] for name in shown})

  def write_figures(self, step: int, figures: dict[str, float], grid: np.ndarray) -> None:
    """Writes figures and the grid [H, W, 3] of held-out speech."""
    for name, value in figures.items():
      self._board.add_scalar(name, value, step)
    self._board.add_image("held_out/grid", grid, step, dataformats="HWC")
    self._say(step, figures)

  def _say(self, step: int, values: dict[str, float]) -> None:
    text = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
    self._bar.write(f"step {step}: {text}", file=sys.stdout)


class HeldOutLook:
  """Faces drawn from speech that is not learned from: the same speech and keys in every look.

  Attributes:
    recordings: folder with a recording of each identity, to draw from later.
  """

  def __init__(
    self,
    nets: Networks,
    records: data.Records,
    split: str,
    config: ConfigDict,
    identities: list[str],
    workdir: Path,
  ):
    self._samples = workdir / "samples"
    self._names = identities
    self._split = split
    self._draw = generate.drawer(nets.generator)
    self._examples = data.held_out_examples(records, config.dataset, HELD_OUT)
    count = len(self._examples[schema.IDENTITY])
    self._keys = [generate.key(config.seed, "held out", i) for i in range(count)]
    self.recordings = self._samples / "held_out"
    self.recordings.mkdir(parents=True, exist_ok=True)
    for who, name in enumerate(identities):
      of_identity = np.flatnonzero(records.identity == who)
      if len(of_identity):
        speech = records[of_identity[0]][schema.SPEECH]
        audio.write_wav(self.recordings / f"{name}.wav", speech)

  def path(self, step: int) -> Path:
    """Where the grid of a step lies."""
    return self._samples / f"step_{step:06d}.png"

  def __call__(self, state: GanState, step: int) -> tuple[dict[str, float], np.ndarray]:
    """Figures over the held-out examples, and the grid, which is also written as a PNG."""
    speech, real = self._examples[schema.SPEECH], self._examples[schema.FACE]
    faces, logits = self._draw(state.generator.variables, speech, self._keys)
    named = logits.argmax(-1) == self._examples[schema.IDENTITY]
    figures = {
      checkpoint.BEST: float(np.abs(images.to_float(faces) - real).mean()),
      "held_out/classifier_accuracy": float(named.mean()),
    }
    grid = self._grid(faces, images.to_uint8(real))
    images.save_png(self.path(step), grid)
    return figures, grid

  def _grid(self, faces: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Bands of real faces above the generated ones, evenly picked from the held-out examples."""
    picked = np.linspace(0, len(faces) - 1, GRID_COLUMNS * GRID_BANDS).round().astype(int)
    rows, labels = [], []
    for columns in np.array_split(picked, GRID_BANDS):
      who = sorted({self._names[i] for i in self._examples[schema.IDENTITY][columns]})
      rows += [list(real[columns]), list(faces[columns])]
      labels += [f"real: {', '.join(who)}", f"generated from {self._split} speech"]
    return images.grid(rows, labels)
