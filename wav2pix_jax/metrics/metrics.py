"""How good drawn faces are: each row beside the same measure of real faces, and beside chance.

No row is to be trusted alone. Noise is varied, a mean face passes the landmark test, and real faces
of the wrong person are flawless; each of these fails another row (`tests/test_metrics.py`).
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from wav2pix_jax.common.dlib_faces import SAME_PERSON, Describe, Described
from wav2pix_jax.metrics.identity_classifier import Identify
from wav2pix_jax.metrics.vgg_face import Name

TITLES = {  # of the rows, in the order of the table
  "identity_accuracy": "identity accuracy",
  "vgg_face_accuracy": "identity accuracy, VGG-Face",
  "gender": "gender agreement",
  "verified": "verified",
  "retrieved_1": "speaker nearest",
  "retrieved_5": "speaker among nearest 5",
  "retrieved_10": "speaker among nearest 10",
  "landmarks": "landmarks found",
  "landmarks_strictly": "landmarks found, strictly",
  "frechet_distance": "Frechet distance (0 is best)",
  "kernel_distance": "kernel distance (0 is best)",
  "mouth": "mouth opening, correlation",
  "feature_distance": "feature distance (0 is best)",
  "spread_of_chunks": "spread between chunks",
  "spread_of_draws": "spread between draws",
  "contrast": "contrast",
}
NEAREST = (1, 5, 10)  # real faces among which a drawn face's speaker is looked for
_RETRIEVED = tuple(f"retrieved_{count}" for count in NEAREST)
_LANDMARKS = "landmarks", "landmarks_strictly"
BY_CLASSIFIERS = "identity_accuracy", "vgg_face_accuracy"
BY_DLIB = ("verified", *_RETRIEVED, *_LANDMARKS, "frechet_distance", "mouth")
# Distances are 0 between equal faces, so what real faces reach is the distance to other real faces.
DISTANCES = ("frechet_distance", "kernel_distance", "feature_distance")
SHARES = (*BY_CLASSIFIERS, "gender", "verified", *_RETRIEVED, *_LANDMARKS)
PAIRED = 64  # faces of a speaker of which all pairs are compared, at most
PERMUTATIONS = 1_000
SEED = 0  # of faces drawn by chance, resamples and permutations


@dataclasses.dataclass(frozen=True)
class Faces:
  """N faces of known people, and what was made of them.

  Attributes:
    pictures: uint8 [N, S, S, 3].
    identity: int32 [N], who it is or ought to be.
    logits: float32 [N, learned identities], of the classifier in `identify.py`.
    features: float32 [N, C], of the same.
    described: by dlib; None without it.
    named: int32 [N], by VGG-Face; None without it.
  """

  pictures: np.ndarray
  identity: np.ndarray
  logits: np.ndarray
  features: np.ndarray
  described: Described | None = None
  named: np.ndarray | None = None

  def __getitem__(self, chosen: np.ndarray) -> "Faces":
    return Faces(
      self.pictures[chosen],
      self.identity[chosen],
      self.logits[chosen],
      self.features[chosen],
      self.described and self.described[chosen],
      None if self.named is None else self.named[chosen],
    )


@dataclasses.dataclass(frozen=True)
class Row:
  """One measure.

  Attributes:
    value: of the drawn faces.
    real: of real faces: the ceiling, or of a distance the floor.
    chance: of real faces of the most frequent person, whatever is said; where that person is
      unseen, of anybody, or nobody unseen would ever be found by chance.
    by_identity: value for each label, where it has a meaning.
    interval: 95% of the values that other chunks would give; None where it was not asked for.
    intervals: the same for each label.
    p_value: share of permutations in which faces of other chunks go as well with the speech, where
      that was tested.
  """

  value: float
  real: float
  chance: float
  by_identity: dict[int, float] = dataclasses.field(default_factory=dict)
  interval: tuple[float, float] | None = None
  intervals: dict[int, tuple[float, float]] = dataclasses.field(default_factory=dict)
  p_value: float | None = None


# A measure of chunks int [n], some of them more than once: the value, and that of each label.
Measure = Callable[[np.ndarray], tuple[float, dict[int, float]]]
# Of draws of all chunks.
Maker = Callable[[Sequence[Faces]], Measure]


def make_out(
  pictures: np.ndarray,
  identity: np.ndarray,
  identify: Identify,
  describe: Describe | None = None,
  name: Name | None = None,
  title: str = "",
) -> Faces:
  """Pictures, uint8 [N, S, S, 3], of people, int32 [N], with what is made of them.

  Args:
    pictures: to look at.
    identity: who it is or ought to be.
    identify: the classifier of the dataset's people.
    describe: dlib, where it is wanted.
    name: VGG-Face, where it is wanted.
    title: for their progress bars.
  """
  described = describe(pictures, title) if describe else None
  named = name(pictures, f"{title}, VGG-Face") if name else None
  return Faces(pictures, identity, *identify(pictures), described, named)


def measure(
  draws: Sequence[Faces],
  held_out: Faces,
  reference: Faces,
  resamples: int = 0,
  genders: Sequence[str] | None = None,
) -> dict[str, Row]:
  """All rows that these faces allow; those of dlib only where it described them.

  Intervals are bootstrapped: each person's chunks are drawn anew, with replacement, and all draws
  of a chunk go with it. Rows other than shares have a bias in resamples, which hold the same face
  twice; their intervals are moved by it.

  Args:
    draws: the faces drawn from the same N chunks of speech, once or more.
    held_out: the N real faces that go with the speech.
    reference: real faces of everyone, other than those.
    resamples: for the intervals; 0: none.
    genders: of each label, where they are known.

  Returns:
    identity_accuracy: share of drawn faces that the classifier gives to the right person; not of
      unseen people, whom it does not know.
    vgg_face_accuracy: the same by VGG-Face (paper section 5).
    gender: share of drawn faces that the classifier gives to somebody of the right gender.
    feature_distance: Frechet distance to the real faces of the same person in the classifier's
      features, a mean over people and over features. 0 is best. It rises with blur, noise, sameness
      and the wrong person alike; of the rows without dlib it is the one to choose by.
    kernel_distance: squared maximum mean discrepancy to the real faces in the classifier's features
      with the kernel (x y / C + 1)**3 (Binkowski et al. 2018), without bias; 0 is best.
    contrast: mean deviation of the pixels of a face, over that of real ones.
    spread_of_chunks: mean difference between faces of a speaker, over that of real ones.
    spread_of_draws: mean difference between draws of one chunk, over the same of real ones.
    landmarks: share of faces in which dlib finds a face and its landmarks (paper section 5).
    landmarks_strictly: the same of the pictures as they are.
    verified: share whose embedding is nearest to the right person's centroid of real training
      faces, and as near as dlib takes for the same person.
    retrieved_K: share whose K nearest real training faces, in dlib's embedding, hold the speaker.
    frechet_distance: in dlib's embedding, to the real faces; 0 is best.
    mouth: correlation between how far the mouth is open in drawn and in real faces of a person, by
      dlib's landmarks, a mean over people of three faces or more; 0 where a mouth does not follow
      the speech. Tested by permuting the real faces of each person.
    A row is left out where there are too few faces: a distance needs two of somebody.
  """
  chunks = np.arange(len(held_out.identity))
  by_chance = _by_chance(held_out, reference, len(draws))
  peers = _peers(held_out, reference)
  rows = {}
  for name, make in _makers(held_out, reference, len(draws), genders).items():
    measured = make(draws)
    value, by_identity = measured(chunks)
    if name == "spread_of_draws":
      real = 1.0  # two real faces
    else:
      real, _ = make([peers if name in DISTANCES else held_out])(chunks)
    chance, _ = make(by_chance)(chunks)
    row = Row(value, real, chance, by_identity)
    if resamples:
      row = _with_intervals(row, measured, held_out.identity, resamples, name in SHARES)
    if name == "mouth":
      row = dataclasses.replace(row, chance=0.0, p_value=_p_value(draws, held_out))
    rows[name] = row
  return rows


def table(rows: dict[str, Row], names: Sequence[str]) -> str:
  """The rows as lines of text.

  Args:
    rows: by name.
    names: of the identities; the columns name those who do best and worst, or both of two.
  """
  lines = [f"{'':30}{'drawn':>8}  {'95%':14}{'real':>8}{'chance':>8}  by person"]
  for name, title in TITLES.items():
    if row := rows.get(name):
      interval = " to ".join(f"{end:.3f}" for end in row.interval or ())
      by_person = sorted((value, names[who]) for who, value in row.by_identity.items())
      ends = by_person if len(by_person) <= 2 else [by_person[0], by_person[-1]]
      people = " to ".join(f"{value:.3f} ({who})" for value, who in ends)
      p = "" if row.p_value is None else f"  p = {row.p_value:.3f}"
      figures = f"{row.value:8.3f}  {interval:14}{row.real:8.3f}{row.chance:8.3f}"
      lines.append(f"{title:30}{figures}  {people}{p}".rstrip())
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
  if named.value < named.chance + 0.25 * (named.real - named.chance):
    said.append(
      f"the faces ignore the speech: {named.value:.0%} show the right person, and always drawing "
      f"the same one would give {named.chance:.0%}. Look at classifier_accuracy: if that is low "
      "too, the speech cannot be told apart; otherwise try a higher loss.l1."
    )
  return said


def frechet(a: np.ndarray, b: np.ndarray) -> float:
  """Squared Frechet distance between Gaussians fitted to samples [N, C] and [M, C]; N, M > 1."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  shift = np.square(a.mean(0) - b.mean(0)).sum()
  a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
  # The trace of the root of the covariances' product is the sum of the singular values of a b^T.
  root_a, root_b = (np.asarray(np.linalg.qr(x, mode="r")) for x in (a, b))
  between = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
  return float(shift + np.square(a).sum() + np.square(b).sum() - 2 * between)


