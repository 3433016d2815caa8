"""Measures the faces of `--mode=video` on films of the synthetic speakers, whose truth is known.

python -m benchmarks.films --workdir=runs/demo
python -m benchmarks.films --workdir=runs/demo --utterances=100

For runs on the synthetic speakers. Each speaker says something new (dataset seed 2) for some
seconds; the film that would be seen is rendered, and one is generated from its speech alone. With
--utterances, speakers make as many clips instead, each with one face; beside the generated faces
are other pictures of the same mouths, which show how near two real pictures are to each other.
Needs the extra eval.
"""

import argparse
import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from data_builders.synthetic import clips
from data_builders.synthetic.identity import people
from wav2pix_jax import data
from wav2pix_jax.common import dlib_faces, schema
from wav2pix_jax.common.dlib_faces import Describe
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.workers import workers
from wav2pix_jax.metrics.expression import SMILE, SPREAD, Express, load_regressor
from wav2pix_jax.metrics.identity_classifier import Classify, load_classifier
from wav2pix_jax.runtime import checkpoint
from wav2pix_jax.sampler import sampling_keys

SEED, NUMBER = 2, 0
RESAMPLES = 1_000
TITLES = {
  "mouth": "mouth, by landmarks",
  "mouth_truth": "mouth, landmarks against truth",
  "spread_truth": "lip spread, against truth",
  "smile_truth": "smile, against truth",
  "right": "frames of the right speaker",
  "steady": "frames of the most frequent speaker",
  "flicker": "change between frames, over real",
}


@dataclasses.dataclass(frozen=True)
class Instruments:
  """What films are measured with."""

  classify: Classify  # the identity classifier
  describe: Describe  # dlib
  express: Express  # the regressor of expressions


def film_figures(
  generated: np.ndarray, real: clips.SyntheticFilm, label: int, by: Instruments
) -> tuple[dict[str, float], dict[str, float]]:
  """Returns the figures of a generated film, and of the real one, by their keys in `TITLES`.

  The generated frames are uint8 [F, S, S, 3], and the label is that of the speaker.
  """
  found, of_real = _figures([generated, real.frames], real, label, by)
  return found, of_real


def _figures(
  films: Sequence[np.ndarray], real: clips.SyntheticFilm, label: int, by: Instruments
) -> list[dict[str, float]]:
  """Returns the figures of films with the poses of a real one, which is the last of them."""
  openings = [by.describe(frames, "").mouth for frames in films]

  def along_time(told: np.ndarray, part: str) -> float:
    return float(np.corrcoef(told, [getattr(pose, part) for pose in real.poses])[0, 1])

  def figures(frames: np.ndarray, opening: np.ndarray) -> dict[str, float]:
    named = by.classify(frames)[0].argmax(-1)
    expressed = by.express(frames)
    return {
      "mouth": float(np.corrcoef(opening, openings[-1])[0, 1]),
      "mouth_truth": along_time(opening, "opening"),
      "spread_truth": along_time(expressed[:, SPREAD], "spread"),
      "smile_truth": along_time(expressed[:, SMILE], "smile"),
      "right": float((named == label).mean()),
      "steady": float(np.bincount(named).max() / len(named)),
      "flicker": _change(frames) / _change(real.frames),
    }

  return [figures(*film) for film in zip(films, openings, strict=True)]


def utterance_figures(
  generated: np.ndarray,
  again: np.ndarray,
  clip: Sequence[clips.SyntheticClip],
  label: int,
  by: Instruments,
) -> tuple[dict[str, float], dict[str, float]]:
  """Returns the figures of faces generated from clips of a speaker, and of real pictures.

  Those are other pictures of the same mouths, `again`, against the clips' own.
  """
  poses = [one.pose for one in clip]
  real = clips.SyntheticFilm(np.stack([one.face for one in clip]), poses, clip[0].speech)
  found, of_again, _ = _figures([generated, again, real.frames], real, label, by)
  for figures in (found, of_again):
    del figures["flicker"], figures["steady"]  # there is no order
  return found, of_again


def _change(frames: np.ndarray) -> float:
  return float(np.abs(np.diff(frames.astype(np.float32), axis=0)).mean())


