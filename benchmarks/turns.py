"""Sides of a comparison, timed in turns, each in a process of its own with its defaults."""

import argparse
import datetime
import importlib.metadata
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

Work = Callable[[], None]
PAUSE = 0.3  # seconds between turns, in which a library's threads stop spinning
PATIENCE = 10  # seconds for a side to leave by itself
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")


def parser(description: str) -> argparse.ArgumentParser:
  """With the flags that all comparisons have."""
  arguments = argparse.ArgumentParser(description=description)
  arguments.add_argument("--rounds", type=int, default=5, help="turns of each side (default 5)")
  arguments.add_argument("--json", type=Path, help="a file for the figures")
  return arguments


def take(sides: Mapping[str, Callable[[], Work]], rounds: int) -> dict[str, np.ndarray]:
  """Seconds [rounds] that the work of each side takes.

  Args:
    sides: by name, what a fresh process calls to get ready; it returns the work. To be pickled.
    rounds: how often each side works, one side after the other.
  """
  context = multiprocessing.get_context("spawn")
  seconds: dict[str, list[float]] = {side: [] for side in sides}
  lines: dict[str, Connection] = {}
  processes = []
  try:
    with tqdm.tqdm(total=len(sides) * (rounds + 1), unit=" turns") as bar:
      for side, start in sides.items():
        bar.set_description(f"Starting {side}")
        lines[side], other = context.Pipe()
        processes.append(context.Process(target=_serve, args=(start, other), daemon=True))
        processes[-1].start()
        other.close()
        lines[side].recv()
        bar.update()
      for _ in range(rounds):
        for side, line in lines.items():
          bar.set_description(side)
          time.sleep(PAUSE)
          line.send(True)
          seconds[side].append(line.recv())
          bar.update()
    for line in lines.values():
      line.send(False)
    for process in processes:
      process.join(PATIENCE)
  except EOFError:
    sys.exit("a side failed; what it printed stands above.")
  finally:
    for process in processes:
      process.kill()
  return {side: np.array(times) for side, times in seconds.items()}


def _serve(start: Callable[[], Work], line: Connection) -> None:
  work = start()
  work()  # compiles, and touches its memory
  line.send(True)
  while line.recv():
    before = time.perf_counter()
    work()
    line.send(time.perf_counter() - before)


def ratio(seconds: Mapping[str, np.ndarray], ours: str, theirs: str) -> list[float]:
  """How many times as fast ours is: the median of the rounds, the least and the most."""
  ratios = seconds[theirs] / seconds[ours]
  return [round(float(x), 3) for x in (np.median(ratios), ratios.min(), ratios.max())]


def write(path: Path | None, figures: Mapping[str, Any]) -> None:
  """The figures as JSON, if there is a path, with where and when they were measured."""
  if path:
    about = {"command": " ".join(sys.argv), "machine": machine(), "versions": versions()}
    date = datetime.date.today().isoformat()
    path.write_text(json.dumps({**about, "date": date, **figures}, indent=2) + "\n")


def machine() -> str:
  """The processor, in words."""
  info = Path("/proc/cpuinfo")
  lines = info.read_text().splitlines() if info.exists() else []
  names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
  return f"{len(names)} cores of {names[0]}" if names else platform.machine()


def versions() -> dict[str, str]:
  """Of the packages that a comparison is about, as far as they are installed."""
  installed = {of.metadata["Name"]: of.version for of in importlib.metadata.distributions()}
  return {name: installed[name] for name in PACKAGES if name in installed}


def matrix_products() -> dict[str, Callable[[], Work]]:
  """Sides that multiply large float32 matrices: the ceiling of all that is made of products."""
  return {"matrix product, JAX": _jax_product, "matrix product, PyTorch": _torch_product}


SIDE, PRODUCTS = 3072, 4
PRODUCT_FLOP = PRODUCTS * 2 * SIDE**3


def _jax_product() -> Work:
  import jax
  import jax.numpy as jnp

  x = jnp.ones((SIDE, SIDE))
  product = jax.jit(jnp.matmul)

  def work() -> None:
    for _ in range(PRODUCTS):
      product(x, x).block_until_ready()

  return work


def _torch_product() -> Work:
  import torch

  x = torch.ones(SIDE, SIDE)

  def work() -> None:
    for _ in range(PRODUCTS):
      x @ x

  return work


def ceiling(seconds: Mapping[str, np.ndarray]) -> float:
  """The most operations a second that any turn of `matrix_products` reached."""
  return max(PRODUCT_FLOP / seconds[side].min() for side in matrix_products())