def evenly(indices: np.ndarray, count: int) -> np.ndarray:
  """Up to `count` of the indices, spread evenly."""
  return indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)]


def _makers(
  held_out: Faces, reference: Faces, draws: int, genders: Sequence[str] | None
) -> dict[str, Maker]:
  """What can be measured of so many draws, by name."""

  def share(right: Callable[[Faces], np.ndarray]) -> Maker:
    return functools.partial(_share, held_out, right)

  makers: dict[str, Maker] = {
    "contrast": functools.partial(_contrast, held_out),
  }
  if held_out.identity.max() < held_out.logits.shape[1]:
    makers["identity_accuracy"] = share(lambda faces: faces.logits.argmax(-1) == faces.identity)
  if genders:
    makers["gender"] = share(functools.partial(_of_same_gender, np.array(genders)))
  several = _people(held_out, 2)
  compared = [who for who in several if (reference.identity == who).sum() > 1]
  if compared:
    makers["feature_distance"] = functools.partial(_feature_distance, held_out, compared)
  if len(held_out.identity) > 1:
    makers["kernel_distance"] = functools.partial(_kernel_distance, held_out)
  varied = [who for who in several if np.ptp(held_out.pictures[held_out.identity == who], 0).any()]
  if varied:
    makers["spread_of_chunks"] = functools.partial(_spread_of_chunks, held_out, varied)
  if varied and draws > 1:
    makers["spread_of_draws"] = functools.partial(_spread_of_draws, held_out, varied)
  if held_out.named is not None:
    makers["vgg_face_accuracy"] = share(_rightly_named)
  if held_out.described:
    makers |= {
      "landmarks": share(lambda faces: _described(faces).found),
      "landmarks_strictly": share(lambda faces: _described(faces).found_strictly),
      "verified": share(functools.partial(_verified, reference)),
    }
    for count in NEAREST:
      makers[f"retrieved_{count}"] = share(functools.partial(_retrieved, reference, count))
    if len(held_out.identity) > 1:
      makers["frechet_distance"] = functools.partial(_frechet_distance, held_out)
    if len(_people(held_out, 3)):
      makers["mouth"] = functools.partial(_mouth, held_out)
  return makers


