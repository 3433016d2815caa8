"""All rates of training that `benchmarks/gpu.sh` has measured so far, the fastest first.

python -m benchmarks.gpu_table runs/gpu
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import turns


def main() -> None:
  """Runs the command line."""
  parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
  parser.add_argument("folder", type=Path)
  found: dict[str, dict[str, Any]] = {}
  for path in sorted(parser.parse_args().folder.glob("*.json")):
    measured = json.loads(path.read_text())
    of = f"{measured.get('image_size')} px, batch {measured.get('batch_size')}"
    for side, row in measured.get("sides", {}).items():
      if "faces_per_second" in row:
        found[f"{of}: {side} ({path.stem})"] = row
  turns.show(
    dict(sorted(found.items(), key=lambda item: item[1]["faces_per_second"], reverse=True))
  )


if __name__ == "__main__":
  main()
