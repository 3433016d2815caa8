"""The builder: what was published comes out right, and `clean` shares nothing between splits."""

import collections
import functools
import http.server
import io
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import small_release
import tensorflow_datasets as tfds
from conftest import ROOT
from PIL import Image
from tensorflow_datasets.core.download.checksums import load_url_infos

from data_builders import splits
from data_builders.youtubers import recovery, release_files
from data_builders.youtubers import youtubers_dataset_builder as youtubers
from wav2pix_jax import data
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.errors import UserError

RAW = {schema.FACE: tfds.decode.SkipDecoding()}


def _records(builder, split):
  return list(builder.as_data_source(split=split, decoders=RAW))


def _truth(released, record):
  _, identity, number = record[schema.ID].decode().split("/")
  return released.cuts[identity, int(number)]


@pytest.mark.slow
def test_released_keeps_every_pair_and_the_published_splits(released, config):
  config.dataset.name = "released"
  builder = data.prepare(config.dataset)
  seen = set()
  for split in ("train", "test"):
    for record in _records(builder, split):
      cut = _truth(released, record)
      recording = released.recordings[cut.video]
      np.testing.assert_array_equal(record["speech"], recording[cut.start : cut.start + 16_000])
      middle = cut.clip + 32_000 - cut.start
      assert abs(record["instant"] - middle) <= record["instant_error"]
      seen.add(record["id"])
      where = released.folder / "dataset" / split
      assert list(where.rglob(f"*_{record['id'].decode().split('/')[-1]}.wav"))
  assert len(seen) == len(released.cuts)


def test_faces_leave_in_rgb_as_jpeg_95_444(released, clean):
  record = _records(clean, "train")[0]
  with Image.open(io.BytesIO(record["face"])) as stored:
    reference = io.BytesIO()
    Image.new("RGB", (8, 8)).save(reference, "JPEG", quality=95, subsampling=0)
    assert stored.quantization == Image.open(reference).quantization
    assert [component[1:3] for component in stored.layer] == [(1, 1)] * 3
  error = images.decode(record["face"]).astype(int) - _truth(released, record).face
  assert np.abs(error).mean() < 2


@pytest.mark.slow
def test_clean_has_each_face_once_with_true_speech_around_it(released, clean):
  records = [r for split in ("train", "validation", "test") for r in _records(clean, split)]
  faces = {(c.video, c.clip) for c in released.cuts.values()}
  assert len(records) == len(faces)
  assert len({(_truth(released, r).video, _truth(released, r).clip) for r in records}) == len(faces)
  whole = 0
  for record in records:
    cut, length = _truth(released, record), len(record["speech"])
    begin = cut.clip + 32_000 - record["instant"]  # where the record says its speech begins
    error = record["instant_error"]
    recording = released.recordings[cut.video]
    places = [
      start
      for start in range(max(begin - error, 0), begin + error + 1)
      if np.array_equal(recording[start : start + length], record["speech"])
    ]
    assert len(places) == 1
    assert record["offset"] + record["instant"] == 32_000
    whole += length == 64_000
  assert whole > len(records) / 3


def test_clean_recovers_all_that_was_published_of_a_clip(released, clean):
  """No record is shorter than the longest stretch that its own face's chunks cover."""
  own = collections.defaultdict(list)
  for cut in released.cuts.values():
    own[cut.video, cut.clip].append(cut.start)
  for split in ("train", "validation", "test"):
    for record in _records(clean, split):
      cut = _truth(released, record)
      known = np.zeros(64_000, bool)
      for start in own[cut.video, cut.clip]:
        known[start - cut.clip : start - cut.clip + 16_000] = True
      edges = np.flatnonzero(np.diff(known, prepend=False, append=False)).reshape(-1, 2)
      assert len(record["speech"]) >= np.diff(edges).max() - record["instant_error"]


def _windows(speech):
  """Digests of all windows of 64 samples in which no two neighbours are equal."""
  weights = np.random.default_rng(0).integers(1 << 62, size=64)
  windows = np.lib.stride_tricks.sliding_window_view(speech.astype(np.int64), 64)
  lively = np.lib.stride_tricks.sliding_window_view(np.diff(speech) != 0, 63).all(1)
  return set((windows[lively] @ weights).tolist())


