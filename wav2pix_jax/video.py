"""The mode `video`: a face that speaks a recording, as a movie with its sound."""

from pathlib import Path

import tqdm

from wav2pix_jax.common import audio, movie, schema
from wav2pix_jax.common.errors import IncompleteError
from wav2pix_jax.runtime import checkpoint
from wav2pix_jax.sampler import frame_times

LEAST = 256  # pixels; smaller faces are enlarged, since players blur small pictures


def video(
  workdir: Path, speech: Path, num_draws: int, seed: int, fps: float, blend: float, out: Path
) -> None:
  """Writes `<recording>.mp4` for each recording: faces that speak it, side by side, and its sound.

  Each frame is sampled from the second of speech around it, see `Sampler.film`.

  Args:
    workdir: The directory of a run with a checkpoint; the best one is used.
    speech: A recording, or a folder of recordings (subfolders are not searched).
    num_draws: Faces side by side, at least 1.
    seed: Seed of the noise.
    fps: Frames per second.
    blend: Seconds; changes of the predicted speaker that are briefer are not shown.
    out: The directory for the movies.

  Raises:
    UserError: There is no checkpoint, no recording that can be read, or a movie cannot be written.
    IncompleteError: Some recordings cannot be read; there are movies of all others.
  """
  recordings, failed = audio.read_all(speech)
  run = checkpoint.load(workdir)
  about = run.about | {"Seed": str(seed)}
  for name, (path, recording) in recordings.items():
    times = frame_times(len(recording), fps)
    film = run.sampler.film(recording, schema.SAMPLE_RATE, num_draws, seed, path.name, fps, blend)
    frames = tqdm.tqdm(movie.side_by_side(film, LEAST), path.name, len(times), unit=" frames")
    movie.write_mp4(out / f"{name}.mp4", frames, times, recording, about)
  print(f"Wrote {len(recordings)} movies into {out}; see {out / f'{name}.mp4'}.")
  if failed:
    raise IncompleteError(f"{len(failed)} files could not be read: {' '.join(failed)}")
