"""`config.json` in a workdir: config, speakers and data of a run, and what may change on resume."""

import functools
import json
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from wav2pix_jax.common.errors import UserError, listed
from wav2pix_jax.common.files import from_json, write_whole
from wav2pix_jax.common.version import __version__

MAY_CHANGE = {
  "num_steps",
  "log_every",
  "eval_every",
  "save_every",
  "metric_writers",
  "dataset.source",
  "dataset.data_dir",
  "dataset.on_device",
}
# These must stay even when nothing has been learned yet, after an import.
NETWORKS = ("image_size", "ema_decay", "dataset.window_samples", "dataset.audio_steps", "model.")
# Fields added since version 0.2, with the value that changes nothing, which older runs have.
ADDED: dict[str, Any] = {
  "dataset.largest_instant_error": 64_000,
  "dataset.pairs.match": "line",
  "dataset.synthetic.share": 0.0,
  "loss.faces_teach": True,
  "loss.matching": 0.0,
  "loss.matching_faces": 8,
  "loss.mismatched_moment": 0.0,
  "model.batch_norm_devices": 0,
  "model.encoder": "waveform",
  "model.face_encoder_widths": [32, 64, 128],
  "model.noise": 0,
  "model.prototypes": False,
  "speaker_steps": 0,
}
_print_once = functools.cache(print)  # a mode may read a config several times
WRITTEN_BY, SPEAKERS, RECORDS = "version", "identity_names", "records"  # keys beside the config's
EXPORTED = "wav2pix_jax"  # the key of the text in exported tensors


def as_dict(config: ConfigDict) -> dict[str, Any]:
  """Returns a config as `config.json` stores it."""
  return json.loads(config.to_json())


def saved_steps(workdir: Path) -> list[int]:
  """Returns the steps of the complete checkpoints, in no order."""
  names = [path.name for path in (workdir / "checkpoints").glob("*")]
  return [int(name) for name in names if name.isdigit()]


def refuse_changes(workdir: Path, new: ConfigDict) -> None:
  """Refuses to resume a run with another config.

  Raises:
    UserError: The workdir has a checkpoint, and its config differs from `new` in a field that is
      not in `MAY_CHANGE`, or for an imported checkpoint that has not been trained yet, in
      `NETWORKS`; the message names each difference.
  """
  steps = saved_steps(workdir)
  if not steps:
    return
  saved, trained = _read(workdir), any(steps)
  before, after = (flatten_dict(tree, sep=".") for tree in (saved["config"], as_dict(new)))
  changed = [
    f"{name}: {before.get(name)!r} -> {after.get(name)!r}"
    for name in sorted(before.keys() | after.keys())
    if before.get(name) != after.get(name) and name not in MAY_CHANGE
    if trained or name.startswith(NETWORKS)
  ]
  if changed:
    raise UserError(
      f"{workdir} contains a run with another config ({'; '.join(changed)}); resume it with the "
      "saved values, or start a new run in another --workdir."
    )


def speakers(workdir: Path, in_dataset: list[str]) -> list[str]:
  """Returns the names of a run's labels: from its workdir if it has a checkpoint, or the dataset.

  An imported checkpoint distinguishes speakers whose names it does not know. They are called by
  their labels ("0", "1", ...) until a dataset names some of them.

  Raises:
    UserError: The checkpoint in the workdir is of other speakers.
  """
  if not saved_steps(workdir):
    return in_dataset
  saved: list[str] = _read(workdir)[SPEAKERS]
  unnamed = [str(label) for label in range(len(saved))]
  names = in_dataset + unnamed[len(in_dataset) :]
  fits = all(old in (new, label) for old, new, label in zip(saved, names, unnamed, strict=False))
  if len(names) != len(saved) or not fits:
    raise UserError(
      f"the run in {workdir} is of the speakers {listed(saved)}, but the dataset has "
      f"{listed(in_dataset)}; resume it with its own dataset, or start a new run in another "
      "--workdir."
    )
  return names


def write(workdir: Path, config: ConfigDict, speakers: list[str], records: dict[str, str]) -> None:
  """Writes `config.json`: the resolved config, the speakers, and a digest of each split's records.

  Raises:
    UserError: As `refuse_changes` and `refuse_other_records`, or the file cannot be written.
  """
  refuse_changes(workdir, config)
  refuse_other_records(workdir, records)
  about = {WRITTEN_BY: __version__, SPEAKERS: speakers, RECORDS: records}
  content = json.dumps({**as_dict(config), **about}, indent=2)
  write_whole(workdir / "config.json", content + "\n")


def read(workdir: Path) -> tuple[ConfigDict, list[str]]:
  """Returns the config of a run, locked, and the names of its speakers.

  Raises:
    UserError: The workdir contains no run, or one of version 0.1.
  """
  saved = _read(workdir)
  return ConfigDict(saved["config"]).lock(), saved[SPEAKERS]


def refuse_other_records(workdir: Path, records: dict[str, str]) -> None:
  """Refuses a dataset that a run has not been trained on, by the digest of each split that is read.

  Raises:
    UserError: The run has been trained, on other records.
  """
  if any(saved_steps(workdir)):
    before = _read(workdir)[RECORDS]
    changed = [split for split in records if before.get(split) != records[split]]
    if changed:
      raise UserError(
        f"the run in {workdir} was trained on other records: the content of the dataset has "
        f"changed in {', '.join(changed)}; restore it, or start a new run in another --workdir."
      )


def _read(workdir: Path) -> dict[str, Any]:
  """Returns the config, under "config", and what stands beside it."""
  path = workdir / "config.json"
  try:
    saved = from_json(path.read_text())
  except OSError as error:
    raise UserError(f"{path}: {error.strerror}; name the workdir of a run.") from error
  except ValueError as error:
    raise UserError(f"{path}: damaged ({error}).") from error
  if not (isinstance(saved, dict) and {SPEAKERS, RECORDS} <= saved.keys()):
    raise UserError(f"{path}: not the config of a run.")
  if WRITTEN_BY not in saved:
    raise UserError(
      f"{workdir} contains a run of version 0.1, which version {__version__} cannot "
      "read; train it anew, or install version 0.1."
    )
  about = {name: saved.pop(name) for name in (WRITTEN_BY, SPEAKERS, RECORDS)}
  saved = completed(saved, f"{path} is from version {about[WRITTEN_BY]}")
  return {"config": as_dict(ConfigDict(saved)), **about}


def completed(saved: dict[str, Any], origin: str) -> dict[str, Any]:
  """Returns a saved config with the fields that its version did not have, see `ADDED`.

  Prints them once, after `origin`, which says where the config is from.
  """
  known = flatten_dict(saved, sep=".")
  missing = {name: value for name, value in ADDED.items() if name not in known}
  if not missing:
    return saved
  values = ", ".join(f"{name}={value!r}" for name, value in missing.items())
  _print_once(f"{origin}; assuming {values}, as it was then.")
  return unflatten_dict({**known, **missing}, sep=".")
