"""Checkpoints of a run (the one file that names Orbax)."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers as policies

from wav2pix_jax import models
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.models import Networks
from wav2pix_jax.runtime import distributed, run_config
from wav2pix_jax.train_state import GanState, build_optimizers, initialise

BEST = "held_out/feature_distance"  # lower is better
KEPT = "what was saved before is kept, and the same command goes on from it"


class Checkpoints:
  """Checkpoints of a workdir: the state after a step, and the config, in one.

  The batches need no state of their own: the next one is a function of the step.

  The latest is kept, and the best by `BEST` among those saved with held-out figures. Saving goes on
  in the background, until the `with` block ends at the latest; a checkpoint appears whole or not at
  all, and what a killed process left of one is removed by the next that may write.

  Args:
    workdir: of the run.
    read_only: leave the folder as it is, whoever is writing to it.
  """

  def __init__(self, workdir: Path, read_only: bool = False):
    best = policies.BestN(
      get_metric_fn=lambda metrics: metrics.get(BEST, math.inf),
      reverse=True,  # ascending order ends in the kept ones
      n=1,
      keep_checkpoints_without_metrics=False,
    )
    self._folder = Path(workdir, "checkpoints").resolve()
    with self._in_one_line("could not be opened", "see that it can be read and written"):
      self._manager = ocp.CheckpointManager(
        self._folder,
        options=ocp.CheckpointManagerOptions(
          preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(1), best]),
          best_fn=lambda metrics: metrics.get(BEST, math.inf),
          best_mode="min",
          read_only=read_only,
          cleanup_tmp_directories=not read_only,
        ),
      )

  @property
  def latest_step(self) -> int | None:
    """Step of the last complete checkpoint; None without one."""
    return self._manager.latest_step()

  @property
  def best_step(self) -> int | None:
    """Step of the best complete checkpoint by `BEST`; the latest where none has it."""
    return self._manager.best_step() or self.latest_step

  def save(self, state: GanState, config: dict[str, Any], held_out: dict[str, float]) -> None:
    """Starts to write the checkpoint of `state.step`; in all processes at once.

    Args:
      state: finite; may be donated as soon as this returns.
      config: of the run.
      held_out: figures at this step, by which the best is chosen; empty: none were taken.

    Raises:
      UserError: this one, or the one before, could not be written.
    """
    with self._in_one_line("could not be written", KEPT):
      self._manager.save(
        int(state.step),
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(distributed.across_processes(state)),
          config=ocp.args.JsonSave(config),
        ),
        metrics=held_out if BEST in held_out else None,
      )

  def restore(self, step: int, abstract: GanState) -> GanState:
    """The state of a checkpoint.

    Args:
      step: one that there is.
      abstract: shapes, dtypes and placement (`distributed.abstract`); devices and processes may be
        others than those that saved.

    Raises:
      UserError: it is damaged, or of other networks.
    """
    others = sorted(set(self._manager.all_steps()) - {step})
    remedy = (
      f"to go on from step {others[-1]}, move {self._folder / str(step)} away"
      if others
      else "there is no other; start anew in another --workdir"
    )
    with self._in_one_line(f"of step {step} could not be read", remedy):
      restored = self._manager.restore(
        step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
      )
    return restored["state"]

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *error: Any) -> None:
    """Waits until what was started is written, also when training stops with an error."""
    with self._in_one_line("could not be written", KEPT):
      self._manager.close()

  @contextlib.contextmanager
  def _in_one_line(self, what: str, remedy: str) -> Iterator[None]:
    """What Orbax raises of files it cannot write or read, as one line."""
    try:
      yield
    except (OSError, ValueError, KeyError) as error:
      reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
      if len(reason) > 240:  # what the file system said comes last
        reason = f"{reason[:80]} ... {reason[-150:]}"
      raise UserError(f"checkpoint in {self._folder} {what} ({reason}); {remedy}.") from error


@dataclasses.dataclass(frozen=True)
class Run:
  """What a workdir holds, to draw from and to look into.

  Attributes:
    config: the run's.
    identities: who the labels stand for.
    nets: built for one device.
    state: of one checkpoint.
  """

  config: ConfigDict
  identities: list[str]
  nets: Networks
  state: GanState


def load(workdir: Path, step: int | None = None) -> Run:
  """The run in a workdir, which stays as it is.

  Args:
    workdir: of the run.
    step: of the checkpoint; None: the best, or the latest where none was compared.

  Raises:
    UserError: no run, one without a checkpoint, or one that cannot be read.
  """
  config, identities = run_config.read(workdir)
  if not run_config.has_checkpoint(workdir):
    raise UserError(
      f"{workdir}: no checkpoint in this workdir; train one with --workdir={workdir}."
    )
  try:
    nets = models.build(config, len(identities))
  except AttributeError as error:
    field = str(error).strip("\"'")
    raise UserError(
      f"{workdir}: written by another version, its config has no field {field}; train it anew."
    ) from error
  optimizers = build_optimizers(config)
  make_state = functools.partial(initialise, nets, optimizers, jax.random.key(0), config)
  with Checkpoints(workdir, read_only=True) as checkpoints:
    chosen = checkpoints.best_step if step is None else step
    assert chosen is not None
    try:
      state = checkpoints.restore(chosen, distributed.abstract(make_state))
    except UserError:
      if step is not None or chosen in run_config.saved_steps(workdir):
        raise
      return load(workdir)  # training went on meanwhile, and put a newer one in its place
  return Run(config, identities, nets, state)