def test_clean_splits_share_no_sample_and_groups_are_recordings(released, clean):
  videos = collections.defaultdict(set)
  units = collections.defaultdict(set)
  windows = {}
  for split in ("train", "validation", "test"):
    records = _records(clean, split)
    assert records
    windows[split] = set()
    for record in records:
      videos[split].add(_truth(released, record).video)
      units[_truth(released, record).video].add(record["unit"])
      windows[split] |= _windows(record["speech"])
  assert not videos["train"] & videos["test"]
  assert not windows["train"] & windows["test"]
  assert not windows["train"] & windows["validation"]
  assert not windows["validation"] & windows["test"]
  assert all(len(u) == 1 for u in units.values())  # these recordings are densely covered


def _archive(kind, folder, path):
  if kind == "zip":
    with zipfile.ZipFile(path, "w") as archive:
      for file in folder.rglob("*.*"):
        archive.write(file, "wav2pix-abc" / file.relative_to(folder))
  else:
    with tarfile.open(path, f"w:{kind}", preset=0) as archive:
      archive.add(folder, "wav2pix-abc")
  return path


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("zip", "a.zip"), ("xz", "a.tar.xz")])
def test_archives_give_what_the_folder_gives(kind, name, released, clean, config, tmp_path):
  config.dataset.source = str(_archive(kind, released.folder, tmp_path / name))
  config.dataset.data_dir = str(tmp_path / "data")
  builder = data.prepare(config.dataset)
  for split in ("train", "validation", "test"):
    expected = {r["id"]: r["speech"].tobytes() for r in _records(clean, split)}
    assert {r["id"]: r["speech"].tobytes() for r in _records(builder, split)} == expected


def test_other_content_is_another_dataset(config, tmp_path):
  folders = [small_release.make(tmp_path / str(i), 1, 6, seed=i).folder for i in range(2)]
  names = {youtubers.config("clean", str(folder / "dataset")).name for folder in folders}
  assert len(names) == 2


@pytest.mark.slow
def test_download_records_the_checksum(released, tmp_path, monkeypatch):
  """The release's archive over HTTP, from loopback; later a changed archive is refused."""
  archive = _archive("zip", released.folder, tmp_path / "release.zip")
  monkeypatch.setenv("NO_PROXY", "127.0.0.1")
  handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/release.zip"
    monkeypatch.setattr(youtubers, "URL", url)
    checksums = tmp_path / "checksums.tsv"
    checksums.touch()
    monkeypatch.setattr(youtubers.Builder, "_checksums_path", checksums)
    dataset = _dataset("released", "", tmp_path / "data")
    builder = data.prepare(dataset)
    assert sum(s.num_examples for s in builder.info.splits.values()) == len(released.cuts)
    assert url in checksums.read_text()
    monkeypatch.setattr(youtubers.Builder, "url_infos", load_url_infos(checksums))  # a new process
    _archive("zip", small_release.make(tmp_path / "other", 1, 6).folder, archive)
    with pytest.raises(UserError, match="could not be prepared.*checksum"):
      data.prepare(_dataset("released", "", tmp_path / "later"))
    server.shutdown()


def _dataset(name, source, data_dir):
  from configs import youtubers

  dataset = youtubers.get_config().dataset
  dataset.name, dataset.source, dataset.data_dir = name, source, str(data_dir)
  return dataset


