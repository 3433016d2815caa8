"""The list of all metrics; a new metric is a function and an entry in `METRICS`.

No metric is to be trusted alone. Noise is diverse, one mean face passes the landmark test, and real
faces of the wrong person are flawless; each of these fails another metric
(`tests/metrics/test_metrics.py`).
"""

import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from wav2pix_jax.common.dlib_faces import SAME_PERSON
from wav2pix_jax.common.indices import spread_evenly
from wav2pix_jax.metrics.bootstrap import Measure
from wav2pix_jax.metrics.expression import SMILE, SPREAD
from wav2pix_jax.metrics.faces import Faces
from wav2pix_jax.metrics.heard import OFFSETS, Heard
from wav2pix_jax.metrics.metric import Context, Kind, Metric, Need

PAIRED = 64  # faces of a speaker that are compared in pairs, at most
PERMUTATIONS = 1_000
LEAST_SILENT = 10  # chunks in silence, to tell from their real faces what a closed mouth is
RIDGE = 3e-3  # of the classifier of genders
SEED = 0


def _right_identity(context: Context, faces: Faces) -> np.ndarray:
  """The identity classifier names the right person."""
  return faces.logits.argmax(-1) == faces.identity


def _right_identity_vgg_face(context: Context, faces: Faces) -> np.ndarray:
  """VGG-Face, fine-tuned on real faces, names the right person (paper, section 5)."""
  return np.asarray(faces.named) == faces.identity


def _right_gender(context: Context, faces: Faces) -> np.ndarray:
  """A linear classifier of dlib's embeddings finds the speaker's gender.

  It is a ridge regression on the real reference faces, if possible of other people than those who
  speak, and weighs genders equally.
  """
  reference, genders = context.reference, context.genders
  learned = ~np.isin(reference.identity, context.held_out.identity)
  if len(np.unique(genders[reference.identity[learned]])) < len(np.unique(genders)):
    learned = np.ones(len(reference), bool)
  known, of = np.unique(genders[reference.identity[learned]], return_inverse=True)
  embeddings = reference.by_dlib.embedding[learned]
  weight = 1 / np.bincount(of)[of]
  centre = weight @ embeddings / weight.sum()
  centred, target = embeddings - centre, np.eye(len(known))[of]
  inner = centred.T @ (weight[:, None] * centred) + RIDGE * np.eye(centred.shape[1])
  directions = np.linalg.solve(inner, centred.T @ (weight[:, None] * (target - 1 / len(known))))
  found = ((faces.by_dlib.embedding - centre) @ directions).argmax(1)
  return known[found] == genders[faces.identity]


def _verified(context: Context, faces: Faces) -> np.ndarray:
  """The nearest centroid of real faces in dlib's embedding is the person's, and within 0.6."""
  reference = context.reference
  people = reference.people(1)
  known = reference.by_dlib.embedding
  centroids = np.stack([known[reference.identity == label].mean(0) for label in people])
  distances = _distances(faces.by_dlib.embedding, centroids)
  right = people[distances.argmin(1)] == faces.identity
  return right & (distances.min(1) <= SAME_PERSON)


def _retrieved(count: int, context: Context, faces: Faces) -> np.ndarray:
  """One of the `count` nearest real faces in dlib's embedding shows the person."""
  reference = context.reference
  distances = _distances(faces.by_dlib.embedding, reference.by_dlib.embedding)
  nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
  return (reference.identity[nearest] == faces.identity[:, None]).any(1)


def _landmarks(context: Context, faces: Faces) -> np.ndarray:
  """Dlib finds a face and its 68 landmarks (paper, section 5)."""
  return faces.by_dlib.found


def _landmarks_strictly(context: Context, faces: Faces) -> np.ndarray:
  """Dlib finds them in the picture as it is, without padding and upsampling."""
  return faces.by_dlib.found_strictly


def _frechet_distance(context: Context, draws: Sequence[Faces]) -> Measure | None:
  """Frechet distance to the real faces in dlib's embedding."""
  if len(context.held_out) < 2:
    return None
  real = context.held_out.by_dlib.embedding

  def measure(chunks):
    embeddings = (faces.by_dlib.embedding[chunks] for faces in draws)
    return _mean(frechet(embedding, real[chunks]) for embedding in embeddings), {}

  return measure


