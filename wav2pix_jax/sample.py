"""Sampling: faces from recordings, with the generator of a workdir."""

import functools
from pathlib import Path

import jax
import numpy as np
import tqdm

from wav2pix_jax import audio, checkpoint, generate, images, models, parallel, schema
from wav2pix_jax.errors import UserError
from wav2pix_jax.state import build_optimizers, initialise


def sample(workdir: Path, speech: Path, num_draws: int, seed: int, out: Path) -> None:
  """Draws a face for each second of each recording, `num_draws` times, with dropout on.

  Writes `<recording>_<window>_<draw>.png` for every face and `<recording>_grid.png` (a row for
  each draw, a column for each second) into `out`. A face depends on the seed, the recording's file
  name, the window and the draw, and on nothing else.

  Args:
    workdir: of a run with a checkpoint; the latest is used.
    speech: a recording, or a folder of them (subfolders are not searched).
    num_draws: faces for each window, at least 1.
    seed: of the drawings.
    out: folder for the pictures; made where it is missing.

  Raises:
    UserError: no checkpoint, no such recording, or one that cannot be read.
  """
  if num_draws < 1:
    raise UserError(f"--num_draws is {num_draws}; it must be at least 1.")
  config, identities = checkpoint.read_config(workdir)
  recordings = _recordings(speech)
  nets = models.build(config, len(identities))
  make_state = functools.partial(
    initialise, nets, build_optimizers(config), jax.random.key(0), config
  )
  with checkpoint.open_existing(workdir) as checkpoints:
    state, _ = checkpoints.restore(parallel.abstract(make_state))
  draw = generate.drawer(nets.generator)
  for path in tqdm.tqdm(recordings, "Drawing", unit=" recordings", disable=len(recordings) < 2):
    windows = [audio.condition(w, config.dataset.audio_steps) for w in _windows(path, config)]
    count = len(windows)
    keys = [generate.key(seed, path.name, w, d) for d in range(num_draws) for w in range(count)]
    faces, _ = draw(state.generator.variables, np.stack(windows * num_draws), keys)
    rows = np.split(faces, num_draws)
    for d, row in enumerate(rows):
      for w, face in enumerate(row):
        images.save_png(out / f"{path.stem}_{w:04d}_{d:02d}.png", face)
    labels = [f"draw {d}: seconds 0 to {count - 1} of {path.name}" for d in range(num_draws)]
    images.save_png(out / f"{path.stem}_grid.png", images.grid([list(r) for r in rows], labels))
  print(
    f"Step {int(state.step)} of {workdir}: drew from {len(recordings)} recordings into {out} "
    f"(seed {seed}); look at {out / f'{recordings[-1].stem}_grid.png'}."
  )


def _recordings(speech: Path) -> list[Path]:
  if not speech.is_dir():
    return [speech]
  found = sorted(p for p in speech.iterdir() if p.is_file() and not p.name.startswith("."))
  if not found:
    raise UserError(f"--speech={speech}: an empty folder; put recordings into it.")
  return found


def _windows(path: Path, config) -> list[np.ndarray]:
  """A window at each full second of a recording (at least one), zero-padded at its end."""
  recording = audio.read(path)
  seconds = max(len(recording) // schema.SAMPLE_RATE, 1)
  length = config.dataset.window_samples
  return [audio.cut(recording, s * schema.SAMPLE_RATE, length) for s in range(seconds)]
