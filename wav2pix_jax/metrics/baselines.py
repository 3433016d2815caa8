"""What generated faces are compared with: a baseline that ignores speech, and other real faces."""

import dataclasses

import numpy as np

from wav2pix_jax.common.indices import spread_evenly
from wav2pix_jax.metrics.faces import Faces

SEED = 0


def most_frequent_person(held_out: Faces, reference: Faces, draws: int) -> list[Faces]:
  """Returns the baseline: random real faces of the most frequent person, whatever is said.

  It consists of `draws` sets of as many faces as are held out, chosen from the reference. Where
  that person is unseen, the faces are anybody's, as otherwise a baseline would never find an unseen
  person by chance.
  """
  rng = np.random.default_rng(SEED)
  frequent = np.bincount(held_out.identity).argmax()
  known = frequent < reference.logits.shape[1]
  pool = np.flatnonzero(reference.identity == frequent) if known else np.array([], int)
  pool = pool if len(pool) else np.arange(len(reference))
  drawn = [reference[rng.choice(pool, len(held_out))] for _ in range(draws)]
  return [dataclasses.replace(faces, identity=held_out.identity) for faces in drawn]


def other_real_faces(held_out: Faces, reference: Faces) -> Faces:
  """Returns another real face for each held-out one, of the same person where there is one."""
  chosen = np.zeros(len(held_out), int)
  for label in np.unique(held_out.identity):
    of_person = np.flatnonzero(reference.identity == label)
    pool = of_person if len(of_person) else np.arange(len(reference))
    own = np.flatnonzero(held_out.identity == label)
    chosen[own] = np.resize(spread_evenly(pool, len(own)), len(own))
  return reference[chosen]
