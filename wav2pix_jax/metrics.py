"""How good drawn faces are: each row beside the same measure of real faces, and beside chance.

No row is to be trusted alone. Noise is varied, a mean face passes the landmark test, and real faces
of the wrong person are flawless; each of these fails another row (`tests/test_metrics.py`).
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from wav2pix_jax.dlib_faces import SAME_PERSON, Describe, Described
from wav2pix_jax.identify import Identify

TITLES = {  # of the rows, in the order of the table
  "identity_accuracy": "identity accuracy",
  "verified": "verified",
  "landmarks": "landmarks found",
  "landmarks_strictly": "landmarks found, strictly",
  "frechet_distance": "Frechet distance (0 is best)",
  "mouth": "mouth opening, correlation",
  "feature_distance": "feature distance (0 is best)",
  "spread_of_chunks": "spread between chunks",
  "spread_of_draws": "spread between draws",
  "contrast": "contrast",
}
BY_DLIB = ("verified", "landmarks", "landmarks_strictly", "frechet_distance", "mouth")
PAIRED = 64  # faces of a speaker of which all pairs are compared, at most


@dataclasses.dataclass(frozen=True)
class Faces:
  """N faces of known people, and what was made of them.

  Attributes:
    pictures: uint8 [N, S, S, 3].
    identity: int32 [N], who it is or ought to be.
    logits: float32 [N, identities], of the classifier in `identify.py`.
    features: float32 [N, C], of the same.
    described: by dlib; None without it.
  """

  pictures: np.ndarray
  identity: np.ndarray
  logits: np.ndarray
  features: np.ndarray
  described: Described | None = None

  def __getitem__(self, chosen: np.ndarray) -> "Faces":
    return Faces(
      self.pictures[chosen],
      self.identity[chosen],
      self.logits[chosen],
      self.features[chosen],
      self.described and self.described[chosen],
    )


@dataclasses.dataclass(frozen=True)
class Row:
  """One measure.

  Attributes:
    value: of the drawn faces.
    real: of real faces: the ceiling, or of a distance the floor.
    chance: of drawing the most frequent person whatever is said; None where it has no meaning.
    by_identity: value for each label, where it has a meaning.
  """

  value: float
  real: float
  chance: float | None = None
  by_identity: dict[int, float] = dataclasses.field(default_factory=dict)


def make_out(
  pictures: np.ndarray,
  identity: np.ndarray,
  identify: Identify,
  describe: Describe | None = None,
  title: str = "",
) -> Faces:
  """Pictures, uint8 [N, S, S, 3], of people, int32 [N], with what is made of them.

  Args:
    pictures: to look at.
    identity: who it is or ought to be.
    identify: the classifier of the dataset's people.
    describe: dlib, where it is wanted.
    title: for dlib's progress bar.
  """
  described = describe(pictures, title) if describe else None
  return Faces(pictures, identity, *identify(pictures), described)


def measure(draws: Sequence[Faces], held_out: Faces, reference: Faces) -> dict[str, Row]:
  """All rows that these faces allow; those of dlib only where it described them.

  Args:
    draws: the faces drawn from the same N chunks of speech, once or more.
    held_out: the N real faces that go with the speech.
    reference: real faces of the training split.

  Returns:
    identity_accuracy: share of drawn faces that the classifier gives to the right person.
    feature_distance: Frechet distance to the real faces of the same person in the classifier's
      features, a mean over people and over features. 0 is best. It rises with blur, noise, sameness
      and the wrong person alike; of the rows without dlib it is the one to choose by.
    contrast: mean deviation of the pixels of a face, over that of real ones.
    spread_of_chunks: mean difference between faces of a speaker, over that of real ones.
    spread_of_draws: mean difference between draws of one chunk, over the same of real ones.
    landmarks: share of faces in which dlib finds a face and its landmarks (paper section 5).
    landmarks_strictly: the same of the pictures as they are.
    verified: share whose embedding is nearest to the right person's centroid of real training
      faces, and as near as dlib takes for the same person.
    frechet_distance: in dlib's embedding, to the real faces; 0 is best.
    mouth: correlation between how far the mouth is open in drawn and in real faces of a person, by
      dlib's landmarks, a mean over people of three faces or more; 0 where a mouth does not follow
      the speech.
    A row is left out where there are too few faces: a distance needs two of somebody.
  """
  accuracy = _rated("identity_accuracy", draws, held_out, lambda faces: faces.logits.argmax(-1))
  rows = accuracy | _feature_distance(draws, held_out, reference) | _contrast(draws, held_out)
  rows |= _spreads(draws, held_out)
  if held_out.described:
    rows |= _described_rows(draws, held_out, reference)
  return rows


def table(rows: dict[str, Row], names: Sequence[str]) -> str:
  """The rows as lines of text.

  Args:
    rows: by name.
    names: of the identities; the columns name those who do best and worst, or both of two.
  """
  lines = [f"{'':30}{'drawn':>8}{'real':>8}{'chance':>8}  by person"]
  for name, title in TITLES.items():
    if row := rows.get(name):
      chance = "" if row.chance is None else f"{row.chance:.3f}"
      by_person = sorted((value, names[who]) for who, value in row.by_identity.items())
      ends = by_person if len(by_person) <= 2 else [by_person[0], by_person[-1]]
      people = " to ".join(f"{value:.3f} ({who})" for value, who in ends)
      lines.append(f"{title:30}{row.value:8.3f}{row.real:8.3f}{chance:>8}  {people}".rstrip())
  return "\n".join(lines)


def warnings(rows: dict[str, Row]) -> list[str]:
  """What has gone wrong with a training run, in words; empty where nothing has."""
  said = []
  contrast = rows["contrast"].value
  if contrast < 0.3:
    said.append(
      f"the faces are gray: they have {contrast:.2f} of the contrast of real ones. Try batch norm "
      "in the generator (model.generator_batch_norm), or a lower optimizer.lr_d."
    )
  spread = rows.get("spread_of_chunks")
  if spread and spread.value < 0.1:
    said.append(
      f"the faces have collapsed: those of a speaker differ {spread.value:.2f} times as much as "
      "real ones. Try loss.energy_score with dropout on the embedding (model.dropout_embedding)."
    )
  named = rows["identity_accuracy"]
  if named.chance is not None and named.value < named.chance + 0.25 * (named.real - named.chance):
    said.append(
      f"the faces ignore the speech: {named.value:.0%} show the right person, and always drawing "
      f"the same one would give {named.chance:.0%}. Look at classifier_accuracy: if that is low "
      "too, the speech cannot be told apart; otherwise try a higher loss.l1."
    )
  return said


def frechet(a: np.ndarray, b: np.ndarray) -> float:
  """Squared Frechet distance between Gaussians fitted to samples [N, C] and [M, C]; N, M > 1."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  covariance_a, covariance_b = np.cov(a.T), np.cov(b.T)
  values, vectors = np.linalg.eigh(covariance_a)
  root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
  between = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(0)).sum()
  shift = np.square(a.mean(0) - b.mean(0)).sum()
  return float(shift + np.trace(covariance_a) + np.trace(covariance_b) - 2 * between)


