"""How the C library gives memory back: on a CPU, JAX's arrays come from it."""

import ctypes

# glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
  """Large arrays that were freed stay with the process, for the next ones.

  By default glibc returns each to the system, and the kernel clears a training step's arrays
  again and again. To be called before there are threads; does nothing without glibc.
  """
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):
    return
  mallopt(M_ARENA_MAX, 1)  # other arenas cannot grow beyond 64 MiB
  mallopt(M_MMAP_MAX, 0)
  mallopt(M_TRIM_THRESHOLD, -1)  # never: a step may free more than the 2 GiB that fit here
  mallopt(M_TOP_PAD, 2**28)
