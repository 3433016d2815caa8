"""What a run says of itself in its workdir: `config.json` and `history.jsonl`."""

import datetime
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import write_whole, writing

MAY_CHANGE = {
  "num_steps",
  "log_every",
  "eval_every",
  "save_every",
  "dataset.source",
  "dataset.data_dir",
}
# What stays as it is even where nothing has been learned yet, after an import.
NETWORKS = ("image_size", "ema_decay", "dataset.window_samples", "dataset.audio_steps", "model.")
IDENTITIES = "identity_names"
EXPORTED = "wav2pix_jax"  # key of what exported tensors carry
RECORDS = "records"  # split -> digest of what the run reads
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "pillow")


def as_dict(config: ConfigDict) -> dict[str, Any]:
  """A config as `config.json` has it."""
  return json.loads(config.to_json())


def has_checkpoint(workdir: Path) -> bool:
  """Whether there is something to lose: a whole checkpoint."""
  return bool(saved_steps(workdir))


def _has_learned(workdir: Path) -> bool:
  """Whether training has begun: an import alone is at step 0."""
  return any(saved_steps(workdir))


def saved_steps(workdir: Path) -> list[int]:
  """Steps of the whole checkpoints, in no order."""
  names = [path.name for path in (workdir / "checkpoints").glob("*")]
  return [int(name) for name in names if name.isdigit()]


def refuse_changes(workdir: Path, new: ConfigDict) -> None:
  """Refuses to go on with a run under another config.

  Raises:
    UserError: the workdir has a checkpoint and its config differs from `new` in more than
      `MAY_CHANGE`, or in `NETWORKS` where it was imported and has not learned yet; each difference
      is named.
  """
  if not has_checkpoint(workdir):
    return
  saved, learned = _read(workdir), _has_learned(workdir)
  before = _flatten({name: saved[name] for name in saved if name not in (IDENTITIES, RECORDS)})
  after = _flatten(as_dict(new))
  changed = [
    f"{name}: {before.get(name)!r} -> {after.get(name)!r}"
    for name in sorted(before.keys() | after.keys())
    if before.get(name) != after.get(name) and name not in MAY_CHANGE
    if learned or name.startswith(NETWORKS)
  ]
  if changed:
    raise UserError(
      f"{workdir} holds a run with another config ({'; '.join(changed)}); go on with the saved "
      "values or start anew in another --workdir."
    )


def identities(workdir: Path, in_dataset: list[str]) -> list[str]:
  """Who the labels of a run stand for: as its workdir says, else as the dataset has them.

  An imported checkpoint tells apart a number of speakers whose names it does not know: they are
  called by their label ("0", "1", ...) until a dataset names some of them.

  Raises:
    UserError: the workdir has a checkpoint of other speakers.
  """
  if not has_checkpoint(workdir):
    return in_dataset
  saved: list[str] = _read(workdir)[IDENTITIES]
  unnamed = [str(label) for label in range(len(saved))]
  names = in_dataset + unnamed[len(in_dataset) :]
  fits = all(old in (new, label) for old, new, label in zip(saved, names, unnamed, strict=False))
  if len(names) != len(saved) or not fits:
    raise UserError(
      f"{workdir} tells apart {', '.join(saved)}, and this dataset {', '.join(in_dataset)}; go on "
      "with the dataset it had, or start anew in another --workdir."
    )
  return names


def write(
  workdir: Path, config: ConfigDict, identities: list[str], records: dict[str, str]
) -> None:
  """Writes `config.json`: the resolved config, the identities, and the digests of the records.

  Raises:
    UserError: as `refuse_changes`; the workdir has learned from other records; or it cannot be
      written.
  """
  refuse_changes(workdir, config)
  refuse_other_records(workdir, records)
  new = as_dict(config) | {IDENTITIES: identities, RECORDS: records}
  write_whole(workdir / "config.json", json.dumps(new, indent=2) + "\n")


def read(workdir: Path) -> tuple[ConfigDict, list[str]]:
  """The config of a run and its identities' names.

  Raises:
    UserError: the workdir holds no run.
  """
  saved = _read(workdir)
  identities = saved.pop(IDENTITIES)
  del saved[RECORDS]
  return ConfigDict(saved).lock(), identities


def refuse_other_records(workdir: Path, records: dict[str, str]) -> None:
  """Refuses a dataset that is not what the run learned from.

  Args:
    workdir: of the run.
    records: digests by split, of some or all that it reads.

  Raises:
    UserError: the run has learned, and from others.
  """
  if _has_learned(workdir):
    before = _read(workdir)[RECORDS]
    changed = [split for split in records if before.get(split) != records[split]]
    if changed:
      raise UserError(
        f"{workdir} learned from other records: the dataset's content has changed since, in "
        f"{', '.join(changed)}; bring it back, or start anew in another --workdir."
      )


def record_start(workdir: Path, step: int) -> None:
  """Appends to `history.jsonl` what goes on from a step: when, by which command, code, machine.

  Raises:
    UserError: it cannot be written.
  """
  line = {
    "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "step": step,
    "command": sys.argv,
    "git": _git_revision(),
    "python": platform.python_version(),
    "packages": {name: metadata.version(name) for name in PACKAGES},
    "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
    "processes": jax.process_count(),
  }
  path = workdir / "history.jsonl"
  with writing(path), path.open("a") as file:
    file.write(json.dumps(line) + "\n")


def _git_revision() -> str | None:
  """The commit of this code, with "-dirty" where files were changed since; None outside git."""
  command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
  try:
    run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
  except OSError:  # no git
    return None
  return run.stdout.strip() or None


def _read(workdir: Path) -> dict[str, Any]:
  path = workdir / "config.json"
  try:
    saved = json.loads(path.read_text())
  except OSError as error:
    raise UserError(f"{path}: {error.strerror}; name the workdir of a run.") from error
  except ValueError as error:
    raise UserError(f"{path}: damaged ({error}).") from error
  if not (isinstance(saved, dict) and {IDENTITIES, RECORDS} <= saved.keys()):
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
