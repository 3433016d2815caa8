"""Evaluation in two halves: a machine with a GPU samples, and another one with dlib measures.

python -m benchmarks.faces draw --workdir=runs/base --split=test --out=faces
python -m benchmarks.faces measure faces    # where the dataset and the extra eval are

Only a file for each draw, uint8 [N, S, S, 3], and a few lines of JSON are copied between them; no
weights.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax.common.errors import UserError

ABOUT, CONFIG = "about.json", "config.json"


def draw(workdir: Path, split: str, out: Path) -> None:
  """Generates the faces that `--mode=evaluate` would, into `out`, which is created."""
  from wav2pix_jax.metrics import evaluation_set
  from wav2pix_jax.runtime import checkpoint

  run = checkpoint.load(workdir)
  of = evaluation_set.choose(workdir, run.config, split)
  out.mkdir(parents=True, exist_ok=True)
  for number, faces in enumerate(evaluation_set.sample(run.sampler, of)):
    np.save(out / f"draw_{number}.npy", faces)
  shutil.copy(workdir / CONFIG, out / CONFIG)
  about = {"split": split, "step": run.step, "digest": of.records.digest}
  (out / ABOUT).write_text(json.dumps(about) + "\n")
  print(f"Faces from {len(of.chosen)} chunks of {split} speech are in {out}.")


def measure(folder: Path, data_dir: str | None, source: str | None) -> None:
  """Measures what `draw` wrote into a folder, and writes there what `--mode=evaluate` would.

  Raises:
    UserError: The dataset here is not the one that was sampled from.
  """
  from wav2pix_jax import evaluate
  from wav2pix_jax.metrics import evaluation_set
  from wav2pix_jax.runtime import run_config

  about: dict[str, Any] = json.loads((folder / ABOUT).read_text())
  config, _ = run_config.read(folder)
  config.dataset.data_dir = data_dir or config.dataset.data_dir
  config.dataset.source = source or config.dataset.source
  of = evaluation_set.choose(folder, config, about["split"])
  if of.records.digest != about["digest"]:
    raise UserError(
      f"{folder} was drawn from another dataset than that in {config.dataset.data_dir}; name the "
      "one it had with --data_dir or --source."
    )
  draws = np.stack([np.load(path) for path in sorted(folder.glob("draw_*.npy"))])
  title = f"step {about['step']} of {folder}"
  evaluate.write_results(title, of, draws, folder, more={"step": about["step"]})


def main() -> None:
  """Runs the command line."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  verbs = parser.add_subparsers(required=True, dest="verb")
  drawing = verbs.add_parser("draw", help="sample faces from a split's speech")
  drawing.add_argument("--workdir", type=Path, required=True)
  drawing.add_argument("--split", default="test")
  drawing.add_argument("--out", type=Path, required=True)
  measuring = verbs.add_parser("measure", help="measure faces that were sampled elsewhere")
  measuring.add_argument("folder", type=Path)
  measuring.add_argument("--data_dir", help="default: as in the run's config")
  measuring.add_argument("--source", help="source of the dataset; default: as in the run's config")
  flags = parser.parse_args()
  try:
    if flags.verb == "draw":
      draw(flags.workdir, flags.split, flags.out)
    else:
      measure(flags.folder, flags.data_dir, flags.source)
  except (UserError, OSError) as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  main()
