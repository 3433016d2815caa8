"""What a batch holds, and that it depends on the seed and the step alone."""

import dataclasses

import numpy as np
import pytest

from wav2pix_jax import data
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError


@pytest.fixture
def records(clean, config):
  return data.load(clean, "train", config.image_size)


def test_batches_keep_the_contract(records, config):
  batch = next(data.train_batches(records, config, 8))
  size = config.image_size
  assert {name: (x.shape, x.dtype) for name, x in batch.items()} == {
    schema.SPEECH: ((8, 16_000), np.float32),
    schema.FACE: ((8, size, size, 3), np.float32),
    schema.MISMATCHED_FACE: ((8, size, size, 3), np.float32),
    schema.IDENTITY: ((8,), np.int32),
  }
  for name in (schema.FACE, schema.MISMATCHED_FACE):
    assert -1 <= batch[name].min() < batch[name].max() <= 1
  assert 0.1 < np.abs(batch[schema.SPEECH]).max() <= 1.95


def test_mismatched_faces_are_somebody_elses(records, config):
  """The small release's first identity is red, its second blue."""
  batches = data.train_batches(records, config, 32)
  for _ in range(3):
    batch = next(batches)
    for name, same in ((schema.FACE, True), (schema.MISMATCHED_FACE, False)):
      red_minus_blue = (batch[name][..., 0] - batch[name][..., 2]).mean((1, 2))
      assert np.array_equal((red_minus_blue < 0) == (batch[schema.IDENTITY] == 1), [same] * 32)


def test_one_identity_cannot_train(records, config):
  only = dataclasses.replace(records, identity=np.zeros_like(records.identity))
  with pytest.raises(UserError, match="one identity"):
    data.train_batches(only, config, 4)
  config.loss.mismatched = 0.0
  assert schema.MISMATCHED_FACE not in next(data.train_batches(only, config, 4))


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("name", "voxceleb", "choose from synthetic, clips, released, clean"),
    ("window_offset", "middle", "choose from uniform, centred"),
    ("audio_steps", ("loud",), "choose from peak, pre_emphasis"),
  ],
)
def test_unknown_choices_are_refused(config, field, value, words):
  config.dataset[field] = value
  with pytest.raises(UserError, match=words):
    data.prepare(config.dataset)


def test_an_epoch_shows_every_face_once_and_the_next_in_another_order(records, config):
  count = len(records)
  batches = data.train_batches(records, config, count)
  first, second = ([face.tobytes() for face in next(batches)[schema.FACE]] for _ in range(2))
  assert sorted(first) == sorted(second)
  assert first != second


