"""Preemption: saving and stopping on SIGTERM (a cluster takes the machine) and on Ctrl-C."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


class Stopped(Exception):  # noqa: N818, it is not an error
  """A run was asked to stop, and has stopped with its state saved.

  Attributes:
    status: The program's exit status, 128 plus the signal's number.
  """

  def __init__(self, line: str, number: int):
    super().__init__(line)
    self.status = 128 + number


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[int], int]]:
  """Records a signal to stop instead of ending the program, while the context is open.

  Several processes must stop after the same step, although the signal does not reach them at the
  same moment. JAX's preemption service, which listens to SIGTERM, makes them agree on the step;
  Ctrl-C is turned into SIGTERM there.

  Yields:
    A function to call after every step with its number. It returns the signal that asks to stop
    after this step, or 0. A second Ctrl-C in a single process ends the program at once.
  """
  received: list[int] = []

  def keep(number, frame):
    if received and number == signal.SIGINT:
      raise KeyboardInterrupt
    received.append(number)

  if jax.process_count() > 1:
    handlers = {signal.SIGINT: lambda number, frame: os.kill(os.getpid(), signal.SIGTERM)}
    reached = multihost_utils.reached_preemption_sync_point
    asked = lambda step: signal.SIGTERM if reached(step) else 0  # noqa: E731
  else:
    handlers = {signal.SIGTERM: keep, signal.SIGINT: keep}
    asked = lambda step: received[0] if received else 0  # noqa: E731
  before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
  try:
    yield asked
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
