"""Kills training at random moments, starts it again, and compares the ends with runs never killed.

    python tests/kills.py --kills=20 --seeds=3

Each kill is a SIGKILL in a fresh workdir: at any moment, while a checkpoint is being written, or
while the prepared data is. Then the same command runs to its end. The ends are equal where
parameters, optimizer states, statistics, averages and all later losses are, to the bit. A small
dataset and small networks; about ten minutes on two cores.
"""

import argparse
import dataclasses
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import conftest  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import small_release  # noqa: E402
from absl import logging  # noqa: E402
from tensorboardX.proto import event_pb2  # noqa: E402

from wav2pix_jax.runtime import checkpoint  # noqa: E402
from wav2pix_jax.train_state import GanState  # noqa: E402

STEPS, SAVE_EVERY = 40, 4
MOMENTS = ("any", "saving", "preparing")
TIMES = ("seconds_waiting_for_data", "faces_per_second")  # metrics that vary


@dataclasses.dataclass
class Kill:
  """What a kill met and how the run went on.

  Attributes:
    seconds: after the start.
    saved: step of the last whole checkpoint at the kill; 0 without one.
    half_written: whether a checkpoint or prepared data was.
    resumed: step that the next start resumed from.
    differences: what is not equal at the end.
  """

  seconds: float
  saved: int
  half_written: bool
  resumed: int
  differences: list[str]


class Runs:
  """Runs of one small config.

  Args:
    folder: for the release, the prepared data and the workdirs.
    flags: for XLA.
  """

  def __init__(self, folder: Path, flags: str = ""):
    self._folder, self._flags = folder, flags
    self._usual = 0.0  # seconds of a whole run with data and compiled programs at hand
    self.release = small_release.make(folder / "release").folder

  def start(self, workdir: Path, data_dir: Path, seed: int) -> subprocess.Popen:
    """The training command, running."""
    fields = {"seed": seed, "num_steps": STEPS, "save_every": SAVE_EVERY, "eval_every": 8}
    command = conftest.training_command(workdir, self.release, data_dir, **fields)
    environment = conftest.environment(XLA_FLAGS=self._flags)
    log = (workdir.parent / f"{workdir.name}.log").open("a")
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

  def finish(self, workdir: Path, data_dir: Path, seed: int) -> None:
    """The training command, to its end."""
    begun = time.perf_counter()
    if self.start(workdir, data_dir, seed).wait():
      raise RuntimeError((workdir.parent / f"{workdir.name}.log").read_text())
    self._usual = time.perf_counter() - begun

  def kill(self, reference: Path, seed: int, moment: str, rng: random.Random) -> Kill:
    """Kills a fresh run at a moment, finishes it, and compares it with the reference."""
    folder = Path(tempfile.mkdtemp(dir=self._folder))
    workdir, data_dir = folder / "run", folder / "data"
    if moment != "preparing":
      shutil.copytree(reference.parent / "data", data_dir)
    begun = time.perf_counter()
    process = self.start(workdir, data_dir, seed)
    if moment == "any":
      _wait(process, rng.uniform(0, self._usual))
    elif moment == "saving":
      saves = rng.randrange(1, STEPS // SAVE_EVERY)
      while process.poll() is None and _saved(workdir) < SAVE_EVERY * (saves - 1):
        time.sleep(0.001)
      _wait_for(process, workdir / "checkpoints", "*tmp*")
      time.sleep(rng.uniform(0, 0.05))
    else:
      _wait_for(process, data_dir, "**/*incomplete*/*")
      time.sleep(rng.uniform(0, 1.0))
    process.kill()
    process.wait()
    seconds, saved = time.perf_counter() - begun, _saved(workdir)
    half_written = any((workdir / "checkpoints").glob("*tmp*")) or any(
      data_dir.glob("**/*incomplete*")
    )
    self.finish(workdir, data_dir, seed)
    log = (folder / "run.log").read_text()
    resumed = int(log.rpartition("Resuming from step ")[2].split()[0]) if "Resuming" in log else 0
    found = differences(reference, workdir, resumed)
    return Kill(seconds, saved, half_written, resumed, found)


def _latest(workdir: Path) -> GanState:
  return checkpoint.load(workdir, _saved(workdir)).state


def differences(reference: Path, other: Path, resumed: int) -> list[str]:
  """What differs between two ends: leaves of the state, and losses after a step."""
  states = [jax.tree.leaves_with_path(_latest(path)) for path in (reference, other)]
  found = [
    jax.tree_util.keystr(path)
    for (path, a), (_, b) in zip(*states, strict=True)
    if not np.array_equal(a, b)
  ]
  expected, values = scalars(reference), scalars(other)
  for step, at_step in expected.items():
    for name, value in at_step.items():
      if step > resumed and name not in TIMES and values[step][name] != value:
        found.append(f"{name} at step {step}")
  return found + [f"leftover {path}" for path in other.rglob("*tmp*")]


def scalars(workdir: Path) -> dict[int, dict[str, float]]:
  """step -> name -> value of all event files, the later ones' where steps were repeated."""
  found: dict[int, dict[str, float]] = {}
  files = (workdir / "tensorboard").iterdir()
  for path in sorted(files, key=lambda path: path.stat().st_mtime):
    data = path.read_bytes()
    while len(data) > 12:
      size = int.from_bytes(data[:8], "little")
      if len(data) < size + 16:
        break  # half-written when the process was killed
      event = event_pb2.Event.FromString(data[12 : 12 + size])
      for value in event.summary.value:
        if value.HasField("simple_value"):
          found.setdefault(event.step, {})[value.tag] = value.simple_value
      data = data[12 + size + 4 :]
  return found


def _saved(workdir: Path) -> int:
  names = [path.name for path in (workdir / "checkpoints").glob("*")]
  return max((int(name) for name in names if name.isdigit()), default=0)


def _wait(process: subprocess.Popen, seconds: float) -> None:
  end = time.perf_counter() + seconds
  while process.poll() is None and time.perf_counter() < end:
    time.sleep(0.001)


def _wait_for(process: subprocess.Popen, folder: Path, pattern: str) -> None:
  while process.poll() is None and not any(folder.glob(pattern)):
    time.sleep(0.001)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--kills", type=int, default=20)
  parser.add_argument("--seeds", type=int, default=3)
  args = parser.parse_args()
  logging.set_verbosity(logging.ERROR)
  rng, equal = random.Random(0), 0
  with tempfile.TemporaryDirectory() as name:
    runs = Runs(Path(name))
    references = []
    for seed in range(args.seeds):
      folder = Path(name, f"seed{seed}")
      folder.mkdir()
      runs.finish(folder / "run", folder / "data", seed)
      references.append(folder / "run")
    print("kill  seed  moment      after  half-written  last save  resumed from  end", flush=True)
    for i in range(args.kills):
      seed, moment = i % args.seeds, rng.choice(MOMENTS)
      kill = runs.kill(references[seed], seed, moment, rng)
      good = not kill.differences and kill.saved == kill.resumed
      equal += good
      end = "equal" if good else f"DIFFERS: {', '.join(kill.differences[:3])}"
      print(
        f"{i + 1:4d}  {seed:4d}  {moment:9s} {kill.seconds:5.1f} s  "
        f"{'yes' if kill.half_written else 'no':>12s}  {kill.saved:9d}  "
        f"{kill.resumed:12d}  {end}",
        flush=True,
      )
  print(f"{equal} of {args.kills} ends equal")
  sys.exit(equal != args.kills)


if __name__ == "__main__":
  main()