def _rated(
  name: str, draws: Sequence[Faces], held_out: Faces, named: Callable[[Faces], np.ndarray]
) -> dict[str, Row]:
  """A row of how often faces are given to the right person."""
  right = np.stack([named(faces) == faces.identity for faces in draws])
  counts = np.bincount(held_out.identity)
  return {
    name: Row(
      float(right.mean()),
      float((named(held_out) == held_out.identity).mean()),
      float(counts.max() / counts.sum()),
      {who: float(right[:, held_out.identity == who].mean()) for who in _people(held_out, 1)},
    )
  }


def _feature_distance(draws: Sequence[Faces], held_out: Faces, reference: Faces) -> dict[str, Row]:
  people = [who for who in _people(held_out, 2) if (reference.identity == who).sum() > 1]
  if not people:
    return {}
  same_count = reference[_same_count(reference.identity, held_out.identity)]

  def distance(faces: Faces, who: int) -> float:
    features = (x.features[x.identity == who] for x in (faces, held_out))
    return frechet(*features) / held_out.features.shape[1]

  by_identity = {who: _mean(distance(faces, who) for faces in draws) for who in people}
  real = _mean(distance(same_count, who) for who in people)
  return {"feature_distance": Row(_mean(by_identity.values()), real, None, by_identity)}