def _share(
  held_out: Faces, right: Callable[[Faces], np.ndarray], draws: Sequence[Faces]
) -> Measure:
  rightly = np.mean([right(faces) for faces in draws], 0)

  def measure(chunks):
    of_whom = held_out.identity[chunks]
    by_identity = {int(who): _mean(rightly[chunks[of_whom == who]]) for who in np.unique(of_whom)}
    return _mean(rightly[chunks]), by_identity

  return measure


def _of_same_gender(genders: np.ndarray, faces: Faces) -> np.ndarray:
  return genders[faces.logits.argmax(-1)] == genders[faces.identity]


def _rightly_named(faces: Faces) -> np.ndarray:
  assert faces.named is not None
  return faces.named == faces.identity


def _verified(reference: Faces, faces: Faces) -> np.ndarray:
  people = _people(reference, 1)
  known = _described(reference).embedding
  centroids = np.stack([known[reference.identity == who].mean(0) for who in people])
  distances = _distances(_described(faces).embedding, centroids)
  right = people[distances.argmin(1)] == faces.identity
  return right & (distances.min(1) <= SAME_PERSON)


def _retrieved(reference: Faces, count: int, faces: Faces) -> np.ndarray:
  distances = _distances(_described(faces).embedding, _described(reference).embedding)
  nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
  return (reference.identity[nearest] == faces.identity[:, None]).any(1)


