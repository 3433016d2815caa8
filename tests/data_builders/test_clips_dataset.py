"""Clips as a dataset: split by video, unseen identities apart, and mistakes in a line."""

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import TINY

from data_builders import registry
from data_builders.clips import clips_dataset_builder
from data_builders.prepare import manifest
from data_builders.prepare.manifest import Clip
from wav2pix_jax import data
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.configs import base

PEOPLE = ("ana", "bea 'é'", "carla")
VIDEOS, CLIPS = 5, 3  # of each, of a video


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """As `prepare clips` leaves it."""
  out, rng, clips = tmp_path_factory.mktemp("clips"), np.random.default_rng(0), []
  for who in PEOPLE:
    for n in range(VIDEOS):
      video = f"{who}/{n}.mp4"
      (out / "media" / video).mkdir(parents=True)
      for m in range(CLIPS):
        where = f"media/{video}/{m}"
        face = rng.integers(0, 256, (32, 32, 3), np.uint8)
        (out / f"{where}.jpg").write_bytes(images.encode_jpeg(face))
        speech = rng.integers(-9999, 9999, schema.CLIP_SAMPLES).astype(np.int16)
        audio.write_wav(out / f"{where}.wav", speech)
        place = (f"{where}.jpg", f"{where}.wav", "")
        clips.append(Clip(f"{video}/{m}", who, "", video, m, (0, 0, 9, 9), 9.0, *place, {}))
  manifest.write(out / manifest.MANIFEST, clips)
  return out


@pytest.fixture
def config(folder, tmp_path):
  config = base.get_config()
  config.update_from_flattened_dict(TINY)
  config.dataset.name = "clips"
  config.dataset.source = str(folder)
  config.dataset.data_dir = str(tmp_path)
  return config


def _read(builder):
  raw = {schema.FACE: tfds.decode.SkipDecoding()}
  return {
    split: list(builder.as_data_source(split=split, decoders=raw)) for split in builder.info.splits
  }


def _videos(records):
  return {record[schema.ID].decode().rpartition("/")[0] for record in records}


def test_records_are_the_clips_and_splits_share_no_video(config, folder):
  builder = data.prepare(config.dataset)
  records = _read(builder)
  assert set(records) == {schema.TRAIN, schema.VALIDATION, schema.TEST}
  of_split = [_videos(records[split]) for split in records]
  assert sum(map(len, of_split)) == len(set().union(*of_split)) == len(PEOPLE) * VIDEOS
  names = data.identity_names(builder)
  assert names == sorted(PEOPLE)
  for record in sum(records.values(), []):
    media = folder / "media" / record[schema.ID].decode()
    assert record[schema.FACE] == media.with_name(f"{media.name}.jpg").read_bytes()
    np.testing.assert_array_equal(
      record[schema.SPEECH], audio.read(media.with_name(f"{media.name}.wav"))
    )
    assert names[record[schema.IDENTITY]] == media.parts[-3]
    assert (record[schema.OFFSET], record[schema.INSTANT_ERROR]) == (0, 0)
    assert record[schema.INSTANT] == schema.CLIP_SAMPLES // 2
  units = {record[schema.UNIT] for record in sum(records.values(), [])}
  assert len(units) == len(PEOPLE) * VIDEOS
  assert registry.size(config.dataset) == (3, len(records[schema.TRAIN]))
  loaded = data.load(builder, schema.TRAIN, 16)
  batch = next(data.Feed(loaded, config).batches(8))
  assert batch[schema.FACE].shape == (8, 16, 16, 3)
  assert data.held_out_split(builder) == schema.VALIDATION


@pytest.mark.slow
def test_the_unseen_are_not_learned_and_are_no_class(config):
  config.dataset.unseen = (PEOPLE[0],)
  builder = data.prepare(config.dataset)
  records = _read(builder)
  assert data.identity_names(builder) == sorted(PEOPLE[1:])
  unseen = records.pop(schema.UNSEEN)
  assert {video.partition("/")[0] for video in _videos(unseen)} == {PEOPLE[0]}
  assert len(unseen) == VIDEOS * CLIPS
  assert {record[schema.IDENTITY] for record in unseen} == {2}
  assert data.everyone(builder) == [*sorted(PEOPLE[1:]), PEOPLE[0]]
  learned = {video.partition("/")[0] for video in _videos(sum(records.values(), []))}
  assert learned == set(PEOPLE[1:])
  assert registry.size(config.dataset)[0] == 2


def test_genders_are_those_of_the_manifest(config, tmp_path):
  builder = data.prepare(config.dataset)
  assert data.genders(builder) == ["", "", ""]
  found = manifest.read(builder.builder_config.source)
  genders = dict(zip(sorted(PEOPLE), ("female", "male", "female"), strict=True))
  known = [dataclasses.replace(clip, gender=genders[clip.identity]) for clip in found]
  manifest.write(tmp_path / "manifest.jsonl", known)
  told = dataclasses.replace(builder.builder_config, source=tmp_path / "manifest.jsonl")
  builder = clips_dataset_builder.Builder(config=told, data_dir=tmp_path)
  builder.info.features[schema.IDENTITY].names = sorted(PEOPLE)
  assert data.genders(builder) == ["female", "male", "female"]


@pytest.mark.slow
def test_what_was_curated_is_taken_and_another_manifest_is_another_dataset(config, folder):
  every = manifest.read(folder / manifest.MANIFEST)
  all_of_them = data.prepare(config.dataset)
  try:
    manifest.write(folder / manifest.CURATED, every[1:])
    curated = data.prepare(config.dataset)
    config.dataset.source = str(folder / manifest.MANIFEST)
    named = data.prepare(config.dataset)
  finally:
    (folder / manifest.CURATED).unlink()
  assert curated.data_dir != all_of_them.data_dir == named.data_dir
  counts = [sum(s.num_examples for s in b.info.splits.values()) for b in (all_of_them, curated)]
  assert counts == [len(every), len(every) - 1]


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    ({"source": ""}, "dataset.source is empty"),
    ({"source": "/nowhere"}, "no clips that can be read"),
    ({"unseen": ("dora",)}, "dora not in"),
    ({"unseen": PEOPLE[:2]}, "1 identities to learn"),
    ({"name": "clean", "unseen": ("ana",)}, "both are needed"),
  ],
)
def test_mistakes_are_a_line(config, fields, said):
  for name, value in fields.items():
    config.dataset[name] = value
  with pytest.raises(UserError, match=said) as caught:
    data.prepare(config.dataset)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("change", "said"),
  [
    ({"face": "media/none.jpg"}, "face that cannot be read"),
    ({"speech": "media/none.wav"}, "no such file"),
    ({"speech": "short.wav"}, "100 samples; expected 64,000"),
    ({"id": f"{PEOPLE[0]}/0.mp4/1"}, "twice"),
  ],
)
def test_media_that_are_not_as_they_were_are_a_line(config, folder, change, said):
  audio.write_wav(folder / "short.wav", np.zeros(100, np.int16))
  first, *others = manifest.read(folder / manifest.MANIFEST)
  manifest.write(folder / "odd.jsonl", [dataclasses.replace(first, **change), *others])
  config.dataset.source = str(folder / "odd.jsonl")
  with pytest.raises(UserError, match=said):
    data.prepare(config.dataset)
