"""Files that a killed process cannot leave in a state that the next one trusts."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

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
      shutil.rmtree(left) if left.is_dir() else left.unlink()
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


def write_whole(path: Path, content: str | bytes) -> None:
  """Writes a file that appears whole or not at all; its folder is made where it is missing.

  Raises:
    UserError: it cannot be written.
  """
  incomplete = path.with_name(f"{path.name}.{INCOMPLETE}")
  with writing(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
      incomplete.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError:
      incomplete.unlink(missing_ok=True)
      raise
    incomplete.rename(path)
