"""Files that a killed process cannot leave in a state that the next one trusts."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from wav2pix_jax.common.errors import UserError

INCOMPLETE = "incomplete"  # ends the name of what is not complete; TFDS's names begin with it


@contextlib.contextmanager
def exclusively(folder: Path, wait: bool = True) -> Iterator[None]:
  """Lets one process at a time work in a folder, and removes what a killed one left incomplete.

  The folder is created if necessary. The lock is the operating system's, on a file `.lock`: it ends
  with the process that holds it.

  Raises:
    UserError: Another process holds the lock and `wait` is False, or the folder cannot be written.
  """
  lock = filelock.FileLock(folder / ".lock", timeout=-1 if wait else 0)
  with writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
    try:
      lock.acquire()
    except filelock.Timeout as error:  # it is an OSError, too
      raise UserError(
        f"{folder} is in use by another run; wait until it ends, or name another folder."
      ) from error
  try:
    for left in (*folder.glob(f"*.{INCOMPLETE}"), *folder.glob(f"{INCOMPLETE}.*")):
      _remove(left)
    yield
  finally:
    lock.release()


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
  """Turns an OSError into a UserError that names what cannot be written, as on a full disk."""
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


def make_once(path: Path, make: Callable[[Path], None]) -> None:
  """Creates a file or folder unless it exists; it appears whole, and one process makes it.

  `make` writes it at the path that it is given.

  Raises:
    UserError: It cannot be written.
  """
  if not path.exists():
    with exclusively(path.parent):
      if not path.exists():  # otherwise another process has just made it
        with atomically(path) as incomplete:
          make(incomplete)


def write_whole(path: Path, content: str | bytes) -> None:
  """Writes a file that appears whole or not at all; its folder is created if necessary.

  Raises UserError if it cannot be written.
  """
  with atomically(path) as incomplete:
    incomplete.write_bytes(content.encode() if isinstance(content, str) else content)


def fill_template(template: Path, data: Any) -> str:
  """Returns an HTML template with `data` as JSON in place of `/*DATA*/null`.

  Every "<" is escaped, so that a name with "</script>" in it cannot end the script.
  """
  content = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
  return template.read_text(encoding="utf-8").replace("/*DATA*/null", content)


def _remove(path: Path) -> None:
  shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
