"""`history.jsonl` in a workdir: when, by which command, code and machine a run was started."""

import datetime
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax

from wav2pix_jax.common.files import writing

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "pillow")


def record_start(workdir: Path, step: int) -> None:
  """Appends a line about the process that trains from a step on, or raises UserError."""
  line = {
    "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "step": step,
    "command": sys.argv,
    "git": _git_revision(),
    "python": platform.python_version(),
    "packages": {name: metadata.version(name) for name in PACKAGES},
    "devices": devices(),
    "processes": jax.process_count(),
  }
  path = workdir / "history.jsonl"
  with writing(path), path.open("a") as file:
    file.write(json.dumps(line) + "\n")


def devices() -> list[str]:
  """Returns platform and kind of each device."""
  return [f"{device.platform}: {device.device_kind}" for device in jax.devices()]


def _git_revision() -> str | None:
  """Returns the commit of this code, with "-dirty" if files were changed; None outside git."""
  command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
  try:
    run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
  except OSError:  # git is not installed
    return None
  return run.stdout.strip() or None
