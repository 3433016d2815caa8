"""What measures expressions learns from real faces what it says of generated ones."""

import numpy as np
import pytest

from data_builders.synthetic.identity import people
from wav2pix_jax import data
from wav2pix_jax.metrics import expression, heard, sync_judge

pytestmark = pytest.mark.extra


def _talking(count, seed):
  """Records of two people, whose mouths are as bright as the speech is loud at that moment.

  Within a record, loudness changes every tenth of a second. Nobody speaks at every fifth moment.
  """
  rng = np.random.default_rng(seed)
  samples, tenth = 16_000, 1_600
  loudness = rng.uniform(0.1, 1, (count, samples // tenth))
  loudness[::5, 3:6] = 0
  noise = rng.standard_normal((count, samples))
  speech = (6_000 * loudness.repeat(tenth, 1) * noise).clip(-32_768, 32_767).astype(np.int16)
  faces = rng.integers(60, 80, (count, 16, 16, 3), np.uint8)
  faces[:, 11:13, 6:10] = (60 + 190 * loudness[:, 4:5, None, None]).astype(np.uint8)
  identity = (np.arange(count) % 2).astype(np.int32)
  instant, error = np.full(count, samples // 2 - tenth // 2), np.zeros(count, np.int32)
  stops = np.arange(1, count + 1) * samples
  return data.Records(faces, speech.ravel(), stops, identity, instant, "", error)


@pytest.fixture(scope="module")
def judge():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sync_judge, "STEPS", 400)
    return sync_judge.as_judge(sync_judge.train_judge(_talking(200, 0)), 16)


def test_the_judge_finds_the_own_face_and_the_offset(judge):
  records = _talking(60, 1)
  listened = heard.hear(judge, records, np.arange(60))
  similar = listened.at_once @ judge.see(records.faces).T
  others = (records.identity[:, None] == records.identity) & ~np.eye(60, dtype=bool)
  assert (np.diag(similar)[:, None] > similar)[others].mean() > 0.75
  means = np.einsum("nkc,nc->k", listened.vectors, judge.see(records.faces))
  assert abs(heard.OFFSETS[means.argmax()]) <= 40


def test_silence_is_found(judge):
  listened = heard.hear(judge, _talking(20, 2), np.arange(20))
  assert np.flatnonzero(listened.silent).tolist() == [0, 5, 10, 15]


def test_the_regressor_tells_expressions_of_new_faces(monkeypatch):
  monkeypatch.setattr(expression, "EACH", 150)
  monkeypatch.setattr(expression, "STEPS", 500)
  faces, truth = expression.expressions(people(2), 32)
  assert faces.shape == (300, 32, 32, 3)
  learned = np.arange(300) % 5 > 0
  express = expression.as_function(expression.train_regressor(faces[learned], truth[learned]))
  told = express(faces[~learned])
  for part in (expression.SPREAD, expression.SMILE):
    assert np.corrcoef(told[:, part], truth[~learned, part])[0, 1] > 0.6
