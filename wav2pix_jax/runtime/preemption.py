"""Leaving in good order: on SIGTERM (a cluster is about to take the machine) and on Ctrl-C."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


class Stopped(Exception):  # noqa: N818, no error
  """A run that was asked to stop, and did, with its state saved.

  Attributes:
    status: of the program: 128 and the signal's number, as a shell has it.
  """

  def __init__(self, line: str, number: int):
    super().__init__(line)
    self.status = 128 + number


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[int], int]]:
  """While open, a signal to stop is kept instead of ending the program.

  Several processes have to stop after the same step, though the signal does not reach them at the
  same moment: there JAX's preemption service agrees on the step. It listens to SIGTERM, which
  Ctrl-C is then turned into.

  Yields:
    A function to be called after every step with its number: the signal that asks to stop after
    this step, 0 if none does. A second Ctrl-C in a single process ends the program at once.
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
