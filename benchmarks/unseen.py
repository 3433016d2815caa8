"""Measures what faces of people whom a run has never heard have in common with the people.

python -m benchmarks.unseen --workdir=runs/unseen

For runs of `configs/unseen.py`. A judge, taught on rendered faces of other people, tells gender,
size and age of a face; the figures are its accuracy, and the correlation with the truth over the
people, of the mean of all faces of a person. Retrieval (R@K, as in SF2F) is the share of faces for
which the right person is among the K nearest unseen people, by the mean dlib embedding of half of
their real faces. Beside the faces of the run are those of an oracle, which knows what is in a voice
(gender, and size and age as far as they are shared) and draws the most probable face with it, and
the real ones. Intervals (95%) are of a bootstrap over people.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from benchmarks import turns
from data_builders.synthetic import clips
from data_builders.synthetic.identity import MALE, Body, Person, people, with_face_of
from wav2pix_jax.common import dlib_faces, schema
from wav2pix_jax.common.workers import workers
from wav2pix_jax.metrics import evaluation_set
from wav2pix_jax.metrics.expression import as_function, train_regressor
from wav2pix_jax.runtime import checkpoint

TEACHERS, EACH = 500, 4  # people whose faces teach the judge, and faces of each
DRAWS, RESAMPLES = 3, 1000
RANKS = (1, 5, 10)
SEED = 77  # of people who are in no dataset


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__, rounds=False)
  parser.add_argument("--workdir", type=Path, required=True)
  flags = parser.parse_args()
  run = checkpoint.load(flags.workdir)
  of = evaluation_set.choose(flags.workdir, run.config, schema.UNSEEN)
  chosen, size = of.builder.builder_config, run.config.image_size
  by_name = {person.name: person for person in chosen.people()}
  unseen = [by_name[of.names[label]] for label in np.unique(of.identity)]
  judge = as_function(train_regressor(*_taught(size, chosen.share)))
  describe = dlib_faces.describer()

  everyone = np.array([by_name[name] for name in of.names], object)
  order = np.searchsorted(np.unique(of.identity), of.identity)  # of each chunk's person
  gallery = _gallery(of, describe)
  drawn = evaluation_set.sample(run.sampler, of, DRAWS)
  oracle = _rendered(
    [_guessed(everyone[label], i, chosen.share) for i, label in enumerate(of.identity)], size
  )
  rows = {}
  for name, draws in {"run": drawn, "oracle": oracle[None], "real": of.real[None]}.items():
    told = np.stack([judge(faces) for faces in draws])
    embedding = [describe(faces, f"Faces of {name}").embedding for faces in draws]
    rows[name] = _figures(unseen, order, told, np.stack(embedding), gallery)
  rows["chance"] = {
    "gender": "0.500",
    "size": "0",
    "age": "0",
    **{f"R@{k}": f"{k / len(unseen):.3f}" for k in RANKS},
  }
  turns.show(rows)
  print(
    f"{len(unseen)} unseen people, {len(of.chosen)} seconds of speech; size and age of face and "
    f"voice correlate by {chosen.share:g}. {turns.machine()}"
  )
  turns.write(flags.json, {"rows": rows})


def _taught(size: int, share: float) -> tuple[np.ndarray, np.ndarray]:
  """Returns faces of people who are in no dataset, with gender, size and age."""
  teachers = people(10 + TEACHERS, SEED, share)[10:]
  shown = [person for person in teachers for _ in range(EACH)]
  truth = [(person.gender == MALE, person.body.size, person.body.age) for person in shown]
  return _rendered(shown, size), np.array(truth, np.float32)


def _guessed(person: Person, number: int, share: float) -> Person:
  """Returns somebody with the face that is most probable for a person's voice."""
  others = [other for other in people(60, SEED + 1, share)[10:] if other.gender == person.gender]
  heard = Body(share * person.heard.size, share * person.heard.age)
  return with_face_of(others[number % len(others)], heard)


def _rendered(shown: list[Person], size: int) -> np.ndarray:
  work = functools.partial(clips.make_clip, size=size, seed=SEED)
  with workers(len(shown)) as pool:
    made = pool.map(work, shown, range(len(shown)), chunksize=16)
    return np.stack([clip.face for clip in tqdm.tqdm(made, "Rendering", len(shown), leave=False)])


def _gallery(of: Any, describe: Callable[..., Any]) -> np.ndarray:
  """Returns the mean embedding of each unseen person's other real faces."""
  labels = np.unique(of.identity)
  faces = of.known[np.isin(of.known_identity, labels)]
  owners = of.known_identity[np.isin(of.known_identity, labels)]
  embedding = describe(faces, "Faces to find").embedding
  return np.stack([embedding[owners == label].mean(0) for label in labels])


def _figures(
  unseen: list[Person],
  order: np.ndarray,
  told: np.ndarray,
  embedding: np.ndarray,
  gallery: np.ndarray,
) -> dict[str, str]:
  """Returns the cells of a row, of what is told [draws, N, 3] and embeddings [draws, N, 128]."""
  count = len(unseen)
  truth = np.array([(p.gender == MALE, p.body.size, p.body.age) for p in unseen], float)
  of_people = np.stack([told[:, order == i].mean((0, 1)) for i in range(count)])
  right = np.array([((told[:, order == i, 0] > 0.5) == truth[i, 0]).mean() for i in range(count)])
  distance = np.linalg.norm(embedding[:, :, None] - gallery, axis=-1)
  rank = (distance < np.take_along_axis(distance, order[None, :, None], 2)).sum(-1)
  figures: dict[str, Callable[[np.ndarray], float]] = {
    "gender": functools.partial(_mean, right),
    "size": lambda who: np.corrcoef(of_people[who, 1], truth[who, 1])[0, 1],
    "age": lambda who: np.corrcoef(of_people[who, 2], truth[who, 2])[0, 1],
  }
  for k in RANKS:
    found = np.array([(rank[:, order == i] < k).mean() for i in range(count)])
    figures[f"R@{k}"] = functools.partial(_mean, found)
  rng = np.random.default_rng(0)
  samples = rng.integers(count, size=(RESAMPLES, count))
  cells = {}
  for name, figure in figures.items():
    low, high = np.quantile([figure(who) for who in samples], (0.025, 0.975))
    cells[name] = f"{figure(np.arange(count)):.3f} ({low:.3f} to {high:.3f})"
  return cells


def _mean(values: np.ndarray, chosen: np.ndarray) -> float:
  return float(values[chosen].mean())


if __name__ == "__main__":
  main()