def _kernel_distance(context: Context, draws: Sequence[Faces]) -> Measure | None:
  """Squared maximum mean discrepancy to the real faces in the identity classifier's features.

  The kernel is (x y / C + 1)**3 (Binkowski et al. 2018); the estimate is unbiased.
  """
  if len(context.held_out) < 2:
    return None

  def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float64) @ b.T.astype(np.float64) / a.shape[1] + 1) ** 3

  real = context.held_out.features
  # The contribution of each pair of chunks.
  terms = np.mean(
    [
      kernel(faces.features, faces.features) + kernel(real, real) - 2 * kernel(faces.features, real)
      for faces in draws
    ],
    0,
  )
  return lambda chunks: (_over_pairs(terms, chunks), {})


def _feature_distance(context: Context, draws: Sequence[Faces]) -> Measure | None:
  """Frechet distance to the real faces of the same person in the identity classifier's features.

  It is the mean over features, and over people with two faces, who must be at least half of all. It
  rises with blur, noise, sameness and the wrong person alike; of the metrics without dlib it is the
  one to choose checkpoints by.
  """
  held_out, reference = context.held_out, context.reference
  people = [label for label in held_out.people(2) if (reference.identity == label).sum() > 1]
  if 2 * len(people) < len(held_out.people(1)):
    return None  # a few people would decide for all which checkpoint is best

  def distance(label: int, own: np.ndarray) -> float:
    real = held_out.features[own]
    return _mean(frechet(faces.features[own], real) / real.shape[1] for faces in draws)

  return lambda chunks: _over_people(held_out.identity, people, chunks, distance)


def _mouth_opening(faces: Faces) -> np.ndarray:
  return faces.by_dlib.mouth


def _expressed(part: int, faces: Faces) -> np.ndarray:
  if faces.expression is None:
    raise ValueError("these faces were described without the regressor of expressions")
  return faces.expression[:, part]


def _followed(
  of: Callable[[Faces], np.ndarray], context: Context, draws: Sequence[Faces]
) -> Measure | None:
  """Correlation of a number that `of` tells of faces, in generated and in real faces.

  It is the mean over draws and over people with at least three faces, and 0 where the faces do not
  follow the speech.
  """
  held_out = context.held_out
  if not len(held_out.people(3)):
    return None
  generated = [of(faces) for faces in draws]
  return functools.partial(_correlation, of(held_out), generated, held_out)


def _followed_p_value(
  of: Callable[[Faces], np.ndarray], context: Context, draws: Sequence[Faces]
) -> float:
  """Share of permutations of each person's real faces that go as well with the generated ones."""
  rng = np.random.default_rng(SEED)
  held_out = context.held_out
  real, generated = of(held_out), [of(faces) for faces in draws]
  chunks = np.arange(len(held_out))
  observed, _ = _correlation(real, generated, held_out, chunks)
  by_person = np.argsort(held_out.identity, kind="stable")
  at_least = 0
  for _ in range(PERMUTATIONS):
    shuffled = rng.permutation(len(real))
    shuffled = shuffled[np.argsort(held_out.identity[shuffled], kind="stable")]
    permuted = np.empty_like(real)
    permuted[by_person] = real[shuffled]
    at_least += _correlation(permuted, generated, held_out, chunks)[0] >= observed
  return (at_least + 1) / (PERMUTATIONS + 1)


def _own_face_nearer(context: Context, faces: Faces) -> np.ndarray:
  """Share of the speaker's faces at other moments that the judge of sync finds farther away."""
  similar = _heard(context).at_once @ _seen(faces).T
  others = (faces.identity[:, None] == faces.identity) & ~np.eye(len(faces), dtype=bool)
  farther = similar < np.diag(similar)[:, None]
  ties = similar == np.diag(similar)[:, None]
  counts = others.sum(1)
  share = ((farther + ties / 2) * others).sum(1) / np.maximum(counts, 1)
  return np.where(counts > 0, share, np.nan)


def _sync_offset(context: Context, draws: Sequence[Faces]) -> Measure:
  """Milliseconds from the face to the speech that the judge of sync finds nearest to it."""
  vectors = _heard(context).vectors
  similar = np.stack([np.einsum("nkc,nc->nk", vectors, _seen(faces)) for faces in draws])

  def measure(chunks):
    return _mean(OFFSETS[similar[:, chunks].mean(1).argmax(-1)]), {}

  return measure


def _closed(silent: bool, context: Context, faces: Faces) -> np.ndarray:
  """Whether the mouth is closed, at moments at which nobody speaks, or at the others.

  It is closed if its opening by landmarks is below the 90th percentile of real ones in silence.
  """
  in_silence = _heard(context).silent
  if in_silence.sum() < LEAST_SILENT:
    return np.full(len(faces), np.nan)
  limit = np.quantile(context.held_out.by_dlib.mouth[in_silence], 0.9)
  return np.where(in_silence == silent, faces.by_dlib.mouth <= limit, np.nan)


