"""Each way to fool the measures is told from good faces by a row, which is named here."""

import dataclasses

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image, ImageFilter

from wav2pix_jax import data, metrics
from wav2pix_jax.common import dlib_faces
from wav2pix_jax.metrics import bootstrap, identity_classifier, snapshot
from wav2pix_jax.metrics.heard import OFFSETS, Heard
from wav2pix_jax.reports import table

SIZE, PEOPLE, EACH = 64, 4, 32


@pytest.fixture(scope="module")
def four_people():
  """uint8 [people, faces of each, S, S, 3]: rendered, with all expressions and poses."""
  sheet = np.asarray(Image.open(ROOT / "tests" / "data" / "four_people_64px.jpg"))
  return sheet.reshape(PEOPLE, SIZE, EACH, SIZE, 3).swapaxes(1, 2)


@dataclasses.dataclass
class Bench:
  """Faces to measure with, and a way to measure others."""

  training: np.ndarray  # [people, faces, S, S, 3]
  held_out: metrics.Faces
  good: np.ndarray  # other faces of the same people, in the same order
  reference: metrics.Faces
  classify: identity_classifier.Classify
  make_out: object

  def rows(self, pictures):
    draws = [self.make_out(one, self.held_out.identity) for one in pictures]
    return metrics.measure(draws, self.held_out, self.reference)


def _each_once(describe):
  """Controls are mostly of the same pictures, and dlib takes a tenth of a second for each."""
  known = {}

  def of(faces, title):
    new = {face.tobytes(): face for face in faces if face.tobytes() not in known}
    if new:
      described = describe(np.stack(list(new.values())), title)
      rows = zip(*(getattr(described, f.name) for f in dataclasses.fields(described)), strict=True)
      known.update(zip(new, rows, strict=True))
    columns = zip(*(known[face.tobytes()] for face in faces), strict=True)
    return dlib_faces.Described(*map(np.stack, columns))

  return of


