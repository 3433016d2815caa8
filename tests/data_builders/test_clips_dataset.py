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
    ({"speech": "long.wav"}, "64,001 samples; expected at most 64,000"),
    ({"id": f"{PEOPLE[0]}/0.mp4/1"}, "twice"),
  ],
)
def test_media_that_are_not_as_they_were_are_a_line(config, folder, change, said):
  audio.write_wav(folder / "long.wav", np.zeros(schema.CLIP_SAMPLES + 1, np.int16))
  first, *others = manifest.read(folder / manifest.MANIFEST)
  manifest.write(folder / "odd.jsonl", [dataclasses.replace(first, **change), *others])
  config.dataset.source = str(folder / "odd.jsonl")
  with pytest.raises(UserError, match=said):
    data.prepare(config.dataset)


def test_a_single_video_is_split_by_time_with_a_gap_and_said(config, folder, tmp_path, capsys):
  """One identity has 40 clips of one video, a second apart; the others have five videos."""
  first, *others = manifest.read(folder / manifest.MANIFEST)
  single = [
    dataclasses.replace(first, id=f"one/0.mp4/{n}", identity="one", video="one/0.mp4", time=n)
    for n in range(40)
  ]
  manifest.write(folder / "single.jsonl", [*others, *single])
  config.dataset.source = str(folder / "single.jsonl")
  config.dataset.data_dir = str(tmp_path / "data")
  builder = data.prepare(config.dataset)
  assert "of one there is one video only" in capsys.readouterr().err
  times, units = {}, {}
  for split, records in _read(builder).items():
    own = [record for record in records if record[schema.ID].decode().startswith("one/")]
    times[split] = sorted(int(record[schema.ID].decode().rpartition("/")[2]) for record in own)
    units[split] = {record[schema.UNIT] for record in own}
  assert times == {
    schema.TRAIN: list(range(26)),
    schema.VALIDATION: list(range(29, 33)),
    schema.TEST: list(range(36, 40)),
  }
  assert all(len(unit) == 1 for unit in units.values())
  assert len(set.union(*units.values())) == 3


def test_speech_of_any_length_up_to_four_seconds(config, folder, tmp_path):
  found = manifest.read(folder / manifest.MANIFEST)
  speech = audio.read(folder / found[0].speech)[:20_000]
  audio.write_wav(folder / "short.wav", speech)
  short = [dataclasses.replace(clip, speech="short.wav") for clip in found]
  manifest.write(folder / "short.jsonl", short)
  config.dataset.source = str(folder / "short.jsonl")
  config.dataset.data_dir = str(tmp_path)
  builder = data.prepare(config.dataset)
  for record in sum(_read(builder).values(), []):
    np.testing.assert_array_equal(record[schema.SPEECH], speech)
    assert record[schema.INSTANT] == 10_000
    assert record[schema.OFFSET] == schema.CLIP_SAMPLES // 2 - 10_000
  windows = data.load(builder, schema.TRAIN, 16).centred_windows(np.arange(2), 16_000)
  np.testing.assert_array_equal(windows[0], speech[2_000:18_000])
