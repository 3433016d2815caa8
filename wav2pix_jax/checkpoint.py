"""What a run keeps in its workdir: checkpoints (the one file that names Orbax) and its config."""

import json
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
    self._manager.save(
      int(state.step),
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        batches=ocp.args.JsonSave(iterator_state),
        config=ocp.args.JsonSave(json.loads(config.to_json())),
      ),
      metrics=held_out or None,
    )

  def restore(self, abstract: GanState) -> tuple[GanState, dict]:
    """State and iterator state of the latest checkpoint.

    Args:
      abstract: shapes, dtypes and placement (`parallel.abstract`); devices may be others than
        those that saved.
    """
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
    self._manager.close()


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


def write_config(workdir: Path, config: ConfigDict, identities: list[str]) -> None:
  """Writes `config.json`: the resolved config, and who the labels stand for.

  Raises:
    UserError: the workdir holds a run whose config differs in more than `MAY_CHANGE`, each
      difference named; or it cannot be written.
  """
  new = json.loads(config.to_json()) | {IDENTITIES: identities}
  path = workdir / "config.json"
  if path.exists():
    before, after = _flatten(json.loads(path.read_text())), _flatten(new)
    changed = [
      f"{name}: {before.get(name)!r} -> {after.get(name)!r}"
      for name in sorted(before.keys() | after.keys())
      if before.get(name) != after.get(name) and name not in MAY_CHANGE
    ]
    if changed:
      raise UserError(
        f"{workdir} holds a run with another config ({'; '.join(changed)}); go on with the saved "
        "values or start anew in another --workdir."
      )
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    incomplete = path.with_suffix(".incomplete")
    incomplete.write_text(json.dumps(new, indent=2) + "\n")
    incomplete.rename(path)
  except OSError as error:
    raise UserError(f"{workdir}: cannot be written ({error.strerror}); name another.") from error


def read_config(workdir: Path) -> tuple[ConfigDict, list[str]]:
  """The config of a run and its identities' names.

  Raises:
    UserError: the workdir holds no run.
  """
  try:
    saved = json.loads((workdir / "config.json").read_text())
  except OSError as error:
    raise UserError(f"{workdir}: no config.json here; name the workdir of a run.") from error
  identities = saved.pop(IDENTITIES)
  return ConfigDict(saved).lock(), identities


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat: dict[str, Any] = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      flat |= _flatten(value, f"{prefix}{name}.")
    else:
      flat[prefix + name] = value
  return flat