def test_batches_go_on_from_any_step_and_a_seed_decides(records, config):
  batches = data.train_batches(records, config, 4)
  expected = [next(batches) for _ in range(23)]
  again = data.train_batches(records, config, 4, start=3)  # across the end of an epoch
  for batch in expected[3:]:
    other = next(again)
    assert all(np.array_equal(batch[name], other[name]) for name in batch)
  config.seed = 1
  other = next(data.train_batches(records, config, 4))
  first = next(data.train_batches(records, config, 4))
  assert all(np.array_equal(other[name], first[name]) for name in first)
  again = next(data.train_batches(records, config, 4, start=3))
  assert not np.array_equal(again[schema.SPEECH], expected[3][schema.SPEECH])


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("start", [0, 7])
def test_processes_share_the_global_batch(records, config, processes, start):
  whole = data.train_batches(records, config, 8, start=start)
  parts = [
    data.train_batches(records, config, 8 // processes, p, processes, start)
    for p in range(processes)
  ]
  for _ in range(5):
    expected, found = next(whole), [next(part) for part in parts]
    for name, x in expected.items():
      assert np.array_equal(np.concatenate([part[name] for part in found]), x)


def test_windows_come_from_the_speech_of_their_face(records, config):
  """Undoing nothing: each example's window is found, conditioned, in its record's speech."""
  config.dataset.window_offset, config.dataset.distort = "uniform", False
  batch = next(data.train_batches(records, config, 4))
  for speech, face in zip(batch[schema.SPEECH], batch[schema.FACE], strict=True):
    (i,) = [
      i for i in range(len(records)) if np.array_equal(images.to_float(records.faces[i]), face)
    ]
    clip = records[i][schema.SPEECH]
    found = [
      np.array_equal(audio.condition(clip[s : s + 16_000], config.dataset.audio_steps), speech)
      for s in range(len(clip) - 16_000 + 1)
      if np.sign(clip[s]) == np.sign(speech[0])
    ]
    assert sum(found) == 1


def test_only_training_speech_is_distorted_and_only_if_asked(records, config):
  config.dataset.window_offset = "uniform"
  speech = {}
  for config.dataset.distort in (True, False):
    speech[config.dataset.distort] = next(data.train_batches(records, config, 32))[schema.SPEECH]
  same = [np.array_equal(*pair) for pair in zip(speech[True], speech[False], strict=True)]
  assert 0 < np.mean(same) < 0.5  # the windows are the same: one of five stays as it was
  config.dataset.distort = True
  held_out = data.centred_examples(records, config.dataset, np.arange(3))[schema.SPEECH]
  for i in range(3):
    start = data.centred_start(len(records[i][schema.SPEECH]), 16_000, records[i][schema.INSTANT])
    window = audio.cut(records[i][schema.SPEECH], start, 16_000)
    assert np.array_equal(held_out[i], audio.condition(window, config.dataset.audio_steps))


def test_centred_windows_hold_the_instant(records, config):
  for record in map(records.__getitem__, range(len(records))):
    length, instant = len(record[schema.SPEECH]), int(record[schema.INSTANT])
    for jitter in (-data.JITTER, 0, data.JITTER):
      start = data.centred_start(length, 16_000, instant + jitter)
      assert 0 <= start <= length - 16_000
      if length == schema.CLIP_SAMPLES:
        assert abs(start + 8_000 - schema.CLIP_SAMPLES // 2) <= data.JITTER
  assert data.centred_start(8_000, 16_000, 4_000) == 0


@pytest.mark.parametrize("window_offset", ["uniform", "centred"])
@pytest.mark.parametrize("window", [4_800, 11_200, 16_384, 70_000])
def test_windows_of_any_length(records, config, window, window_offset):
  config.dataset.window_samples, config.dataset.window_offset = window, window_offset
  speech = next(data.train_batches(records, config, 8))[schema.SPEECH]
  assert speech.shape == (8, window)
  assert np.isfinite(speech).all()
  longest = np.diff(records.stops, prepend=0).max()
  assert not speech[:, longest + 1 :].any()  # zero-padded at its end


def test_silence_makes_no_nan(records, config):
  silent = dataclasses.replace(records, speech=np.zeros_like(records.speech))
  assert not next(data.train_batches(silent, config, 4))[schema.SPEECH].any()


def test_flip_mirrors_some_faces_and_nothing_else(records, config):
  config.loss.mismatched = 0.0
  plain = next(data.train_batches(records, config, 32))
  config.dataset.flip = True
  flipped = next(data.train_batches(records, config, 32))
  kept = [np.array_equal(a, b) for a, b in zip(plain["face"], flipped["face"], strict=True)]
  mirrored = [
    np.array_equal(a[:, ::-1], b) for a, b in zip(plain["face"], flipped["face"], strict=True)
  ]
  assert all(np.add(kept, mirrored))
  assert any(kept)
  assert any(mirrored)
  assert np.array_equal(plain["speech"], flipped["speech"])


def test_faces_are_resized_once_per_size(clean, config, monkeypatch):
  first = data.load(clean, "test", 16)
  monkeypatch.setattr(images, "resize", None)
  again = data.load(clean, "test", 16)
  assert np.array_equal(first.faces, again.faces)
  with pytest.raises(TypeError):
    data.load(clean, "test", 32)
  monkeypatch.undo()
  assert data.load(clean, "test", 32).faces.shape[1:] == (32, 32, 3)


def test_centred_examples_are_the_same_in_every_call(clean, config):
  records = data.load(clean, data.held_out_split(clean), 16)
  chosen = data.evenly(records, 5)
  first, again = (data.centred_examples(records, config.dataset, chosen) for _ in range(2))
  assert first[schema.SPEECH].shape == (5, 16_000)
  assert all(np.array_equal(first[name], again[name]) for name in first)
  assert set(first[schema.IDENTITY]) == {0, 1}


def test_chosen_evenly_and_not_twice(clean):
  records = data.load(clean, "train", 16)
  chosen = data.evenly(records, 10)
  assert len(set(chosen)) == 10
  assert (np.diff(records.identity[chosen]) >= 0).all()
  others = data.evenly(records, 10_000, without=chosen)
  assert sorted([*chosen, *others]) == list(range(len(records)))
