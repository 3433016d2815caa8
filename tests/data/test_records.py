"""What is read of a prepared dataset, and which records stand for it."""

import dataclasses

import numpy as np
import pytest

from wav2pix_jax import data
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.data import plan


@pytest.fixture
def records(clean, config):
  return data.load(clean, "train", config.image_size)


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("name", "voxceleb", "choose from synthetic, clips, pairs, released, clean"),
    ("window_offset", "middle", "choose from uniform, centred"),
    ("audio_steps", ("loud",), "choose from peak, pre_emphasis"),
  ],
)
def test_unknown_choices_are_refused(config, field, value, words):
  config.dataset[field] = value
  with pytest.raises(UserError, match=words):
    data.prepare(config.dataset)


def test_centred_windows_hold_the_instant(records):
  for length, instant in zip(records.lengths, records.instant, strict=True):
    for jitter in (-plan.JITTER, 0, plan.JITTER):
      start = data.centred_start(length, 16_000, instant + jitter)
      assert 0 <= start <= length - 16_000
      if length == schema.CLIP_SAMPLES:
        assert abs(start + 8_000 - schema.CLIP_SAMPLES // 2) <= plan.JITTER
  assert data.centred_start(8_000, 16_000, 4_000) == 0


def test_faces_are_resized_once_per_size(clean, monkeypatch):
  first = data.load(clean, "test", 16)
  monkeypatch.setattr(images, "resize", None)
  again = data.load(clean, "test", 16)
  assert np.array_equal(first.faces, again.faces)
  with pytest.raises(TypeError):
    data.load(clean, "test", 8)
  monkeypatch.undo()
  assert data.load(clean, "test", 8).faces.shape[1:] == (8, 8, 3)


def test_speech_of_a_record_is_its_own(records):
  assert records.lengths.sum() == len(records.speech)
  speech = [records.speech_of(i) for i in range(len(records))]
  assert np.array_equal(np.concatenate(speech), records.speech)
  assert [len(one) for one in speech] == records.lengths.tolist()


def test_held_out_windows_are_raw_around_the_instant_and_always_the_same(clean):
  records = data.load(clean, data.held_out_split(clean), 16)
  chosen = records.spread(5)
  first, again = (records.centred_windows(chosen, 16_000) for _ in range(2))
  assert first.shape == (5, 16_000)
  assert first.dtype == np.int16
  assert np.array_equal(first, again)
  assert set(records.identity[chosen]) == {0, 1}
  for window, i in zip(first, chosen, strict=True):
    start = data.centred_start(int(records.lengths[i]), 16_000, int(records.instant[i]))
    assert np.array_equal(window, audio.cut(records.speech_of(i), start, 16_000))


def test_chosen_evenly_and_not_twice(records):
  chosen = records.spread(10)
  assert len(set(chosen)) == 10
  assert (np.diff(records.identity[chosen]) >= 0).all()
  others = records.spread(10_000, without=chosen)
  assert sorted([*chosen, *others]) == list(range(len(records)))


def test_of_many_identities_some_are_chosen_several_times(records):
  identity = np.repeat(np.arange(10, dtype=np.int32), [3, 9, *7 * [3], 9])[: len(records)]
  many = dataclasses.replace(records, identity=np.resize(identity, len(records)))
  chosen = many.identity[many.spread(12, each=4)]
  assert {*chosen} == {0, 1, 9} or {1, 9} < {*chosen}
  assert len(chosen) == 12
  assert len({*many.identity[many.spread(12)]}) > 6


def test_records_with_an_inexact_instant_are_left_out(clean):
  records = data.load(clean, "train", 16)
  errors = np.unique(records.instant_error)
  assert len(errors) > 1
  exact = data.load(clean, "train", 16, int(errors[0]))
  chosen = np.flatnonzero(records.instant_error == errors[0])
  assert len(exact) == len(chosen) < len(records)
  for i, record in enumerate(chosen):
    assert np.array_equal(exact.speech_of(i), records.speech_of(record))
    assert np.array_equal(exact.faces[i], records.faces[record])
    for column in ("identity", "instant", "lengths"):
      assert getattr(exact, column)[i] == getattr(records, column)[record]
  assert exact.digest == records.digest
  with pytest.raises(UserError, match="largest_instant_error is -1"):
    data.load(clean, "train", 16, -1)
