"""A profile of some training steps, for TensorBoard or Perfetto."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

SKIPPED = 20  # steps before the profile begins: they compile and warm up


Profile = Callable[[Any], None]  # to call after each step with arrays that it computed


@contextmanager
def profile(folder: Path, steps: int) -> Iterator[Profile]:
  """Yields a function to call after each step, which profiles `steps` of them after the first 20.

  The trace is written into `folder`, also when the run ends earlier. TensorBoard's profile plugin
  opens the folder, and https://ui.perfetto.dev the file `perfetto_trace.json.gz` in it. There is
  none if `steps` is 0.
  """
  count, running = 0, False

  def stop(done: Any) -> None:
    nonlocal running
    jax.block_until_ready(done)
    jax.profiler.stop_trace()
    running = False
    print(f"The profile of {count - SKIPPED} steps is in {folder}.")

  def after_step(done: Any) -> None:
    nonlocal count, running
    count += 1
    if steps and count == SKIPPED:
      jax.block_until_ready(done)
      jax.profiler.start_trace(str(folder), create_perfetto_trace=True)
      running = True
    elif running and count == SKIPPED + steps:
      stop(done)

  try:
    yield after_step
  finally:
    if running:
      stop(None)
