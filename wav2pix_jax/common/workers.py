"""Worker processes, one per core, which end with their parent."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection

import cv2

from wav2pix_jax.common.errors import UserError


class CrashedError(UserError):
  """A worker process ended before its job."""


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
  """Yields a pool of one process per core, at most `jobs`, and terminates it if the block fails.

  Raises:
    CrashedError: A worker crashed or was killed, for example for lack of memory.
  """
  pool = start_workers(jobs)
  try:
    with naming_crashes():
      yield pool
      pool.shutdown()
  except BaseException:
    for child in multiprocessing.active_children():
      child.terminate()
    pool.shutdown(cancel_futures=True)
    raise


@contextlib.contextmanager
def naming_crashes() -> Iterator[None]:
  """Raises CrashedError where a worker crashed or was killed while the block waited for it."""
  try:
    yield
  except BrokenProcessPool as error:
    raise CrashedError(
      "a worker process was killed, perhaps for lack of memory; free some, and run this again."
    ) from error


def start_workers(jobs: int, prepare: Callable[[], object] | None = None) -> ProcessPoolExecutor:
  """Returns a pool of one process per core, at most `jobs`, each of which calls `prepare` first."""
  # spawn, as forking a process that runs JAX can hang
  spawn = multiprocessing.get_context("spawn")
  return ProcessPoolExecutor(max(1, min(cores(), jobs)), spawn, _begin, (prepare,))


def cores() -> int:
  """Returns the number of cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _begin(prepare: Callable[[], object] | None) -> None:
  """Makes a worker leave Ctrl-C to its parent, end with its parent, and use one core."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()
  cv2.setNumThreads(1)
  if prepare:
    prepare()


def _end_with_parent() -> None:
  parent = multiprocessing.parent_process()
  assert parent
  connection.wait([parent.sentinel])
  os._exit(1)