def _diversity_of_chunks(context: Context, draws: Sequence[Faces]) -> Measure | None:
  """Mean difference between faces of a speaker, over that of real ones."""
  held_out, people = context.held_out, _varied(context.held_out)
  if not people:
    return None
  paired = {
    label: spread_evenly(np.flatnonzero(held_out.identity == label), PAIRED) for label in people
  }
  real = {label: _differences(held_out.pictures[paired[label]]) for label in people}
  generated = {
    label: np.mean([_differences(faces.pictures[paired[label]]) for faces in draws], 0)
    for label in people
  }
  places = {label: {chunk: i for i, chunk in enumerate(paired[label])} for label in people}

  def ratio(label: int, own: np.ndarray) -> float:
    pairs = np.array([places[label][chunk] for chunk in own if chunk in places[label]], int)
    return _over_pairs(generated[label], pairs) / _over_pairs(real[label], pairs)

  return lambda chunks: _over_people(held_out.identity, people, chunks, ratio)


def _diversity_of_draws(context: Context, draws: Sequence[Faces]) -> Measure | None:
  """Mean difference between samples of one chunk, over that between real faces of the speaker."""
  held_out, people = context.held_out, _varied(context.held_out)
  if not people:
    return None
  pictures = np.stack([faces.pictures for faces in draws], 1)
  generated = np.array([_over_pairs(_differences(one), np.arange(len(draws))) for one in pictures])
  real = {}
  for label in people:
    paired = spread_evenly(np.flatnonzero(held_out.identity == label), PAIRED)
    real[label] = _over_pairs(_differences(held_out.pictures[paired]), np.arange(len(paired)))

  def difference(label: int, own: np.ndarray) -> float:
    return float(generated[own].mean()) / real[label]

  return lambda chunks: _over_people(held_out.identity, people, chunks, difference)


def _contrast(context: Context, draws: Sequence[Faces]) -> Measure:
  """Mean standard deviation of a face's pixels, over that of real ones."""
  real = context.held_out.pictures.std((1, 2, 3))
  generated = np.mean([faces.pictures.std((1, 2, 3)) for faces in draws], 0)
  return lambda chunks: (float(generated[chunks].mean() / real[chunks].mean()), {})


def _follows(name: str, title: str, of: Callable[[Faces], np.ndarray], need: Need) -> Metric:
  """Returns the metric of how well a number that `of` tells of faces follows the speech."""
  follows, p_value = functools.partial(_followed, of), functools.partial(_followed_p_value, of)
  return Metric(name, title, Kind.CORRELATION, follows, [need], p_value)


METRICS = [  # in the order of tables
  Metric(
    "identity_accuracy", "identity accuracy", Kind.SHARE, _right_identity, [Need.KNOWN_IDENTITIES]
  ),
  Metric(
    "vgg_face_accuracy",
    "identity accuracy, VGG-Face",
    Kind.SHARE,
    _right_identity_vgg_face,
    [Need.KNOWN_IDENTITIES, Need.VGG_FACE],
  ),
  Metric("gender", "gender agreement", Kind.SHARE, _right_gender, [Need.GENDERS, Need.DLIB]),
  Metric("verified", "verified", Kind.SHARE, _verified, [Need.DLIB]),
  *(
    Metric(
      f"retrieved_{count}",
      "speaker nearest" if count == 1 else f"speaker among nearest {count}",
      Kind.SHARE,
      functools.partial(_retrieved, count),
      [Need.DLIB],
    )
    for count in (1, 5, 10)
  ),
  Metric("landmarks", "landmarks found", Kind.SHARE, _landmarks, [Need.DLIB]),
  Metric(
    "landmarks_strictly", "landmarks found, strictly", Kind.SHARE, _landmarks_strictly, [Need.DLIB]
  ),
  Metric(
    "frechet_distance",
    "Frechet distance (0 is best)",
    Kind.DISTANCE,
    _frechet_distance,
    [Need.DLIB],
  ),
  Metric("kernel_distance", "kernel distance (0 is best)", Kind.DISTANCE, _kernel_distance),
  _follows("mouth", "mouth opening, correlation", _mouth_opening, Need.DLIB),
  *(
    _follows(name, title, functools.partial(_expressed, part), Need.EXPRESSION)
    for name, title, part in (
      ("lip_spread", "lip spread, correlation", SPREAD),
      ("smile", "smile, correlation", SMILE),
    )
  ),
  Metric("sync", "own face nearer to the speech", Kind.SHARE, _own_face_nearer, [Need.SPEECH]),
  Metric(
    "sync_offset", "offset of the nearest speech, ms", Kind.OFFSET, _sync_offset, [Need.SPEECH]
  ),
  *(
    Metric(
      f"closed_in_{moment}",
      f"mouth closed in {moment}",
      Kind.SHARE,
      functools.partial(_closed, moment == "silence"),
      [Need.DLIB, Need.SPEECH],
    )
    for moment in ("silence", "speech")
  ),
  Metric("feature_distance", "feature distance (0 is best)", Kind.DISTANCE, _feature_distance),
  Metric("spread_of_chunks", "diversity between chunks", Kind.RATIO, _diversity_of_chunks),
  Metric(
    "spread_of_draws",
    "diversity between draws",
    Kind.RATIO,
    _diversity_of_draws,
    [Need.SEVERAL_DRAWS],
  ),
  Metric("contrast", "contrast", Kind.RATIO, _contrast),
]


