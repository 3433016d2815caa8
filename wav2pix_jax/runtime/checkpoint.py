"""Checkpoints of a run (the one file that uses Orbax)."""

import contextlib
import dataclasses
import functools
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from absl import logging
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers as policies

from wav2pix_jax import models
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import expanded
from wav2pix_jax.common.version import __version__
from wav2pix_jax.runtime import distributed, pretrained, run_config
from wav2pix_jax.sampler import Sampler
from wav2pix_jax.train_state import GanState, create_state

BEST = "held_out/feature_distance"  # lower is better
KEPT = "earlier checkpoints are kept, and the same command resumes from the last one"


class Checkpoints:
  """The checkpoints in a workdir, each the state after a step.

  Batches need no state of their own: the next one is a function of the step.

  The latest checkpoint is kept, and the best by `BEST` among those saved with figures of held-out
  speech. Saving goes on in the background until the `with` block ends. A checkpoint appears whole
  or not at all, and what a killed process left of one is removed by the next that may write.
  """

  def __init__(self, workdir: Path, read_only: bool = False):
    """Opens the checkpoints; `read_only` while another process may be writing to the workdir.

    Raises:
      UserError: The folder cannot be opened.
    """
    best = policies.BestN(
      get_metric_fn=lambda metrics: metrics.get(BEST, math.inf),
      reverse=True,  # the last of ascending values are kept
      n=1,
      keep_checkpoints_without_metrics=False,
    )
    self._folder = Path(workdir, "checkpoints").resolve()
    quiet = _without_warnings() if read_only else contextlib.nullcontext()
    with quiet, self._in_one_line("could not be opened", "see that it can be read and written"):
      self._manager = ocp.CheckpointManager(
        self._folder,
        options=ocp.CheckpointManagerOptions(
          preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(1), best]),
          best_fn=lambda metrics: metrics.get(BEST, math.inf),
          best_mode="min",
          read_only=read_only,
          create=not read_only,
          cleanup_tmp_directories=not read_only,
        ),
      )

  @property
  def latest_step(self) -> int | None:
    """The step of the latest complete checkpoint; None without one."""
    return self._manager.latest_step()

  @property
  def best_step(self) -> int | None:
    """The step of the best complete checkpoint by `BEST`, or the latest where none has it."""
    return self._manager.best_step() or self.latest_step

  def save(self, state: GanState, held_out: dict[str, float]) -> None:
    """Starts to write the checkpoint of `state.step`; all processes call this together.

    The state is without NaN or Inf. It may be donated as soon as this returns. The best checkpoint
    is chosen by the figures `held_out`, which are empty where none were computed.

    Raises:
      UserError: This checkpoint or the one before could not be written.
    """
    with self._in_one_line("could not be written", KEPT):
      self._manager.save(
        int(jax.device_get(state.step)),
        args=ocp.args.Composite(state=ocp.args.StandardSave(distributed.across_processes(state))),
        metrics=held_out if BEST in held_out else None,
      )

  def restore(self, step: int, abstract: GanState) -> GanState:
    """Returns the state of an existing checkpoint.

    Its shapes, dtypes and placement are given, see `distributed.abstract`. The devices and
    processes may differ from those that saved.

    Raises:
      UserError: The checkpoint is damaged, or of other networks.
    """
    others = sorted(set(self._manager.all_steps()) - {step})
    remedy = (
      f"to resume from step {others[-1]}, move {self._folder / str(step)} away"
      if others
      else "there is no other; start a new run in another --workdir"
    )
    with self._in_one_line(f"of step {step} could not be read", remedy):
      restored = self._manager.restore(
        step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
      )
    return restored["state"]

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *error: Any) -> None:
    """Waits for what is being written, also when training stops with an error."""
    with self._in_one_line("could not be written", KEPT):
      self._manager.close()

  @contextlib.contextmanager
  def _in_one_line(self, what: str, remedy: str) -> Iterator[None]:
    """Turns Orbax's errors about files that it cannot write or read into one line."""
    try:
      with _without_reports_to_a_closed_loop():
        yield
    except Exception as error:
      # Orbax raises a bare Exception where TensorStore cannot read an array.
      if not isinstance(error, OSError | ValueError | KeyError) and type(error) is not Exception:
        raise
      first = error.__cause__ or error if type(error) is Exception else error
      reason = (str(first).strip() or type(first).__name__).partition("\n")[0]
      if len(reason) > 240:  # the file system's message comes last
        reason = f"{reason[:80]} ... {reason[-150:]}"
      raise UserError(f"checkpoint in {self._folder} {what} ({reason}); {remedy}.") from error


@contextlib.contextmanager
def _without_reports_to_a_closed_loop() -> Iterator[None]:
  """Drops the tracebacks of reads that were under way when another one failed.

  TensorStore's threads report to an event loop that has ended with the failure, one by one, also
  after this block; so where it fails, they are dropped from then on.
  """
  usual = sys.unraisablehook

  def but_these(dropped: Any) -> None:
    if str(dropped.exc_value) != "Event loop is closed":
      usual(dropped)

  sys.unraisablehook = but_these
  yield
  sys.unraisablehook = usual


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
  """Keeps Orbax from warning that a folder that is only read is read-only."""
  before = logging.get_verbosity()
  logging.set_verbosity(min(before, logging.ERROR))
  try:
    yield
  finally:
    logging.set_verbosity(before)


