"""Files that a killed process cannot leave in a state that the next one trusts."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from wav2pix_jax.common.errors import UserError

SOFT_LOCK = ".lock.soft"
# Errors of file systems without flock: Lustre without its option, NFS without its daemon.
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
INCOMPLETE = "incomplete"  # ends the name of what is not complete; TFDS's names begin with it


@contextlib.contextmanager
def exclusively(folder: Path, wait: bool = True) -> Iterator[None]:
  """Lets one process at a time work in a folder, and removes what a killed one left incomplete.

  The folder is created if necessary. The lock is the operating system's, on a file `.lock`: it ends
  with the process that holds it. On a file system without locks, a file stands for it.

  Raises:
    UserError: Another process holds the lock and `wait` is False, or the folder cannot be written.
  """
  with writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
    try:
      lock = _acquired(folder, timeout=-1 if wait else 0)
    except filelock.Timeout as error:  # it is an OSError, too
      if_none = f" (if there is none, remove {SOFT_LOCK} in it)" if SOFT_LOCK in str(error) else ""
      raise UserError(
        f"{folder} is in use by another run{if_none}; wait until it ends, or name another folder."
      ) from error
  try:
    for left in (*folder.glob(f"*.{INCOMPLETE}"), *folder.glob(f"{INCOMPLETE}.*")):
      _remove(left)
    yield
  finally:
    lock.release()


def _acquired(folder: Path, timeout: float) -> filelock.BaseFileLock:
  """Returns a lock that this process holds; where the file system has none, of a file's existence.

  Of a killed process on this machine, such a file is recognised as left over.
  """
  lock: filelock.BaseFileLock = filelock.FileLock(folder / ".lock", timeout=timeout)
  try:
    lock.acquire()
  except filelock.Timeout:
    raise
  except OSError as error:
    if error.errno not in NO_LOCKS:
      raise
    warnings.warn(f"{folder}: this file system has no locks; a file stands for one", stacklevel=2)
    lock = filelock.SoftFileLock(folder / SOFT_LOCK, timeout=timeout)
    lock.acquire()
  return lock


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
  """Turns an OSError into a UserError that names what cannot be written, as on a full disk."""
  try:
    yield
  except OSError as error:
    reason = error.strerror or str(error)
    raise UserError(f"{path}: cannot be written ({reason}); make room, or name another.") from error


def check_writable(folder: Path) -> None:
  """Raises UserError if nothing can be written into a folder, whether it exists yet or not."""
  with writing(folder):
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    tempfile.TemporaryFile(dir=there).close()


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


def expanded(path: str | os.PathLike[str]) -> Path:
  """Returns a path with `~` expanded; raises UserError if there is no such home directory."""
  try:
    return Path(path).expanduser()
  except RuntimeError as error:
    raise UserError(f"{path}: there is no such home directory; write the path in full.") from error


def from_json(text: str) -> Any:
  """Returns what a JSON text says; raises ValueError if it is none, or nested too deeply."""
  try:
    return json.loads(text)
  except RecursionError as error:
    raise ValueError("nested too deeply") from error


def fill_template(template: Path, data: Any) -> str:
  """Returns an HTML template with `data` as JSON in place of `/*DATA*/null`.

  Every "<" is escaped, so that a name with "</script>" in it cannot end the script.
  """
  content = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
  return template.read_text(encoding="utf-8").replace("/*DATA*/null", content)


def _remove(path: Path) -> None:
  shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