def frechet(a: np.ndarray, b: np.ndarray) -> float:
  """Returns the squared Frechet distance of Gaussians fitted to [N, C] and [M, C]; N, M > 1."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  shift = np.square(a.mean(0) - b.mean(0)).sum()
  a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
  # The trace of the root of the covariances' product is the sum of the singular values of a b^T.
  root_a, root_b = (np.asarray(np.linalg.qr(x, mode="r")) for x in (a, b))
  between = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
  return float(shift + np.square(a).sum() + np.square(b).sum() - 2 * between)


def _heard(context: Context) -> Heard:
  if context.heard is None:
    raise ValueError("the speech is not known")
  return context.heard


def _seen(faces: Faces) -> np.ndarray:
  if faces.seen is None:
    raise ValueError("these faces were described without the judge of sync")
  return faces.seen


def _varied(held_out: Faces) -> list[int]:
  """Returns the labels whose real faces are not all equal."""
  return [
    int(label)
    for label in held_out.people(2)
    if np.ptp(held_out.pictures[held_out.identity == label], 0).any()
  ]


def _over_people(
  identity: np.ndarray,
  people: Iterable[int],
  chunks: np.ndarray,
  value: Callable[[int, np.ndarray], float],
) -> tuple[float, dict[int, float]]:
  """Returns the mean over people of a value of the label and its chunks, and the value of each.

  Of a resample of people, those whom it contains twice count twice. People whom it does not
  contain, and those whose value is NaN, are left out.
  """
  labels, by_identity, counted = identity[chunks], {}, []
  for label in people:
    own = chunks[labels == label]
    one = value(label, own) if len(own) else np.nan
    if not np.isnan(one):
      by_identity[int(label)] = one
      counted += [one] * round(len(own) / (identity == label).sum())
  return _mean(counted) if counted else np.nan, by_identity


def _correlation(
  real: np.ndarray, generated: Sequence[np.ndarray], held_out: Faces, chunks: np.ndarray
) -> tuple[float, dict[int, float]]:
  """Returns the correlation of real numbers [N] and generated ones on some chunks, as `Measure`."""
  real, drawn = real.astype(np.float64), np.stack(generated).astype(np.float64)

  def correlation(label: int, own: np.ndarray) -> float:
    a, b = real[own], drawn[:, own]
    varied = (np.ptp(a) > 0) & (np.ptp(b, 1) > 0)
    a, b = a - a.mean(), b - b.mean(1, keepdims=True)
    spread = np.sqrt(np.square(a).sum() * np.square(b).sum(1))
    return float(np.divide(b @ a, spread, np.zeros(len(b)), where=varied).mean())

  return _over_people(held_out.identity, held_out.people(3), chunks, correlation)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Returns the distances [N, M] of vectors [N, C] and [M, C]."""
  return np.linalg.norm(a[:, None] - b, axis=-1)


def _differences(pictures: np.ndarray) -> np.ndarray:
  """Returns the mean absolute difference [N, N] of pictures [N, S, S, 3] in gray levels."""
  pictures = pictures.astype(np.float32)
  return np.stack([np.abs(pictures - one).mean((1, 2, 3)) for one in pictures])


def _over_pairs(matrix: np.ndarray, chosen: np.ndarray) -> float:
  """Returns the mean of a matrix [N, N] over pairs of different chosen indices; NaN without any."""
  differ = chosen[:, None] != chosen
  return float(matrix[np.ix_(chosen, chosen)][differ].mean()) if differ.any() else np.nan


def _mean(values: Iterable[float]) -> float:
  return float(np.mean(list(values)))