@pytest.fixture(scope="module")
def bench(four_people):
  training, held_out, good = np.split(four_people[:, :24], [12, 18], 1)

  def labels(faces):
    return np.repeat(np.arange(PEOPLE, dtype=np.int32), faces.shape[1])

  def flat(faces):
    return np.ascontiguousarray(faces.reshape(-1, SIZE, SIZE, 3))

  count = training.size // training[0, 0].size
  nothing = np.zeros(count, int)
  records = data.Records(
    flat(training), np.zeros(0, np.int16), nothing, labels(training), nothing, "", nothing
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(identity_classifier, "LEAST_STEPS", 80)
    patch.setattr(identity_classifier, "STEPS_PER_PERSON", 20)  # four people who differ much
    patch.setattr(identity_classifier, "BATCH", 16)
    classify = identity_classifier.as_function(identity_classifier.train_classifier(records))
  describe = _each_once(dlib_faces.describer())

  def make_out(pictures, identity):
    return metrics.describe_faces(pictures, identity, classify, describe)

  return Bench(
    training,
    make_out(flat(held_out), labels(held_out)),
    flat(good),
    make_out(flat(training), labels(training)),
    classify,
    make_out,
  )


@pytest.fixture(scope="module")
def good_rows(bench):
  """Of two draws, both real faces."""
  of_people = bench.good.reshape(PEOPLE, -1, *bench.good.shape[1:])
  return bench.rows([bench.good, np.roll(of_people, 1, 1).reshape(bench.good.shape)])


def noise(bench):
  return np.random.default_rng(0).integers(0, 256, bench.good.shape, np.uint8)


def gray(bench):
  return np.full_like(bench.good, 128)


def mean_face(bench):
  mean = bench.training.mean((0, 1)).round().astype(np.uint8)
  return np.broadcast_to(mean, bench.good.shape)


def blurred(bench):
  blur = ImageFilter.GaussianBlur(1.5)
  return np.stack([np.asarray(Image.fromarray(one).filter(blur)) for one in bench.good])


def wrong_person(bench):
  return np.roll(bench.good, len(bench.good) // PEOPLE, 0)


def shuffled_speech(bench):
  return bench.good[np.random.default_rng(1).permutation(len(bench.good))]


# What is done to the faces, the row that tells, and what it then says.
CONTROLS = [
  (noise, "landmarks", lambda row, good: row.value == 0),
  (noise, "verified", lambda row, good: row.value <= row.baseline),
  (gray, "contrast", lambda row, good: row.value == 0),
  (gray, "spread_of_chunks", lambda row, good: row.value == 0),
  (gray, "landmarks", lambda row, good: row.value == 0),
  (mean_face, "spread_of_chunks", lambda row, good: row.value == 0),
  (mean_face, "identity_accuracy", lambda row, good: row.value <= row.baseline),
  (mean_face, "verified", lambda row, good: row.value <= row.baseline),
  (blurred, "feature_distance", lambda row, good: row.value > 2 * good.value),
  (noise, "retrieved_1", lambda row, good: row.value < good.value / 2),
  (wrong_person, "retrieved_1", lambda row, good: row.value == 0),
  (shuffled_speech, "retrieved_1", lambda row, good: row.value < good.value / 2),
  (noise, "kernel_distance", lambda row, good: row.value > 2 * row.baseline),
  (gray, "kernel_distance", lambda row, good: row.value > 2 * row.baseline),
  (mean_face, "kernel_distance", lambda row, good: row.value > 10 * max(row.real, 0.01)),
  (blurred, "frechet_distance", lambda row, good: row.value > 1.3 * good.value),
  (wrong_person, "identity_accuracy", lambda row, good: row.value < row.baseline),
  (wrong_person, "verified", lambda row, good: row.value == 0),
  (shuffled_speech, "identity_accuracy", lambda row, good: row.value < good.value / 2),
  (shuffled_speech, "verified", lambda row, good: row.value < good.value / 2),
  *(
    (control, "feature_distance", lambda row, good: row.value > 2 * good.value)
    for control in (noise, gray, mean_face, wrong_person, shuffled_speech)
  ),
]


@pytest.fixture(scope="module")
def control_rows(bench):
  return {control: bench.rows([control(bench)]) for control, *_ in CONTROLS}


@pytest.mark.extra
@pytest.mark.parametrize(
  ("control", "name", "tells"), CONTROLS, ids=[f"{c.__name__}-{n}" for c, n, _ in CONTROLS]
)
def test_a_row_tells_the_control_from_good_faces(control, name, tells, good_rows, control_rows):
  good, row = good_rows[name], control_rows[control][name]
  assert tells(row, good), (row, good)
  assert not tells(good, good)


def test_good_faces_are_good(good_rows, record_property):
  for line in table.table(good_rows, "abcd").splitlines():
    record_property("Real faces measured as if drawn", line)
  for name in ("identity_accuracy", "verified", "landmarks"):
    assert good_rows[name].value >= 0.97, name
    assert good_rows[name].real >= 0.97, name
  for name in ("spread_of_chunks", "spread_of_draws", "contrast"):
    assert 0.8 < good_rows[name].value < 1.25, name
  assert snapshot._warnings(good_rows) == []


@pytest.mark.extra
@pytest.mark.parametrize(
  ("control", "words"), [(gray, "gray"), (mean_face, "collapsed"), (shuffled_speech, "ignore")]
)
def test_warnings_in_words(control, words, control_rows):
  assert any(words in warning for warning in snapshot._warnings(control_rows[control]))


@pytest.mark.extra
def test_the_mean_face_passes_the_landmark_test(control_rows):
  """Why that row is not to be trusted alone."""
  assert control_rows[mean_face]["landmarks"].value == 1


def test_the_baseline_is_to_draw_one_person_whatever_is_said(good_rows):
  for name in ("identity_accuracy", "verified", "retrieved_1"):
    assert good_rows[name].baseline == pytest.approx(1 / PEOPLE), name
  for name in (m.name for m in metrics.METRICS if m.kind == metrics.Kind.DISTANCE):
    assert good_rows[name].baseline > 3 * good_rows[name].value, name
  assert good_rows["landmarks"].baseline == 1  # it is a face


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_intervals_hold_the_truth_as_often_as_they_say(share):
  """Of faces named rightly with a known chance, on simulated evaluations."""
  rng = np.random.default_rng(0)
  identity = np.repeat(np.arange(2, dtype=np.int32), 60)
  names = np.eye(2, dtype=np.float32)

  def faces(named):
    pictures = rng.integers(0, 256, (len(identity), 2, 2, 3), np.uint8)
    features = rng.standard_normal((len(identity), 2)).astype(np.float32)
    return metrics.Faces(pictures, identity, names[named], features)

  real, held, distances = faces(identity), 0, []
  for _ in range(40):
    wrong = rng.random(len(identity)) > share
    rows = metrics.measure([faces(identity ^ wrong)], real, real, resamples=100)
    low, high = rows["identity_accuracy"].interval
    held += low <= share <= high
    assert 0 <= low <= rows["identity_accuracy"].value <= high <= 1
    low, high = rows["feature_distance"].interval
    distances.append(low <= rows["feature_distance"].value <= high)
  assert held >= 34
  assert np.mean(distances) > 0.9  # as resamples have a bias, which is taken off


@pytest.mark.parametrize(
  ("identity", "over_people"),
  [(np.arange(40), False), (np.repeat(np.arange(41), [1] * 40 + [3]), False)]
  + [(np.repeat(np.arange(40), 3), True)],
)
def test_people_are_drawn_where_they_have_a_chunk_each_or_stand_for_others(identity, over_people):
  """Seven in ten people are right, with all of their chunks."""
  rng, held, widths = np.random.default_rng(0), 0, []
  for _ in range(60):
    right = (rng.random(identity.max() + 1) < 0.7)[identity]

    def measure(chunks, right=right):
      labels = np.unique(identity[chunks])
      return right[chunks].mean(), {one: right[identity == one].mean() for one in labels}

    (low, high), by_label = bootstrap.intervals(
      measure, identity, 100, unbiased=True, over_people=over_people
    )
    held += low <= 0.7 <= high
    widths.append(high - low)
    assert not by_label  # nothing is known of other chunks of theirs
  assert held >= 51
  assert 0.2 < np.mean(widths) < 0.35  # 4 standard deviations of 40 people are 0.29


def test_unseen_people_are_judged_by_gender_and_not_by_name():
  """Genders are told by faces of others, even if the unseen have faces to compare with."""
  rng = np.random.default_rng(0)
  genders = np.array(["f", "m", "f", "m"])

  def faces(identity, like):
    pictures = rng.integers(0, 256, (len(identity), 2, 2, 3), np.uint8)
    embedding = 0.1 * rng.standard_normal((len(identity), 128))
    embedding[:, 0] += np.where(genders[like] == "m", 1, -1)
    found = np.ones(len(identity), bool)
    landmarks = rng.random((len(identity), 68, 2))
    described = dlib_faces.Described(found, found, embedding, landmarks)
    logits = np.eye(2, dtype=np.float32)[identity % 2]  # two were learned
    return metrics.Faces(pictures, identity, logits, rng.random((len(identity), 2)), described)

  unseen, everyone = np.repeat([2, 3], 200), np.repeat([0, 1, 2, 3], 50)
  held_out, reference = faces(unseen, unseen), faces(everyone, everyone)
  drawn = faces(unseen, np.where(np.arange(400) < 300, unseen, 5 - unseen))
  # Of the unseen, those to compare with show the other gender: they are not learned from.
  own = reference.identity > 1
  reference.by_dlib.embedding[own, 0] *= -1
  rows = metrics.measure([drawn], held_out, reference, 100, genders)
  assert not rows.keys() & set(metrics.needing(metrics.Need.KNOWN_IDENTITIES))
  gender = rows["gender"]
  assert (gender.value, gender.real) == (0.75, 1.0)
  assert gender.interval == (0.5, 1.0)  # over people: two others may be like either
  assert all(np.isfinite(row.interval).all() for row in rows.values())
  assert gender.by_identity == {2: 1.0, 3: 0.5}
  assert 0.4 < gender.baseline < 0.6  # anybody's face


def test_a_mouth_that_never_moves_does_not_follow(bench):
  landmarks = bench.held_out.described.landmarks
  described = dataclasses.replace(
    bench.held_out.described, landmarks=np.broadcast_to(landmarks[:1], landmarks.shape)
  )
  still = dataclasses.replace(bench.held_out, described=described)
  rows = metrics.measure([still], bench.held_out, bench.reference)
  assert rows["mouth"].value == 0


def test_intervals_are_of_each_person_and_always_the_same(bench):
  draws = [bench.make_out(bench.good, bench.held_out.identity)]
  first, again = (
    metrics.measure(draws, bench.held_out, bench.reference, resamples=20) for _ in range(2)
  )
  assert first == again
  for name, row in first.items():
    low, high = row.interval
    assert low <= high, name
    assert row.intervals.keys() == row.by_identity.keys(), name


def test_people_whom_a_resample_has_twice_count_twice(bench):
  """And those whom it lacks are left out, where a metric is the mean over people."""
  held_out, draws = bench.held_out, [bench.make_out(bench.good, bench.held_out.identity)] * 2
  context = metrics.Context(held_out, bench.reference, np.array([]), len(draws))
  first, second = (np.flatnonzero(held_out.identity == label) for label in (0, 1))
  for metric in metrics.METRICS:
    if metric.name not in ("feature_distance", "mouth", "spread_of_chunks", "spread_of_draws"):
      continue
    value, of_people = metric.on(context, draws)(np.concatenate([first, second, first]))
    assert of_people.keys() == {0, 1}, metric.name
    assert value == pytest.approx((2 * of_people[0] + of_people[1]) / 3), metric.name


def test_measuring_twice_gives_the_same(bench):
  first, second = (
    metrics.describe_faces(
      bench.good[:5], bench.held_out.identity[:5], bench.classify, dlib_faces.describer()
    )
    for _ in range(2)
  )
  np.testing.assert_array_equal(first.described.embedding, second.described.embedding)
  np.testing.assert_array_equal(first.features, second.features)


def test_draws_that_are_all_alike_have_no_spread(bench):
  rows = metrics.measure([bench.held_out, bench.held_out], bench.held_out, bench.reference)
  assert rows["spread_of_draws"].value == 0
  assert rows["spread_of_chunks"].value == pytest.approx(1)
  assert rows["frechet_distance"].value == pytest.approx(0, abs=1e-6)


def test_a_mouth_that_follows_the_speech_is_told_from_one_that_does_not(bench):
  real = bench.held_out.pictures
  of_people = real.reshape(PEOPLE, -1, *real.shape[1:])
  follows = bench.rows([real])["mouth"]
  assert follows.value == pytest.approx(1)
  assert follows.p_value < 0.01
  others = [np.roll(of_people, k, 1).reshape(real.shape) for k in range(1, of_people.shape[1])]
  does_not = bench.rows(others)["mouth"]
  assert does_not.value < 0.1  # every other moment of the same person
  assert does_not.p_value > 0.1
  assert bench.rows([mean_face(bench)])["mouth"].value == 0  # it does not move


def test_frechet_of_known_gaussians():
  rng = np.random.default_rng(0)
  a, b = rng.standard_normal((2, 200_000, 2))
  assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-9)
  # Shifted by (3, 4), and deviations 1 and 2: 25 + 2 * (1 + 4 - 2 * 2).
  assert metrics.frechet(a, 2 * b + [3, 4]) == pytest.approx(27, rel=0.01)


def test_too_few_faces_leave_distances_out(bench):
  one = bench.make_out(bench.good[:1], bench.held_out.identity[:1])
  rows = metrics.measure([one], one, bench.reference)
  assert not {"feature_distance", "frechet_distance", "spread_of_chunks"} & rows.keys()
  assert rows["identity_accuracy"].value == 1


@pytest.mark.parametrize(("with_two", "measured"), [(1, False), (2, True)])
def test_a_few_people_do_not_decide_which_checkpoint_is_best(bench, with_two, measured):
  """Of four people, one or two have a second face."""
  first = np.flatnonzero(np.diff(bench.held_out.identity, prepend=-1))
  chosen = np.sort(np.concatenate([first, first[:with_two] + 1]))
  faces = bench.held_out[chosen]
  rows = metrics.measure([faces], faces, bench.reference)
  assert ("feature_distance" in rows) == measured


def test_the_list_of_metrics_is_whole():
  """Each has a name and a title of its own, and says in a line what it measures."""
  assert len(metrics.TITLES) == len(metrics.METRICS) == len(set(metrics.TITLES.values()))
  for metric in metrics.METRICS:
    function = getattr(metric.function, "func", metric.function)
    assert function.__doc__, metric.name
    assert bool(metric.p_value) == (metric.kind == metrics.Kind.CORRELATION)
  assert metrics.needing(metrics.Need.VGG_FACE) == ["vgg_face_accuracy"]


def test_a_new_metric_is_a_function_and_an_entry(bench):
  """With its ceiling, its baseline and its intervals."""
  dark = metrics.Metric(
    "dark", "dark", metrics.Kind.SHARE, lambda _, faces: faces.pictures.mean((1, 2, 3)) < 100
  )
  real = bench.held_out
  (result,) = metrics.compute([dark], [real], real, bench.reference, resamples=20).values()
  assert result.value == result.real
  low, high = result.interval
  assert low <= result.value <= high
  assert result.by_identity.keys() == set(range(PEOPLE))


TALKING = np.repeat(np.arange(2, dtype=np.int32), 60)  # labels of faces that speak


@pytest.fixture(scope="module")
def heard():
  """Speech whose windows are all heard as different; every fifth moment is silent."""
  vectors = np.random.default_rng(0).standard_normal((len(TALKING), len(OFFSETS), 32))
  vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
  return Heard(vectors.astype(np.float32), np.arange(len(TALKING)) % 5 == 0)


def _talking(seen, opening):
  """Faces in which the judge sees these vectors, with mouths as far open."""
  count = len(TALKING)
  landmarks = np.zeros((count, 68, 2), np.float32)
  landmarks[:, 45, 0] = 1  # the eyes' distance
  landmarks[:, dlib_faces.LOWER_LIP, 1] = opening[:, None]
  rng, found = np.random.default_rng(0), np.ones(count, bool)
  described = dlib_faces.Described(found, found, rng.random((count, 128), np.float32), landmarks)
  pictures = rng.integers(0, 256, (count, 2, 2, 3), np.uint8)
  logits = np.eye(2, dtype=np.float32)[TALKING]
  features = rng.random((count, 3), np.float32)
  return metrics.Faces(pictures, TALKING, logits, features, described, None, seen)


def _spoken(heard, seen, opening):
  """The rows of faces whose real ones are in sync, and closed in silence."""
  real = _talking(heard.at_once, np.where(heard.silent, 0.01, 0.2))
  return metrics.measure([_talking(seen, opening)], real, real, heard=heard)


def test_sync_is_of_the_own_moment(heard):
  opening = np.full(len(TALKING), 0.1)
  own = _spoken(heard, heard.at_once, opening)["sync"]
  assert own.value == own.real == 1
  assert 0.4 < own.baseline < 0.6
  within = np.argsort(TALKING * 1000 + np.random.default_rng(1).permutation(len(TALKING)))
  shuffled = _spoken(heard, heard.at_once[within], opening)["sync"]
  assert 0.4 < shuffled.value < 0.6
  one_face = _spoken(heard, heard.at_once[:1].repeat(len(TALKING), 0), opening)["sync"]
  assert one_face.value == 0.5


def test_speech_that_lags_behind_the_face_is_found(heard):
  opening = np.full(len(TALKING), 0.1)
  for late in (-60, 0, 40):
    seen = heard.vectors[:, np.flatnonzero(late == OFFSETS)[0]]
    row = _spoken(heard, seen, opening)["sync_offset"]
    assert (row.value, row.real) == (late, 0)


@pytest.mark.parametrize(
  ("opening", "in_silence", "in_speech"),
  [((0.0, 0.2), 1, 0), ((0.0, 0.0), 1, 1), ((0.2, 0.2), 0, 0), ((0.2, 0.0), 0, 1)],
  ids=["speaks", "always closed", "always open", "the wrong way round"],
)
def test_a_mouth_is_closed_in_silence_and_open_in_speech(heard, opening, in_silence, in_speech):
  rows = _spoken(heard, heard.at_once, np.where(heard.silent, *opening))
  silence, speech = rows["closed_in_silence"], rows["closed_in_speech"]
  assert (silence.value, speech.value) == (in_silence, in_speech)
  assert (silence.real, speech.real) == (1, 0)


def test_without_silence_nothing_is_said_about_it(heard):
  rows = _spoken(
    dataclasses.replace(heard, silent=np.zeros(len(TALKING), bool)), heard.at_once, heard.silent
  )
  assert not {"closed_in_silence", "closed_in_speech"} & rows.keys()
