"""Worker processes that make clips and videos, one per core, and end with their parent."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
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
  cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
  # spawn, as forking a process that runs JAX can hang
  spawn = multiprocessing.get_context("spawn")
  pool = ProcessPoolExecutor(max(1, min(cores or 1, jobs)), spawn, _begin)
  try:
    yield pool
    pool.shutdown()
  except BaseException as error:
    for child in multiprocessing.active_children():
      child.terminate()
    pool.shutdown(cancel_futures=True)
    if isinstance(error, BrokenProcessPool):
      raise CrashedError(
        "a worker process was killed, perhaps for lack of memory; free some, and run this again."
      ) from error
    raise


def _begin() -> None:
  """Makes a worker leave Ctrl-C to its parent, end with its parent, and use one core."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()
  cv2.setNumThreads(1)


def _end_with_parent() -> None:
  parent = multiprocessing.parent_process()
  assert parent
  connection.wait([parent.sentinel])
  os._exit(1)
