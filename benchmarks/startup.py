"""Start-up time: of help, of the demo's first logged step, of a face from a recording.

python -m benchmarks.startup
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import turns

FIRST = "step 20:"  # the first line of losses; log_every is 20
STEPS = 20
LIMITS = {"help": 1.0, "demo, warm": 20.0, "sample": 6.0}  # seconds
MEMORY = 2048  # MiB


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__, rounds=False)
  parser.add_argument("--data_dir", default="data", help="folder of prepared datasets")
  flags = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}

    def seconds(*arguments: str, until: str = "") -> tuple[float, int]:
      return _seconds([sys.executable, "main.py", *arguments], environment, until)

    def demo(name: str) -> tuple[float, int]:
      return seconds(
        *("--config=configs/demo.py", f"--config.num_steps={STEPS}"),
        *(f"--config.dataset.data_dir={flags.data_dir}", f"--workdir={folder}/{name}"),
        until=FIRST,
      )

    print("Preparing what is kept between runs: the data and the identity classifier.", flush=True)
    demo("first")
    environment["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/anew"
    taken = {"help": seconds("--help")[0]}
    taken["demo, cold"], _ = demo("cold")
    taken["demo, warm"], memory = demo("warm")
    recording = next(Path(folder, "warm/samples/held_out").iterdir())
    sample = ("--mode=sample", f"--workdir={folder}/warm", f"--speech={recording}")
    seconds(*sample, f"--out={folder}/a")
    taken["sample"], _ = seconds(*sample, f"--out={folder}/b")
  print(turns.machine())
  turns.show({what: {"seconds": took, "limit": LIMITS.get(what)} for what, took in taken.items()})
  print(f"peak memory of the demo: {memory} MiB (limit {MEMORY} MiB)")
  ratio = taken["demo, cold"] / taken["demo, warm"]
  print(f"the compilation cache makes the demo start {ratio:.1f} times as fast")
  turns.write(flags.json, {"seconds": taken, "peak_mib": memory, "ratio": round(ratio, 3)})


def _seconds(command: list[str], environment: dict[str, str], until: str) -> tuple[float, int]:
  """Returns the seconds until a line begins with `until`, or the end, and the peak memory, MiB."""
  start, seen = time.perf_counter(), None
  process = subprocess.Popen(
    command,
    env=environment | {"PYTHONUNBUFFERED": "1"},
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  assert process.stdout
  lines = []
  for line in process.stdout:
    lines.append(line)
    if until and line.startswith(until) and seen is None:
      seen = time.perf_counter() - start
  _, status, usage = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  if until and seen is None or (process.returncode and "--help" not in command):
    sys.exit(f"{' '.join(command)} failed:\n{''.join(lines[-20:])}")
  return seen or time.perf_counter() - start, usage.ru_maxrss // 1024


if __name__ == "__main__":
  main()