@dataclasses.dataclass(frozen=True)
class Run:
  """A checkpoint of a run, or weights without their run, with what is needed to use them."""

  config: ConfigDict  # the run's config
  speakers: list[str]  # the names of the labels
  networks: models.Networks  # the networks, built for one device
  variables: dict[str, Any]  # the generator's, to sample with: averaged ones where there are any
  step: int  # the step of the checkpoint
  name: str  # the name of the workdir
  state: GanState | None = None  # the state of the checkpoint; None without the run

  @property
  def about(self) -> dict[str, str]:
    """What is written into the pictures and movies that are made with it."""
    made_by = f"generated by wav2pix_jax {__version__}, not a photograph"
    return {"Software": made_by, "Model": f"{self.name}, step {self.step}"}

  @property
  def sampler(self) -> Sampler:
    """A sampler with these weights."""
    return Sampler(self.config, self.speakers, self.networks.generator, self.variables)


def load(workdir: Path, step: int | None = None) -> Run:
  """Loads a checkpoint of the run in a workdir, which stays unchanged, or weights without a run.

  Without a step it is the best one, or the latest where none was compared. Weights without a run
  are a folder as `pretrained.write` makes it.

  Raises:
    UserError: There is no run, no checkpoint, or one that cannot be read.
  """
  config, speakers = run_config.read(workdir)
  trained = bool(run_config.saved_steps(workdir))
  alone = not trained and (workdir / pretrained.WEIGHTS).is_file()
  if not alone and not trained:
    raise UserError(
      f"{workdir}: no checkpoint in this workdir; train one with --workdir={workdir}."
    )
  try:
    networks = models.build(config, len(speakers))
  except AttributeError as error:
    field = str(error).strip("\"'")
    raise UserError(
      f"{workdir}: written by another version, its config has no field {field}; train it anew."
    ) from error
  name = workdir.resolve().name
  make_state = functools.partial(create_state, config, networks, jax.random.key(0))
  if alone:
    abstract = jax.eval_shape(make_state).generator.variables
    variables, step = pretrained.read(workdir, abstract)
    return Run(config, speakers, networks, variables, step, name)
  with Checkpoints(workdir, read_only=True) as checkpoints:
    chosen = checkpoints.best_step if step is None else step
    if chosen is None:
      raise UserError(f"{workdir}: no complete checkpoint in this workdir.")
    try:
      state = checkpoints.restore(chosen, distributed.abstract(make_state))
    except UserError:
      if step is not None or chosen in run_config.saved_steps(workdir):
        raise
      return load(workdir)  # training went on meanwhile, and a newer checkpoint took its place
  return Run(config, speakers, networks, state.sampling_variables, int(state.step), name, state)


def start_from(run: Run, state: GanState) -> GanState:
  """Returns the state at step 0 with a run's weights, for a run on other speakers.

  The last layer of the auxiliary classifier stays new, as it names the speakers; so do the
  optimizers. The generator starts with what the run samples with. Discriminator and face encoder
  are kept, too, unless the weights come without their run.

  Raises:
    UserError: The networks differ.
  """
  generator = _kept("generator", run.variables, state.generator.variables)
  networks = {"generator": state.generator, "discriminator": state.discriminator}
  variables = {"generator": generator}
  if run.state:
    before = run.state.discriminator.variables
    variables["discriminator"] = _kept("discriminator", before, state.discriminator.variables)
    if run.state.face_encoder and state.face_encoder:
      networks["face_encoder"] = state.face_encoder
      variables["face_encoder"] = _kept(
        "face_encoder", run.state.face_encoder.variables, state.face_encoder.variables
      )
  started: dict[str, Any] = {
    name: networks[name].replace(params=of.pop("params"), stats=of)
    for name, of in ((name, dict(tree)) for name, tree in variables.items())
  }
  return state.replace(**started, ema=jax.tree.map(jnp.copy, generator) if state.ema else {})


def _kept(network: str, before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
  """Returns the variables of a network before, but new ones for the layer that names speakers."""
  old, fresh = (flatten_dict(tree, sep="/") for tree in (before, new))
  for name, variable in fresh.items():
    if "classifier/dense1/" in name or "classifier/norm1/" in name:
      old[name] = variable
    elif name not in old or old[name].shape != variable.shape:
      found = old[name].shape if name in old else "missing"
      raise UserError(
        f"--init: the {network} is another one: its {name} is {found}, not {variable.shape}; train "
        "with the config of those weights, or without --init."
      )
  return unflatten_dict({name: old[name] for name in fresh}, sep="/")


def load_sampler(workdir: str | os.PathLike[str] | None) -> Sampler:
  """Loads the sampler of a run, or of the weights that ship; see `wav2pix_jax.load`."""
  return load(expanded(workdir) if workdir else pretrained.SHIPPED).sampler
