"""Sampling: faces from recordings, with the generator of a workdir."""

from pathlib import Path

import numpy as np
import tqdm

from wav2pix_jax import sampler
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.runtime import checkpoint

GRID_COLUMNS = 10  # seconds side by side


def sample(workdir: Path, speech: Path, num_draws: int, seed: int, out: Path) -> None:
  """Draws a face for each second of each recording, `num_draws` times, with dropout on.

  Writes `<recording>_<second>_<draw>.png` for every face and `<recording>_grid.png`, a labelled
  sheet of them all, into `out`; recordings that differ only in their ending keep it in the name. A
  face depends on the seed, the recording's file name, the second and the draw, and on nothing else.

  Args:
    workdir: of a run with a checkpoint; the best is used.
    speech: a recording, or a folder of them (subfolders are not searched).
    num_draws: faces for each window, at least 1.
    seed: of the drawings.
    out: folder for the pictures; made where it is missing.

  Raises:
    UserError: no checkpoint, no such recording, or one that cannot be read.
  """
  recordings = {path: audio.read(path) for path in _recordings(speech)}
  run = checkpoint.load(workdir)
  speech_of = {
    path: _windows(recording, run.config.dataset.window_samples)
    for path, recording in recordings.items()
  }
  stems = [path.stem for path in speech_of]
  draw = sampler.drawer(run.nets.generator)
  for path, windows in tqdm.tqdm(speech_of.items(), "Drawing", unit=" recordings"):
    keys = [
      sampler.key(seed, path.name, w, d) for d in range(num_draws) for w in range(len(windows))
    ]
    conditioned = np.stack([audio.condition(w, run.config.dataset.audio_steps) for w in windows])
    faces, _ = draw(run.state.drawing, np.tile(conditioned, (num_draws, 1)), keys)
    name = path.stem if stems.count(path.stem) == 1 else path.name
    draws = np.split(faces, num_draws)
    for d, drawn in enumerate(draws):
      for w, face in enumerate(drawn):
        images.save_png(out / f"{name}_{w:04d}_{d:02d}.png", face)
    grid = out / f"{name}_grid.png"
    images.save_png(grid, _grid(path.name, draws))
  print(
    f"Step {int(run.state.step)} of {workdir}: drew from {len(speech_of)} recordings into {out} "
    f"(seed {seed}); look at {grid}."
  )


def _grid(name: str, draws: list[np.ndarray]) -> np.ndarray:
  """All draws of a recording, each stretch of seconds in a band of rows: uint8 [H, W, 3]."""
  rows, labels = [], []
  for start in range(0, len(draws[0]), GRID_COLUMNS):
    for d, drawn in enumerate(draws):
      row = list(drawn[start : start + GRID_COLUMNS])
      rows.append(row)
      labels.append(f"{name}: seconds {start} to {start + len(row)}, draw {d}")
  return images.grid(rows, labels)


def _recordings(speech: Path) -> list[Path]:
  if not speech.is_dir():
    return [speech]
  found = sorted(p for p in speech.iterdir() if p.is_file() and not p.name.startswith("."))
  if not found:
    raise UserError(f"--speech={speech}: an empty folder; put recordings into it.")
  return found


def _windows(recording: np.ndarray, length: int) -> list[np.ndarray]:
  """A window at each full second of a recording (at least one), zero-padded at its end."""
  seconds = max(len(recording) // schema.SAMPLE_RATE, 1)
  return [audio.cut(recording, s * schema.SAMPLE_RATE, length) for s in range(seconds)]
