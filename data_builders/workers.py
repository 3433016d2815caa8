"""Processes that make clips and videos, one for each core, and end with the one that needs them."""

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


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
  """A process for each core, if there are as many jobs; ended at once where the block fails.

  Raises:
    UserError: a worker was ended from outside, as for lack of memory.
  """
  # spawned, as forking a process that runs JAX can hang
  spawn = multiprocessing.get_context("spawn")
  pool = ProcessPoolExecutor(max(1, min(_cores(), jobs)), spawn, _begin)
  try:
    yield pool
    pool.shutdown()
  except BaseException as error:
    for child in multiprocessing.active_children():
      child.terminate()
    pool.shutdown(cancel_futures=True)
    if isinstance(error, BrokenProcessPool):
      raise UserError(
        "a worker process was ended, perhaps for lack of memory; free some, and start again."
      ) from error
    raise


def _cores() -> int:
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _begin() -> None:
  """Leaves Ctrl-C to the parent, ends when it does, and uses one core."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()
  cv2.setNumThreads(1)


def _end_with_parent() -> None:
  parent = multiprocessing.parent_process()
  assert parent
  connection.wait([parent.sentinel])
  os._exit(1)