def measure(
  workdir: Path, seconds: float, fps: float, blend: float, utterances: int
) -> dict[str, Any]:
  """Returns figures of a run's films, or of as many utterances, by speaker, and of real ones."""
  run = checkpoint.load(workdir)
  dataset, size = run.config.dataset, run.config.image_size
  builder = data.prepare(dataset)
  express = load_regressor(builder, size)
  if express is None:
    raise UserError(f"{workdir} is not a run on synthetic speakers, whose films alone have truth.")
  by = Instruments(load_classifier(builder, size), dlib_faces.describer(), express)
  synthetic = dataset.synthetic
  by_name = {p.name: p for p in people(synthetic.identities, synthetic.seed, synthetic.share)}
  speakers = [by_name[name] for name in run.speakers]
  results = {}
  if utterances:
    wanted = [(person, number) for person in speakers for number in range(utterances)]
    made = [clip for _, clip in clips.make_clips(wanted, size, SEED)]
    work = functools.partial(clips.make_again, size=size, seed=SEED)
    with workers(len(speakers)) as pool:
      others = list(pool.map(work, [person for person, _ in wanted], made, chunksize=utterances))
    window = run.config.dataset.window_samples
    start = (schema.CLIP_SAMPLES - window) // 2
    for label, name in enumerate(tqdm.tqdm(run.speakers, "Measuring", unit=" speakers")):
      these = slice(label * utterances, (label + 1) * utterances)
      own, again = made[these], np.stack(others[these])
      windows = np.stack([clip.speech[start : start + window] for clip in own])
      keys = sampling_keys(SEED, name, np.arange(utterances), 0)
      generated, _ = run.sampler.sample(windows, keys)
      results[name] = utterance_figures(generated, again, own, label, by)
  else:
    film_of = functools.partial(
      clips.make_film, number=NUMBER, size=size, seed=SEED, seconds=seconds, fps=fps
    )
    with workers(len(speakers)) as pool:
      films = list(pool.map(film_of, speakers))
    for label, name in enumerate(tqdm.tqdm(run.speakers, "Measuring", unit=" films")):
      film = films[label]
      frames = run.sampler.film(film.speech, schema.SAMPLE_RATE, name=name, fps=fps, blend=blend)
      generated = np.stack([faces[0] for faces in frames])
      results[name] = film_figures(generated, film, label, by)
  return {
    "step": run.step,
    "generated": {name: of[0] for name, of in results.items()},
    "real": {name: of[1] for name, of in results.items()},
  }


def table(results: dict[str, Any]) -> str:
  """Returns the means over speakers with 95% intervals over other speakers.

  By speaker it shows the lowest and the highest, each with that of the real faces.
  """
  rng = np.random.default_rng(0)
  lines = [f"{'':44}{'generated':>9}  {'95%':14}{'real':>8}  by speaker"]
  for key, title in TITLES.items():
    values = {name: of[key] for name, of in results["generated"].items() if key in of}
    if not values:
      continue
    each = np.array(list(values.values()))
    low, high = np.quantile(rng.choice(each, (RESAMPLES, len(each))).mean(1), [0.025, 0.975])
    of_real = {name: of[key] for name, of in results["real"].items()}
    real = np.mean(list(of_real.values()))
    ends: Sequence[str] = sorted(values, key=values.__getitem__)
    first, last = (
      f"{values[name]:.3f} of {of_real[name]:.3f} ({name})" for name in (ends[0], ends[-1])
    )
    by = f"{first} to {last}"
    lines.append(f"{title:44}{each.mean():9.3f}  {f'{low:.3f} to {high:.3f}':14}{real:8.3f}  {by}")
  return "\n".join(lines)


def main() -> None:
  """Runs the command line."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--workdir", type=Path, required=True)
  parser.add_argument("--seconds", type=float, default=8.0, help="length of each film (default 8)")
  parser.add_argument("--fps", type=float, default=25.0, help="frames per second (default 25)")
  parser.add_argument("--blend", type=float, default=0.0, help="as of --mode=video (default 0)")
  parser.add_argument("--json", type=Path, help="file for the figures")
  parser.add_argument("--utterances", type=int, default=0, help="clips of each speaker instead")
  flags = parser.parse_args()
  results = measure(flags.workdir, flags.seconds, flags.fps, flags.blend, flags.utterances)
  print(table(results))
  if flags.json:
    flags.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
  main()
