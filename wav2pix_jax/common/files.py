"""Files that a killed process cannot leave in a state that the next one trusts."""

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wav2pix_jax.common.errors import UserError

INCOMPLETE = "incomplete"  # ends the name of what is not yet whole; TFDS's names begin with it


@contextlib.contextmanager
def exclusively(folder: Path, wait: bool = True) -> Iterator[None]:
  """One process at a time works in a folder; what a killed one left incomplete there is removed.

  The lock is the kernel's, on a file `.lock`: it ends with the process that holds it.

  Args:
    folder: made where it is missing.
    wait: for the process that is in it; otherwise refuse.

  Raises:
    UserError: not `wait`, and there is another process; or the folder cannot be written.
  """
  with writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise UserError(
        f"{folder} is in use by another run; wait for its end, or name another folder."
      ) from error
    for left in (*folder.glob(f"*.{INCOMPLETE}"), *folder.glob(f"{INCOMPLETE}.*")):
      _remove(left)
    yield


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
  """Names the file or folder in which something cannot be written, as on a full disk.

  Raises:
    UserError: instead of an OSError.
  """
  try:
    yield
  except OSError as error:
    reason = error.strerror or str(error)
    raise UserError(f"{path}: cannot be written ({reason}); make room, or name another.") from error


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
  """Yields the path at which to write a file or folder that appears whole or not at all.

  It is `<name>.incomplete` beside `path`. It is renamed to `path` if the block succeeds, where it
  replaces what was there, and is removed otherwise. The parent folder is created if necessary.

  Raises:
    UserError: An OSError in the block, or in renaming.
  """
  incomplete = path.with_name(f"{path.name}.{INCOMPLETE}")
  with writing(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(incomplete, ignore_errors=True)  # a folder that a killed process left
    try:
      yield incomplete
      if incomplete.is_dir():
        shutil.rmtree(path, ignore_errors=True)
      incomplete.rename(path)
    except BaseException:
      _remove(incomplete)
      raise


def write_whole(path: Path, content: str | bytes) -> None:
  """Writes a file that appears whole or not at all; its folder is made where it is missing.

  Raises:
    UserError: it cannot be written.
  """
  with atomically(path) as incomplete:
    incomplete.write_bytes(content.encode() if isinstance(content, str) else content)


def fill_template(template: Path, data: Any) -> str:
  """Returns a template with `data` as JSON in place of `/*DATA*/null`.

  Every "<" is escaped, so that a name with "</script>" in it cannot end the script.

  Args:
    template: The HTML file.
    data: Anything that `json.dumps` accepts.
  """
  content = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
  return template.read_text(encoding="utf-8").replace("/*DATA*/null", content)


def _remove(path: Path) -> None:
  shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