def _contrast(held_out: Faces, draws: Sequence[Faces]) -> Measure:
  def deviations(faces: Faces) -> np.ndarray:
    return faces.pictures.std((1, 2, 3))

  real, drawn = deviations(held_out), np.mean([deviations(faces) for faces in draws], 0)

  def measure(chunks):
    return float(drawn[chunks].mean() / real[chunks].mean()), {}

  return measure


def _feature_distance(held_out: Faces, people: Sequence[int], draws: Sequence[Faces]) -> Measure:
  def distance(faces: Faces, chunks: np.ndarray) -> float:
    both = faces.features[chunks], held_out.features[chunks]
    return frechet(*both) / held_out.features.shape[1]

  def measure(chunks):
    of_whom = held_out.identity[chunks]
    by_identity = {
      int(who): _mean(distance(faces, chunks[of_whom == who]) for faces in draws) for who in people
    }
    return _mean(by_identity.values()), by_identity

  return measure


def _frechet_distance(held_out: Faces, draws: Sequence[Faces]) -> Measure:
  real = _described(held_out).embedding

  def measure(chunks):
    drawn = (_described(faces).embedding[chunks] for faces in draws)
    return _mean(frechet(embedding, real[chunks]) for embedding in drawn), {}

  return measure


def _kernel_distance(held_out: Faces, draws: Sequence[Faces]) -> Measure:
  def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float64) @ b.T.astype(np.float64) / a.shape[1] + 1) ** 3

  real = held_out.features
  # For each pair of chunks, what it adds to the distance.
  terms = np.mean(
    [
      kernel(faces.features, faces.features) + kernel(real, real) - 2 * kernel(faces.features, real)
      for faces in draws
    ],
    0,
  )
  return lambda chunks: (_over_pairs(terms, chunks), {})


def _spread_of_chunks(held_out: Faces, people: Sequence[int], draws: Sequence[Faces]) -> Measure:
  paired = {who: evenly(np.flatnonzero(held_out.identity == who), PAIRED) for who in people}
  real = {who: _differences(held_out.pictures[paired[who]]) for who in people}
  drawn = {
    who: np.mean([_differences(faces.pictures[paired[who]]) for faces in draws], 0)
    for who in people
  }
  places = {who: {chunk: i for i, chunk in enumerate(paired[who])} for who in people}

  def measure(chunks):
    by_identity = {}
    for who in people:
      chosen = np.array([places[who][chunk] for chunk in chunks if chunk in places[who]], int)
      by_identity[int(who)] = _over_pairs(drawn[who], chosen) / _over_pairs(real[who], chosen)
    return float(np.nanmean(list(by_identity.values()))), by_identity

  return measure


def _spread_of_draws(held_out: Faces, people: Sequence[int], draws: Sequence[Faces]) -> Measure:
  pictures = np.stack([faces.pictures for faces in draws], 1)
  drawn = np.array([_over_pairs(_differences(one), np.arange(len(draws))) for one in pictures])
  real = {}
  for who in people:
    paired = evenly(np.flatnonzero(held_out.identity == who), PAIRED)
    real[who] = _over_pairs(_differences(held_out.pictures[paired]), np.arange(len(paired)))

  def measure(chunks):
    of_whom = held_out.identity[chunks]
    by_identity = {int(who): _mean(drawn[chunks[of_whom == who]]) / real[who] for who in people}
    return _mean(by_identity.values()), by_identity

  return measure


def _mouth(held_out: Faces, draws: Sequence[Faces]) -> Measure:
  real, drawn = _mouths([held_out])[0], _mouths(draws)
  people = _people(held_out, 3)

  def measure(chunks):
    return _following(real[chunks], drawn[:, chunks], held_out.identity[chunks], people)

  return measure


