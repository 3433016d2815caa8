"""What a run keeps in its workdir: checkpoints (the one file that names Orbax) and its config."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers as policies

from wav2pix_jax.errors import UserError
from wav2pix_jax.state import GanState

BEST = "held_out/l1"  # lower is better
MAY_CHANGE = {
  "num_steps",
  "log_every",
  "eval_every",
  "save_every",
  "dataset.source",
  "dataset.data_dir",
}
IDENTITIES = "identity_names"


class Checkpoints:
  """Checkpoints of a workdir: state, data iterator and config of a step in one.

  The latest is kept, and the best by `BEST` among those saved with held-out figures. Saving goes on
  in the background, until the `with` block ends at the latest; a checkpoint appears whole or not at
  all.
  """

  def __init__(self, workdir: Path):
    best = policies.BestN(
      get_metric_fn=lambda metrics: metrics[BEST],
      reverse=True,  # ascending order ends in the kept ones
      n=1,
      keep_checkpoints_without_metrics=False,
    )
    self._manager = ocp.CheckpointManager(
      Path(workdir, "checkpoints").resolve(),
      options=ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(1), best]),
        best_fn=lambda metrics: metrics[BEST],
        best_mode="min",
      ),
    )

  @property
  def latest_step(self) -> int | None:
    """Step of the last complete checkpoint; None without one."""
    return self._manager.latest_step()

  def save(
    self, state: GanState, iterator_state: dict, config: ConfigDict, held_out: dict[str, float]
  ) -> None:
    """Starts to write the checkpoint of `state.step`.

    Args:
      state: finite; may be donated as soon as this returns.
      iterator_state: of the batches, such that the next one belongs to this state.
      config: of the run.
      held_out: figures at this step, by which the best is chosen; empty: none were taken.
    """
    with self._in_one_line("could not be written"):
      self._manager.save(
        int(state.step),
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          batches=ocp.args.JsonSave(iterator_state),
          config=ocp.args.JsonSave(as_dict(config)),
        ),
        metrics=held_out or None,
      )

  def restore(self, abstract: GanState) -> tuple[GanState, dict]:
    """State and iterator state of the latest checkpoint.

    Args:
      abstract: shapes, dtypes and placement (`parallel.abstract`); devices may be others than
        those that saved.
    """
    with self._in_one_line("could not be read"):
      restored = self._manager.restore(
        self.latest_step,
        args=ocp.args.Composite(
          state=ocp.args.StandardRestore(abstract), batches=ocp.args.JsonRestore()
        ),
      )
    return restored["state"], restored["batches"]

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *error: Any) -> None:
    """Waits until what was started is written, also when training stops with an error."""
    with self._in_one_line("could not be written"):
      self._manager.close()

  @contextlib.contextmanager
  def _in_one_line(self, what: str) -> Iterator[None]:
    """What Orbax raises of files it cannot write or read, as one line."""
    try:
      yield
    except (OSError, ValueError, KeyError) as error:
      reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
      raise UserError(f"checkpoint in {self._manager.directory} {what} ({reason}).") from error


def open_existing(workdir: Path) -> Checkpoints:
  """The checkpoints of a workdir that must have some.

  Raises:
    UserError: it has none.
  """
  if (workdir / "checkpoints").is_dir():
    checkpoints = Checkpoints(workdir)
    if checkpoints.latest_step is not None:
      return checkpoints
  raise UserError(f"{workdir}: no checkpoint in this workdir; train one with --workdir={workdir}.")


def as_dict(config: ConfigDict) -> dict[str, Any]:
  """A config as `config.json` has it."""
  return json.loads(config.to_json())


def refuse_changes(workdir: Path, new: dict[str, Any]) -> None:
  """Refuses to go on with a run under another config.

  Raises:
    UserError: the workdir has a checkpoint and its `config.json` differs from `new` in more than
      `MAY_CHANGE`; each difference is named.
  """
  if not any((workdir / "checkpoints").glob("[0-9]*")):
    return
  before, after = _flatten(_read(workdir)), _flatten(new)
  changed = [
    f"{name}: {before.get(name)!r} -> {after[name]!r}"
    for name in sorted(after)
    if before.get(name) != after[name] and name not in MAY_CHANGE
  ]
  if changed:
    raise UserError(
      f"{workdir} holds a run with another config ({'; '.join(changed)}); go on with the saved "
      "values or start anew in another --workdir."
    )


def write_config(workdir: Path, config: ConfigDict, identities: list[str]) -> None:
  """Writes `config.json`: the resolved config, and who the labels stand for.

  Raises:
    UserError: as `refuse_changes`, or the workdir cannot be written.
  """
  new = as_dict(config) | {IDENTITIES: identities}
  refuse_changes(workdir, new)
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    incomplete = workdir / "config.json.incomplete"
    incomplete.write_text(json.dumps(new, indent=2) + "\n")
    incomplete.rename(workdir / "config.json")
  except OSError as error:
    raise UserError(f"{workdir}: cannot be written ({error.strerror}); name another.") from error


def read_config(workdir: Path) -> tuple[ConfigDict, list[str]]:
  """The config of a run and its identities' names.

  Raises:
    UserError: the workdir holds no run.
  """
  saved = _read(workdir)
  identities = saved.pop(IDENTITIES)
  return ConfigDict(saved).lock(), identities


def _read(workdir: Path) -> dict[str, Any]:
  path = workdir / "config.json"
  try:
    saved = json.loads(path.read_text())
  except OSError as error:
    raise UserError(f"{path}: {error.strerror}; name the workdir of a run.") from error
  except ValueError as error:
    raise UserError(f"{path}: damaged ({error}).") from error
  if IDENTITIES not in saved:
    raise UserError(f"{path}: not the config of a run.")
  return saved


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat: dict[str, Any] = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      flat |= _flatten(value, f"{prefix}{name}.")
    else:
      flat[prefix + name] = value
  return flat
