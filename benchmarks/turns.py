"""Comparisons: the sides are timed in turns, each in its own process with its default settings."""

import argparse
import dataclasses
import datetime
import functools
import importlib.metadata
import json
import multiprocessing
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

Work = Callable[[], None]
PAUSE = 0.3  # seconds between turns, so that a library's threads stop spinning
PATIENCE = 10  # seconds for a side to end by itself
LONGEST_START = 180  # seconds for a side to compile on a GPU, whose time is dear
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")


def parser(doc: str, rounds: bool = True) -> argparse.ArgumentParser:
  """Returns a parser with the flags of all benchmarks, and of comparisons if `rounds`.

  It is described by the first line of a module's docstring.
  """
  arguments = argparse.ArgumentParser(description=doc.partition("\n")[0])
  if rounds:
    arguments.add_argument("--rounds", type=int, default=5, help="turns per side (default 5)")
  arguments.add_argument("--json", type=Path, help="file for the figures")
  return arguments


@dataclasses.dataclass(frozen=True)
class Taken:
  """The measurements of a side."""

  seconds: np.ndarray  # of each turn, float [rounds]
  peak_mib: int | None  # peak of the GPU's memory, MiB; None without a GPU

  @property
  def median(self) -> float:
    """Median of the seconds of a turn."""
    return float(np.median(self.seconds))

  def rates(self, count: float) -> list[float]:
    """Returns how many things per second, of `count` a turn: median, least and most."""
    return spread(count / self.seconds)


def take(sides: Mapping[str, Callable[[], Work]], rounds: int) -> dict[str, Taken]:
  """Returns how long the work of each side takes.

  On a CPU, whose speed varies with the load of its neighbours, the sides take turns. On a GPU each
  side has all its turns before the next one starts, since one alone may fill the memory. Its time
  is printed at once, since compiling the next one may take minutes. One that fails is left out,
  as is one that takes longer than `LONGEST_START` until its first turn.

  Args:
    sides: By name, a function that prepares a side in a new process and returns its work; it is
      pickled.
    rounds: Number of turns per side.
  """
  groups = [{side: start} for side, start in sides.items()] if gpu() else [dict(sides)]
  taken: dict[str, Taken] = {}
  with tqdm.tqdm(total=len(sides) * (rounds + 1), unit=" turns") as bar:
    for group in groups:
      try:
        taken |= _take_in_turns(group, rounds, bar)
        if len(groups) > 1:
          for side in group:
            tqdm.tqdm.write(f"{side}: {taken[side].median:.4f} s per turn")
      except EOFError:
        line = f"a side of {', '.join(group)} failed; its output is above."
        if len(groups) == 1:
          sys.exit(line)
        print(line)
      except TimeoutError:
        print(f"{', '.join(group)} did not start within {LONGEST_START} s, and is left out.")
  return taken


def _take_in_turns(
  sides: Mapping[str, Callable[[], Work]], rounds: int, bar: tqdm.tqdm
) -> dict[str, Taken]:
  context = multiprocessing.get_context("spawn")
  seconds: dict[str, list[float]] = {side: [] for side in sides}
  peaks: dict[str, int | None] = {}
  lines: dict[str, Connection] = {}
  processes = []
  try:
    for side, start in sides.items():
      bar.set_description(f"Starting {side}")
      lines[side], other = context.Pipe()
      processes.append(context.Process(target=_serve, args=(start, other), daemon=True))
      processes[-1].start()
      other.close()
      if gpu() and not lines[side].poll(LONGEST_START):
        raise TimeoutError
      lines[side].recv()
      bar.update()
    for _ in range(rounds):
      for side, line in lines.items():
        bar.set_description(side)
        time.sleep(PAUSE)
        line.send(True)
        seconds[side].append(line.recv())
        bar.update()
    for side, line in lines.items():
      line.send(False)
      peaks[side] = line.recv()
    for process in processes:
      process.join(PATIENCE)
  finally:
    for process in processes:
      process.kill()
  return {side: Taken(np.array(seconds[side]), peaks[side]) for side in sides}


def _serve(start: Callable[[], Work], line: Connection) -> None:
  work = start()
  work()  # compiles, and allocates its memory
  line.send(True)
  while line.recv():
    before = time.perf_counter()
    work()
    line.send(time.perf_counter() - before)
  line.send(_peak_mib())


def _peak_mib() -> int | None:
  """Returns this process's peak of GPU memory, by the library that uses it; None without a GPU."""
  if "torch" in sys.modules:
    torch = sys.modules["torch"]
    return torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else None
  if "jax" in sys.modules:
    stats = sys.modules["jax"].local_devices()[0].memory_stats()
    return stats["peak_bytes_in_use"] >> 20 if stats else None
  return None


def ratio(taken: Mapping[str, Taken], ours: str, theirs: str) -> list[float]:
  """Returns how many times as fast ours is: median, least and most of the rounds."""
  return spread(taken[theirs].seconds / taken[ours].seconds)


def ratios(
  taken: Mapping[str, Taken], compared: Iterable[tuple[str, str]]
) -> dict[str, list[float]]:
  """Prints and returns the ratio of each pair (ours, theirs) of which both were taken."""
  found = {}
  for ours, theirs in compared:
    if ours in taken and theirs in taken:
      found[f"{ours} / {theirs}"] = (median, least, most) = ratio(taken, ours, theirs)
      print(f"{ours} is {median:.2f} times as fast as {theirs} ({least:.2f} to {most:.2f})")
  return found


def spread(values: np.ndarray) -> list[float]:
  """Returns median, least and most of some values, rounded."""
  return [round(float(x), 3) for x in (np.median(values), values.min(), values.max())]


def show(rows: Mapping[str, Mapping[str, Any]]) -> None:
  """Prints a table of rows by name, each with cells by column.

  A cell is a number, a text, None, or what `spread` returns.
  """
  columns = list(dict.fromkeys(column for row in rows.values() for column in row))
  lines = [["", *columns]]
  lines += [[name, *(_cell(row.get(column)) for column in columns)] for name, row in rows.items()]
  widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
  for name, *cells in lines:
    right = (f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
    print(f"{name:{widths[0]}}{''.join(right)}".rstrip())


def _cell(value: Any) -> str:
  if isinstance(value, list):
    median, least, most = map(_cell, value)
    return f"{median} ({least} to {most})"
  if isinstance(value, float):
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3f}"
  return "" if value is None else f"{value:,}" if isinstance(value, int) else value


def write(path: Path | None, figures: Mapping[str, Any]) -> None:
  """Writes the figures as JSON, if there is a path, with the machine, the versions and the date."""
  if path:
    about = {"command": " ".join(sys.argv), "machine": machine(), "versions": versions()}
    date = datetime.date.today().isoformat()
    path.write_text(json.dumps({**about, "date": date, **figures}, indent=2) + "\n")


@functools.cache
def gpu() -> str | None:
  """Returns the GPU that the benchmarks run on; None without one."""
  if not shutil.which("nvidia-smi"):
    return None
  command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
  names = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
  return names[0] if names else None


def machine() -> str:
  """Returns the names of the processor and of the GPU, if there is one."""
  info = Path("/proc/cpuinfo")
  lines = info.read_text().splitlines() if info.exists() else []
  names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
  processor = f"{len(names)} cores of {names[0]}" if names else platform.machine()
  return f"{gpu()}, {processor}" if gpu() else processor


def versions() -> dict[str, str]:
  """Returns the versions of the packages that are compared, as far as they are installed."""
  installed = {of.metadata["Name"]: of.version for of in importlib.metadata.distributions()}
  return {name: installed[name] for name in PACKAGES if name in installed}
