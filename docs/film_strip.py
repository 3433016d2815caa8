"""Draws moments of a recording: python docs/film_strip.py WORKDIR SPEAKER PICTURE.jpg FILM.gif.

The run is one on the synthetic speakers, of whom one says something new. Above are frames of the
real film, below the frames that the run generates from its sound alone. FILM moves, and is real on
the left.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from data_builders.synthetic import clips
from data_builders.synthetic.identity import people
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.files import write_whole
from wav2pix_jax.runtime import checkpoint

SEED, FPS, SECONDS, MOMENTS = 2, 12.5, 4.0, 12  # of the film, and pictures in the strip
SIZE = 96  # pixels of a face
LEAST = 160  # milliseconds between moments: two frames


def draw(workdir: Path, speaker: str, strip: Path, film: Path) -> None:
  """Writes the strip as JPEG and the film as GIF."""
  run = checkpoint.load(workdir)
  dataset = run.config.dataset.synthetic
  (person,) = (
    p for p in people(dataset.identities, dataset.seed, dataset.share) if p.name == speaker
  )
  real = clips.make_film(person, 0, run.config.image_size, SEED, SECONDS, FPS)
  frames = run.sampler.film(real.speech, schema.SAMPLE_RATE, name=speaker, fps=FPS)
  rows = [
    [images.resize(face, SIZE) for face in faces]
    for faces in (real.frames, [faces[0] for faces in frames])
  ]
  first = len(rows[0]) // 4  # windows reach beyond the speech before
  moments = range(first, first + 2 * MOMENTS, 2)
  labels = [f"{speaker}, real, every {LEAST} ms", "generated from the sound alone"]
  grid = images.grid([[row[i] for i in moments] for row in rows], labels)
  write_whole(strip, images.encode_jpeg(grid))
  pictures = [Image.fromarray(np.concatenate(pair, 1)) for pair in zip(*rows, strict=True)]
  pictures[0].save(film, save_all=True, append_images=pictures[1:], duration=80, loop=0)


if __name__ == "__main__":
  if len(sys.argv) != 5:
    sys.exit("usage: python docs/film_strip.py WORKDIR SPEAKER PICTURE.jpg FILM.gif")
  draw(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
