"""Where the time of a training step goes, by the names that XLA gives its parts.

python -m benchmarks.profile_step --config=release --image_size=128 --batch_size=16

The times of parts that run in parallel are added up. On a CPU, start it with `taskset -c 0`, so
that the time of a part does not include waiting for others.
"""

import tempfile
from collections import Counter
from pathlib import Path

import jax

from benchmarks import jax_side, train_step, turns

STEPS = 5
# Words in the names of XLA and its libraries, in the order in which they are searched for.
KINDS = {
  "products": ("ynn_fusion", "dot", "conv", "gemm", "xmma", "cutlass", "cudnn", "nvjet"),
  "copies": ("copy", "concatenate", "transpose", "pad", "slice", "memcpy", "bitcast"),
  "random numbers": ("rng", "threefry"),
  "communication": ("all-reduce", "nccl"),
}
REST = "sums and others"


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__, rounds=False)
  parser.add_argument("--config", default="release", choices=jax_side.CONFIGS)
  parser.add_argument("--image_size", type=int, default=128)
  parser.add_argument("--batch_size", type=int, default=16)
  parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
  parser.add_argument("--top", type=int, default=20, help="number of parts to show (default 20)")
  flags = parser.parse_args()
  side = train_step.Side("", flags.config, flags.precision)
  work = side.start(flags.image_size, flags.batch_size, STEPS)
  work()
  parts = _traced(work)
  whole = sum(parts.values())
  kinds = Counter[str]()
  for name, seconds in parts.items():
    kinds[_kind(name)] += seconds

  def rows(of: Counter[str], most: int) -> dict[str, dict[str, float]]:
    return {
      name: {"milliseconds": 1e3 * seconds / STEPS, "share": round(seconds / whole, 4)}
      for name, seconds in of.most_common(most)
    }

  print(
    f"{turns.machine()}; configs/{flags.config}.py in {flags.precision}, {flags.image_size} px, "
    f"batch {flags.batch_size}: {1e3 * whole / STEPS:.1f} ms per step"
  )
  turns.show(rows(kinds, len(kinds)))
  print()
  turns.show(rows(parts, flags.top))
  turns.write(
    flags.json,
    {
      "milliseconds": 1e3 * whole / STEPS,
      "ratio": round(kinds["products"] / whole, 3),
      "kinds": rows(kinds, len(kinds)),
      "parts": rows(parts, 100),
    },
  )


def _traced(work: turns.Work) -> Counter[str]:
  """Returns the seconds of each part of the work, on a GPU if there is one, else on all threads."""
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      work()
    (path,) = Path(folder).rglob("*.xplane.pb")
    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
  on_gpu = [plane for plane in planes if plane.name.startswith("/device:GPU")]
  parts = Counter[str]()
  for plane in on_gpu or planes:
    for line in plane.lines:
      if line.name.startswith("Stream" if on_gpu else "tf_"):
        for event in line.events:
          if "::" not in event.name:  # the runtime's own events
            parts[event.name] += event.duration_ns / 1e9
  return parts


def _kind(part: str) -> str:
  for kind, words in KINDS.items():
    if any(word in part.lower() for word in words):
      return kind
  return REST


if __name__ == "__main__":
  main()