def _contrast(draws: Sequence[Faces], held_out: Faces) -> dict[str, Row]:
  def deviation(faces: Faces) -> float:
    return float(faces.pictures.std((1, 2, 3)).mean())

  return {"contrast": Row(_mean(map(deviation, draws)) / deviation(held_out), 1.0)}


def _spreads(draws: Sequence[Faces], held_out: Faces) -> dict[str, Row]:
  of_chunks, of_draws = {}, {}
  for who in _people(held_out, 2):
    chosen = np.flatnonzero(held_out.identity == who)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(PAIRED, len(chosen))).astype(int)]
    real = _differences(held_out.pictures[chosen])
    if real:
      drawn = np.stack([faces.pictures[chosen] for faces in draws], 1)
      of_chunks[who] = _mean(map(_differences, drawn.swapaxes(0, 1))) / real
      of_draws[who] = _mean(map(_differences, drawn)) / real
  rows = {}
  if of_chunks:
    rows["spread_of_chunks"] = Row(_mean(of_chunks.values()), 1.0, None, of_chunks)
    if len(draws) > 1:
      rows["spread_of_draws"] = Row(_mean(of_draws.values()), 1.0, None, of_draws)
  return rows


def _described_rows(draws: Sequence[Faces], held_out: Faces, reference: Faces) -> dict[str, Row]:
  def found(faces: Faces, how: str) -> float:
    return float(getattr(faces.described, how).mean())

  rows = {
    name: Row(_mean(found(faces, how) for faces in draws), found(held_out, how))
    for name, how in (("landmarks", "found"), ("landmarks_strictly", "found_strictly"))
  }
  people = _people(reference, 1)
  centroids = np.stack([_embedding(reference)[reference.identity == who].mean(0) for who in people])

  def nearest(faces: Faces) -> np.ndarray:
    distances = np.linalg.norm(_embedding(faces)[:, None] - centroids, axis=-1)
    nobody = -1
    return np.where(distances.min(1) <= SAME_PERSON, people[distances.argmin(1)], nobody)

  rows |= _rated("verified", draws, held_out, nearest)
  rows |= _mouth(draws, held_out)
  same_count = _same_count(reference.identity, held_out.identity)
  if len(held_out.identity) > 1 and len(same_count) > 1:
    real, other = _embedding(held_out), _embedding(reference)[same_count]
    distance = _mean(frechet(_embedding(faces), real) for faces in draws)
    rows["frechet_distance"] = Row(distance, frechet(other, real))
  return rows


def _mouth(draws: Sequence[Faces], held_out: Faces) -> dict[str, Row]:
  def openings(faces: Faces, who: int) -> np.ndarray:
    assert faces.described
    return faces.described.mouth[held_out.identity == who]

  def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0

  by_identity = {
    who: _mean(correlation(openings(held_out, who), openings(faces, who)) for faces in draws)
    for who in _people(held_out, 3)
  }
  return {"mouth": Row(_mean(by_identity.values()), 1.0, 0.0, by_identity)} if by_identity else {}


def _embedding(faces: Faces) -> np.ndarray:
  assert faces.described
  return faces.described.embedding


def _same_count(pool: np.ndarray, wanted: np.ndarray) -> np.ndarray:
  """Indices into labels `pool`, of each person as many as in `wanted`, or all that there are."""
  chosen = []
  for who, count in zip(*np.unique(wanted, return_counts=True), strict=True):
    of_person = np.flatnonzero(pool == who)
    if len(of_person):
      evenly = np.linspace(0, len(of_person) - 1, min(count, len(of_person)))
      chosen.append(of_person[evenly.round().astype(int)])
  return np.concatenate(chosen) if chosen else np.zeros(0, int)


def _people(faces: Faces, least: int) -> np.ndarray:
  """Labels of which there are at least so many faces."""
  return np.flatnonzero(np.bincount(faces.identity) >= least)


def _differences(pictures: np.ndarray) -> float:
  """Mean absolute difference over all pairs of pictures [N, S, S, 3], in gray levels."""
  pictures = pictures.astype(np.float32)
  pairs = [np.abs(pictures[i + 1 :] - one).mean((1, 2, 3)) for i, one in enumerate(pictures[:-1])]
  return float(np.concatenate(pairs).mean()) if pairs else 0.0


def _mean(values: Iterable[float]) -> float:
  return float(np.mean(list(values)))
