"""The progress of a run on the terminal, or as lines in a log file."""

import sys
import time

import tqdm

SECONDS = 30  # between lines where standard error is not a terminal


class Progress:
  """A progress bar; where standard error is not a terminal, a line every half minute."""

  def __init__(self, title: str, done: int, total: int, step_size: int, shown: bool = True):
    """Shows that `done` of `total` steps, each of `step_size` faces, are finished, if `shown`."""
    self._title, self._done, self._total, self._size = title, done, total, step_size
    self._shown, self._terminal = shown, sys.stderr.isatty()
    self._began = self._said = time.monotonic()
    self._first = done
    self._bar = tqdm.tqdm(
      desc=title,
      total=total * step_size,
      initial=done * step_size,
      unit=" faces",
      mininterval=1,
      disable=not (shown and self._terminal),
    )

  def step(self) -> None:
    """Counts a step."""
    self._done += 1
    self._bar.update(self._size)
    now = time.monotonic()
    if self._shown and not self._terminal and now - self._said >= SECONDS:
      self._said = now
      rate = (self._done - self._first) / (now - self._began)
      left = (self._total - self._done) / rate / 60
      print(
        f"{self._title}: step {self._done:,} of {self._total:,}, {rate * self._size:,.0f} faces/s, "
        f"{left:,.1f} minutes left",
        file=sys.stderr,
        flush=True,
      )

  def write(self, line: str) -> None:
    """Prints a line to standard output without breaking the bar."""
    if self._shown:
      self._bar.write(line, file=sys.stdout)

  def close(self) -> None:
    """Ends the bar."""
    self._bar.close()
