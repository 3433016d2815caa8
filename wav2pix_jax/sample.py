"""The mode `sample`: faces from recordings, with the generator of a workdir."""

from pathlib import Path

import numpy as np
import tqdm

from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import IncompleteError
from wav2pix_jax.runtime import checkpoint

GRID_COLUMNS = 10  # seconds side by side


def sample(
  workdir: Path, speech: Path, num_draws: int, seed: int, out: Path, pool: bool = False
) -> None:
  """Samples faces for each second of each recording, with noise or dropout on.

  Writes `<recording>_<window>_<draw>.png` for every face, and `<recording>_grid.png` with all faces
  of a recording. Where recordings differ only in their extensions, names include it. A face depends
  on the seed, the recording's file name, the window and the draw, and on nothing else.

  Args:
    workdir: The directory of a run with a checkpoint; the best one is used.
    speech: A recording, or a folder of recordings (subfolders are not searched).
    num_draws: Faces per window, at least 1.
    seed: Seed of the noise.
    out: The directory for the pictures.
    pool: Whether to sample one face for each recording, as window 0, from the mean of its windows'
      embeddings.

  Raises:
    UserError: There is no checkpoint, or no recording that can be read.
    IncompleteError: Some recordings cannot be read; all others are sampled from.
  """
  recordings, failed = audio.read_all(speech)
  run = checkpoint.load(workdir)
  about = run.about | {"Seed": str(seed)}
  bar = tqdm.tqdm(recordings.items(), "Sampling", unit=" recordings")
  for name, (path, recording) in bar:
    faces = run.sampler.draw(recording, schema.SAMPLE_RATE, num_draws, seed, path.name, pool)
    for window, draws in enumerate(faces):
      for draw, face in enumerate(draws):
        images.save_png(out / f"{name}_{window:04d}_{draw:02d}.png", face, about)
    doubts = run.sampler.doubts(recording, schema.SAMPLE_RATE)
    for doubt in dict.fromkeys(filter(None, doubts)):
      seconds = f"{doubts.count(doubt)} of {len(doubts)} seconds"
      bar.write(f"warning: {path.name}: {seconds} are {doubt}; their faces may mean nothing.")
    grid = out / f"{name}_grid.png"
    images.save_png(grid, _grid(path.name, faces, doubts, len(doubts) if pool else 1), about)
  print(
    f"Sampled from {len(recordings)} recordings into {out}, with step {run.step} of {workdir} and "
    f"seed {seed}; see {grid}."
  )
  if failed:
    raise IncompleteError(f"{len(failed)} files could not be read: {' '.join(failed)}")


def _grid(name: str, faces: np.ndarray, doubts: list[str], seconds: int) -> np.ndarray:
  """Returns all faces [windows, draws, S, S, 3] of a recording in rows: uint8 [H, W, 3].

  Each face is of so many seconds. Labels say why faces are in doubt.
  """
  rows, labels = [], []
  for start in range(0, len(faces), GRID_COLUMNS):
    columns = faces[start : start + GRID_COLUMNS]
    end = (start + len(columns)) * seconds
    doubtful = dict.fromkeys(filter(None, doubts[start:end]))
    for draw in range(faces.shape[1]):
      rows.append(list(columns[:, draw]))
      labels.append(f"{name}: seconds {start} to {end}, draw {draw}")
      if doubtful and not draw:
        labels[-1] += f" (in doubt: {'; '.join(doubtful)})"
  return images.grid(rows, labels)
