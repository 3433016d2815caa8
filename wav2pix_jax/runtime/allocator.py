"""How the C library returns memory: on a CPU, JAX's arrays come from it."""

import ctypes
import os
from importlib import metadata

# glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
  """Keeps large arrays that were freed with the process, for training and sampling on a CPU.

  By default glibc returns each of them to the system, and the kernel clears the arrays of each step
  or batch again. Call it before there are threads. It does nothing without glibc, or where
  JAX has a plugin for an accelerator.
  """
  if os.environ.get("JAX_PLATFORMS") != "cpu" and metadata.entry_points(group="jax_plugins"):
    return
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):
    return
  mallopt(M_ARENA_MAX, 1)  # other arenas cannot grow beyond 64 MiB
  mallopt(M_MMAP_MAX, 0)
  mallopt(M_TRIM_THRESHOLD, -1)  # never: a step may free more than the 2 GiB that fit here
  mallopt(M_TOP_PAD, 2**28)
