"""Choosing indices: spread evenly, or in batches of one size."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tqdm


def spread_evenly(indices: np.ndarray, count: int) -> np.ndarray:
  """Returns up to `count` of the indices, spread evenly."""
  return indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)]


def in_batches(
  forward: Callable[[np.ndarray], Sequence[Any]], count: int, size: int, title: str = ""
) -> list[np.ndarray]:
  """Applies a compiled function to `count` items in batches of one size, the last of them padded.

  Args:
    forward: A function of indices int [size] that returns arrays [size, ...].
    count: Number of items.
    size: Items per batch.
    title: Title of the progress bar; empty for none.

  Returns:
    The arrays, [count, ...].
  """
  outputs = []
  for start in tqdm.trange(0, count, size, desc=title, unit=" batches", disable=not title):
    chosen = np.arange(start, start + size).clip(max=count - 1)
    outputs.append([np.asarray(out)[: count - start] for out in forward(chosen)])
  return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