def test_bad_sources_are_named_and_leave_nothing(tmp_path):
  (tmp_path / "empty").mkdir()
  (tmp_path / "text.zip").write_text("not an archive")
  for name, samples, rate in [("rates", 8_000, 8_000), ("nothing", 0, 16_000)]:
    wav = next(small_release.make(tmp_path / name, 1, 6).folder.rglob("*.wav"))
    small_release.write_wav(wav, np.zeros(samples), rate)
  good = small_release.make(tmp_path / "good", 1, 6).folder
  whole = _archive("xz", good, tmp_path / "whole.tar.xz").read_bytes()
  (tmp_path / "short.tar.xz").write_bytes(whole[: len(whole) // 2])
  (tmp_path / "flipped.tar.xz").write_bytes(whole[:900] + b"?" * 99 + whole[999:])
  for source, words in [
    ("missing.zip", "cannot be read"),
    ("empty", "no pairs of face and speech"),
    ("text.zip", "cannot be read"),
    ("rates", r"expected \(16000, 1, 2\)"),
    ("nothing", "holds no samples"),
    ("short.tar.xz", "cannot be read"),
    ("flipped.tar.xz", "cannot be read"),
  ]:
    dataset = _dataset("clean", str(tmp_path / source), tmp_path / "data")
    with pytest.raises(UserError, match=words) as error:
      data.prepare(dataset)
    assert "\n" not in str(error.value)
  assert not list((tmp_path / "data").rglob("*.array_record*"))


@pytest.mark.extra
def test_no_tensorflow(released, tmp_path):
  shutil.copytree(released.folder, tmp_path / "r")
  code = (
    "import sys; from configs import youtubers; from wav2pix_jax import data\n"
    "c = youtubers.get_config()\n"
    f"c.dataset.source = {str(tmp_path / 'r')!r}; c.dataset.data_dir = {str(tmp_path / 'd')!r}\n"
    "b = data.prepare(c.dataset); next(data.Feed(data.load(b, 'train', 16), c).batches(4))\n"
    "assert 'tensorflow' not in sys.modules"
  )
  subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


@pytest.mark.parametrize("videos", [1, 2])
def test_few_groups_and_numbers_that_restart(videos, tmp_path):
  """One recording of each identity cannot be split; two give a validation split and no test."""
  small = small_release.make(tmp_path / "small", videos, 7)
  for split in ("train", "test"):  # number each folder from 0
    for folder in (small.folder / "dataset" / split).glob("*"):
      for kind in ("cropped_face_frame", "preprocessed_frame"):
        files = sorted(folder.glob(f"{kind}_*"), key=lambda path: int(path.stem.split("_")[-1]))
        for i, path in enumerate(files):
          path.rename(path.with_name(f"{kind}_{i}{path.suffix}"))
  dataset = _dataset("clean", str(small.folder), tmp_path / "data")
  builder = data.prepare(dataset)
  splits_found = set(builder.info.splits)
  if videos == 1:
    assert splits_found == {"train"}
    with pytest.raises(UserError, match="no held-out split"):
      data.held_out_split(builder)
  else:
    assert splits_found == {"train", "validation"}
    assert data.held_out_split(builder) == "validation"
  ids = [record["id"] for split in splits_found for record in _records(builder, split)]
  assert len(ids) == len(set(ids)) == len({(c.video, c.clip) for c in small.cuts.values()})


def test_one_image_at_two_instants_claims_no_certainty():
  """And does not spoil what the grid says of the other faces."""
  rng = np.random.default_rng(0)
  recording = small_release.speech(rng, 20 * 16_000)

  def pair(number, face, start):
    return release_files.Pair("train", "ada", number, face, recording[start : start + 16_000])

  starts = {i: i * 16_000 + 777 for i in range(16)}
  chunks = {i: [s, s + 7_000, s + 20_000, s + 33_000, s + 48_000] for i, s in starts.items()}
  pairs = [pair(i * 5 + j, b"%d" % i, s) for i, of in chunks.items() for j, s in enumerate(of)]
  sound = {clip.pair.face: clip for clip in recovery.recover(pairs).clips}
  twice = [*pairs, *(pair(900 + j, b"0", s) for j, s in enumerate(chunks[12]))]
  spoiled = {clip.pair.face: clip for clip in recovery.recover(twice).clips}
  assert spoiled[b"0"].instant_error > 16_000
  for face in spoiled.keys() - {b"0"}:
    assert spoiled[face].instant_error == sound[face].instant_error == 0
    assert len(spoiled[face].speech) == 64_000


def test_one_image_of_two_identities_is_two_records_in_one_group():
  rng = np.random.default_rng(0)
  pairs = [
    release_files.Pair("train", who, i, b"same", small_release.speech(rng, 16_000))
    for i, who in enumerate(("ada", "bo"))
  ]
  found = recovery.recover(pairs).clips
  assert [clip.pair.identity for clip in found] == ["ada", "bo"]
  assert found[0].unit == found[1].unit


def test_split_shares():
  rng = np.random.default_rng(0)
  sizes = {unit: int(size) for unit, size in enumerate(rng.integers(1, 60, 25))}
  split_of = splits.assign({"one": sizes, "two": {100: 5, 101: 5, 102: 5}, "three": {200: 9}})
  total = sum(sizes.values())
  for split, share in splits.SHARES.items():
    assert abs(sum(n for u, n in sizes.items() if split_of[u] == split) / total - share) < 0.02
  assert {split_of[u] for u in (100, 101, 102)} == set(splits.SHARES)
  assert split_of[200] == "train"
  assert len(split_of) == 29