def _p_value(draws: Sequence[Faces], held_out: Faces) -> float:
  """Share of `PERMUTATIONS` of each person's real faces that go as well with the drawn mouths."""
  rng = np.random.default_rng(SEED)
  real, drawn = _mouths([held_out])[0], _mouths(draws)
  compared = drawn, held_out.identity, _people(held_out, 3)
  observed, _ = _following(real, *compared)
  by_person = np.argsort(held_out.identity, kind="stable")
  at_least = 0
  for _ in range(PERMUTATIONS):
    shuffled = rng.permutation(len(real))
    shuffled = shuffled[np.argsort(held_out.identity[shuffled], kind="stable")]
    permuted = np.empty_like(real)
    permuted[by_person] = real[shuffled]
    at_least += _following(permuted, *compared)[0] >= observed
  return (at_least + 1) / (PERMUTATIONS + 1)


def _mouths(draws: Sequence[Faces]) -> np.ndarray:
  return np.stack([_described(faces).mouth for faces in draws])


def _following(
  real: np.ndarray, drawn: np.ndarray, identity: np.ndarray, people: np.ndarray
) -> tuple[float, dict[int, float]]:
  """Correlation of mouths [n] and [draws, n], for each of the people, and its mean."""

  def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0

  by_identity = {}
  for who in people:
    own = identity == who
    by_identity[int(who)] = _mean(correlation(real[own], mouths[own]) for mouths in drawn)
  return _mean(by_identity.values()), by_identity


def _with_intervals(
  row: Row, measure: Measure, identity: np.ndarray, resamples: int, unbiased: bool
) -> Row:
  rng = np.random.default_rng(SEED)
  people = [np.flatnonzero(identity == who) for who in np.unique(identity)]
  values: list[float] = []
  by_identity: dict[int, list[float]] = {who: [] for who in row.by_identity}
  for _ in range(resamples):
    value, of_people = measure(np.concatenate([rng.choice(own, len(own)) for own in people]))
    values.append(value)
    for who, one in of_people.items():
      by_identity[who].append(one)

  def interval(value: float, resampled: list[float]) -> tuple[float, float]:
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    bias = 0.0 if unbiased else np.nanmean(resampled) - value
    return float(low - bias), float(high - bias)

  intervals = {who: interval(row.by_identity[who], by_identity[who]) for who in by_identity}
  return dataclasses.replace(row, interval=interval(row.value, values), intervals=intervals)


def _by_chance(held_out: Faces, reference: Faces, draws: int) -> list[Faces]:
  """Draws of one who does not listen: real faces of the most frequent person, or of anybody."""
  rng = np.random.default_rng(SEED)
  frequent = np.bincount(held_out.identity).argmax()
  known = frequent < reference.logits.shape[1]
  pool = np.flatnonzero(reference.identity == frequent) if known else np.array([], int)
  pool = pool if len(pool) else np.arange(len(reference.identity))
  drawn = [reference[rng.choice(pool, len(held_out.identity))] for _ in range(draws)]
  return [dataclasses.replace(faces, identity=held_out.identity) for faces in drawn]


def _peers(held_out: Faces, reference: Faces) -> Faces:
  """For each real face another one, of the same person where there is one."""
  chosen = np.zeros(len(held_out.identity), int)
  for who in np.unique(held_out.identity):
    of_person = np.flatnonzero(reference.identity == who)
    pool = of_person if len(of_person) else np.arange(len(reference.identity))
    own = np.flatnonzero(held_out.identity == who)
    chosen[own] = np.resize(evenly(pool, len(own)), len(own))
  return reference[chosen]


def _described(faces: Faces) -> Described:
  assert faces.described
  return faces.described


def _people(faces: Faces, least: int) -> np.ndarray:
  """Labels of which there are at least so many faces."""
  return np.flatnonzero(np.bincount(faces.identity) >= least)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Between vectors [N, C] and [M, C]: [N, M]."""
  return np.linalg.norm(a[:, None] - b, axis=-1)


def _differences(pictures: np.ndarray) -> np.ndarray:
  """Mean absolute difference of all pairs of pictures [N, S, S, 3], in gray levels: [N, N]."""
  pictures = pictures.astype(np.float32)
  return np.stack([np.abs(pictures - one).mean((1, 2, 3)) for one in pictures])


def _over_pairs(matrix: np.ndarray, chosen: np.ndarray) -> float:
  """Mean of a matrix [N, N] over pairs of chosen indices that differ; NaN where none do."""
  differ = chosen[:, None] != chosen
  return float(matrix[np.ix_(chosen, chosen)][differ].mean()) if differ.any() else np.nan


def _mean(values: Iterable[float]) -> float:
  return float(np.mean(list(values)))
