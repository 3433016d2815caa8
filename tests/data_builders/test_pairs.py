"""Pairs of pictures and recordings: matched, split and read as the table says."""

import csv
import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import TINY
from PIL import Image

from data_builders import splits
from data_builders.pairs import table
from data_builders.prepare.__main__ import main
from wav2pix_jax import data
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.configs import base

RATE = schema.SAMPLE_RATE
COLUMNS = [*table.COLUMNS, *table.OPTIONAL]


def _face(number):
  return images.encode_jpeg(np.full((24, 24, 3), number, np.uint8))


def _speech(path, number, seconds=1.5):
  path.parent.mkdir(parents=True, exist_ok=True)
  audio.write_wav(path, np.full(round(seconds * RATE), number, np.int16))


@pytest.fixture
def folder(tmp_path):
  """Three people with four recordings and four pictures each, whose values are their numbers."""
  for p, person in enumerate(("ana", "bo", "cy")):
    for n in range(4):
      _speech(tmp_path / person / f"{n}.wav", 10 * p + n)
      (tmp_path / person / f"{n}.jpg").write_bytes(_face(10 * (10 * p + n)))
  return tmp_path


def _write(folder, rows):
  with (folder / "pairs.csv").open("w") as file:
    writer = csv.DictWriter(file, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
  return folder / "pairs.csv"


def _rows(people=("ana", "bo", "cy"), numbers=range(4)):
  return [
    {"identity": person, "face": f"{person}/{n}.jpg", "speech": f"{person}/{n}.wav"}
    for person in people
    for n in numbers
  ]


def _config(folder, match="line", unseen=()):
  config = base.get_config()
  config.update_from_flattened_dict(TINY)
  config.dataset.name, config.dataset.source = "pairs", str(folder / "pairs.csv")
  config.dataset.data_dir = str(folder / "data")
  config.dataset.pairs.match, config.dataset.unseen = match, unseen
  return config


def _read(config):
  builder = data.prepare(config.dataset)
  raw = {schema.FACE: tfds.decode.SkipDecoding()}
  return builder, {
    split: list(builder.as_data_source(split=split, decoders=raw)) for split in builder.info.splits
  }


def test_a_line_is_a_record_in_the_split_that_it_names(folder):
  named = ("train", "train", "validation", "test")
  rows = [{**row, "split": named[i % 4]} for i, row in enumerate(_rows())]
  _write(folder, [{**row, "gender": "F" if row["identity"] == "ana" else ""} for row in rows])
  builder, found = _read(_config(folder))
  assert {split: len(records) for split, records in found.items()} == {
    "train": 6,
    "validation": 3,
    "test": 3,
  }
  for split, records in found.items():
    for record in records:
      number = int(record[schema.SPEECH][0])
      assert split == named[number % 10]
      assert record[schema.IDENTITY] == number // 10
      assert record[schema.FACE] == _face(10 * number)  # the file as it was
      assert len(record[schema.SPEECH]) == 1.5 * RATE
      assert record[schema.INSTANT_ERROR] == schema.CLIP_SAMPLES
  assert data.genders(builder) == ["F", "", ""]


def test_missing_splits_are_taken_by_video_from_training(folder):
  rows = [{**row, "video": f"v{i % 4 // 2}"} for i, row in enumerate(_rows())]
  rows += [{**row, "split": "test", "video": "v9"} for row in _rows(numbers=[0])]
  read = table.read(_write(folder, rows), "line", ())
  videos = {
    split: {line.item.unit for group in groups.values() for line, _ in group.speech}
    for split, groups in read.groups.items()
  }
  assert videos["validation"] == {"ana\nv1"}  # a tenth, of whoever has most
  assert len(videos["train"]) == 5
  assert videos["test"] == {f"{person}\nv9" for person in ("ana", "bo", "cy")}


def test_units_tell_which_lines_share_a_video(folder):
  rows = [{**row, "video": f"v{i % 4 // 2}"} for i, row in enumerate(_rows())]
  for named in ("", "test"):  # by the column, a video can be in two splits
    for row in rows[::2]:
      row["split"] = named
    groups = table.read(_write(folder, rows), "line", ()).groups
    units = {
      split: {unit for group in found.values() for _, unit in group.speech}
      for split, found in groups.items()
    }
    assert bool(units["train"] & units["test"]) == (named == "test")
    assert not units["train"] & units["validation"]
  single = [{**row, "video": "v"} for row in _rows()]  # split by time
  groups = table.read(_write(folder, single), "line", ()).groups
  units = [
    {unit for group in groups[s].values() for _, unit in group.speech} for s in splits.SHARES
  ]
  assert all(units)
  assert len(set.union(*units)) == sum(map(len, units))


def test_the_unseen_of_the_table_and_of_the_config_are_apart(folder):
  rows = _rows(("ana", "bo")) + [{**row, "split": "unseen"} for row in _rows(("cy",))]
  for n in range(4):
    _speech(folder / "di" / f"{n}.wav", n)
    (folder / "di" / f"{n}.jpg").write_bytes(_face(n))
  path = _write(folder, rows + _rows(("di",)))
  read = table.read(path, "line", ("di",))
  assert (read.learned, read.unseen) == (["ana", "bo"], ["cy", "di"])
  builder, found = _read(_config(folder, unseen=("di",)))
  assert data.identity_names(builder) == ["ana", "bo"]
  assert {record[schema.IDENTITY] for record in found["unseen"]} == {2, 3}
  with pytest.raises(UserError, match="nobody not in"):
    table.read(path, "line", ("nobody",))


BAD = {
  "identity: no name": {"identity": ""},
  "would lead out of the folder": {"identity": "../ana"},
  "the split is 'dev'": {"split": "dev"},
  "no face; dataset.pairs.match=identity": {"face": ""},
  "no face and no speech": {"face": "", "speech": ""},
  "there is no speech 'ana/9.wav'": {"speech": "ana/9.wav"},
  "the time is 'noon'": {"time": "noon"},
  "the time is '-1'": {"time": "-1"},
  "the time is '1e999'": {"time": "1e999"},
  "the time is 7 s, of 1.5 s": {"time": "7"},
  "ana is unseen here": {"split": "unseen"},
  "is no picture": {"face": "ana/0.wav"},
  "0.jpg: contains no sound": {"speech": "ana/0.jpg"},
  "has 8,000 samples": {"speech": "ana/short.wav"},
  "more than 8 bits": {"face": "ana/deep.png"},
}


def test_bad_lines_are_listed_by_number_and_the_rest_goes_on(folder, capfd):
  _speech(folder / "ana" / "short.wav", 1, seconds=0.5)
  Image.fromarray(np.full((8, 8), 9000, np.uint16)).save(folder / "ana" / "deep.png")
  good = _rows()
  _write(folder, [good[0] | fault for fault in BAD.values()] + good)
  _, found = _read(_config(folder))
  assert sum(map(len, found.values())) == len(good)
  said = capfd.readouterr().err.splitlines()
  for number, reason in enumerate(BAD, 2):
    assert any(f"line {number}: " in line and reason in line for line in said), reason


def test_a_face_with_a_time_has_the_speech_around_it(folder):
  ramp = np.arange(10 * RATE) // 10
  audio.write_wav(folder / "ana" / "long.wav", ramp.astype(np.int16))
  times = {"0.5": (0, 2.5), "5": (3, 7), "9": (7, 10)}
  rows = [{**_rows()[0], "speech": "ana/long.wav", "time": time} for time in times]
  others = [{**row, "split": split} for split in splits.SHARES for row in _rows(("bo", "cy"))]
  _write(folder, [{**row, "split": "train"} for row in rows] + others)
  _, found = _read(_config(folder))
  records = {r[schema.ID].decode(): r for r in found["train"] if r[schema.IDENTITY] == 0}
  for (_, record), (time, (start, stop)) in zip(
    sorted(records.items()), times.items(), strict=True
  ):
    speech = ramp[round(start * RATE) : round(stop * RATE)]
    np.testing.assert_array_equal(record[schema.SPEECH], speech)
    assert record[schema.INSTANT] == round((float(time) - start) * RATE)
    assert record[schema.INSTANT_ERROR] == 0


def _saved(path, picture, **more):
  Image.fromarray(picture).save(path, **more)


def test_pictures_of_any_kind_become_square_and_upright(folder):
  half = np.zeros((20, 40, 3), np.uint8)
  half[:, 20:] = 255  # black on the left, white on the right
  rotated = Image.Exif()
  rotated[0x0112] = 6  # shown turned clockwise
  _saved(folder / "turned.jpg", half, exif=rotated, quality=95)
  _saved(folder / "clear.png", np.dstack([half, np.zeros((20, 40), np.uint8)]))  # transparent
  _saved(folder / "gray.webp", half[..., 0], lossless=True)
  faces = ["turned.jpg", "clear.png", "gray.webp"]
  rows = [{**_rows()[0], "face": face, "split": "train"} for face in faces]
  _write(folder, rows + _rows(("bo", "cy")))
  _, found = _read(_config(folder))
  shown = {
    record[schema.ID]: images.decode(record[schema.FACE])
    for record in found["train"]
    if record[schema.IDENTITY] == 0
  }
  turned, clear, gray = (picture for _, picture in sorted(shown.items()))
  assert turned.shape == clear.shape == gray.shape == (20, 20, 3)
  assert turned[:9].max() < 30
  assert turned[11:].min() > 225
  assert clear.min() > 250
  assert gray[:, :9].max() < 30
  assert gray[:, 11:].min() > 225


def test_by_identity_any_face_goes_with_any_speech(folder, capfd):
  rows = []
  for row in _rows():
    rows += [{**row, "face": ""}, {**row, "speech": ""}]
  rows = [row for row in rows if row["face"] != "cy/0.jpg" and not row["face"].startswith("bo")]
  rows.append({"identity": "bo", "face": "bo/0.jpg"})
  _write(folder, rows)
  builder, found = _read(_config(folder, "identity"))
  said = capfd.readouterr().err
  assert "bo: no face in test; those in train are taken" in said
  shown = {split: set() for split in found}
  for split, records in found.items():
    assert len({record[schema.ID] for record in records}) == len(records) > 0
    for record in records:
      face = round(images.decode(record[schema.FACE]).mean() / 10)
      assert face // 10 == int(record[schema.SPEECH][0]) // 10 == record[schema.IDENTITY]
      shown[split].add(face)
  assert shown["train"] & shown["validation"] <= {10}  # the only face of bo
  assert shown["train"] & shown["test"] <= {10}
  assert set.union(*shown.values()) == {0, 1, 2, 3, 10, 21, 22, 23}
  spoken = [int(record[schema.SPEECH][0]) for records in found.values() for record in records]
  assert {*spoken} == {10 * p + n for p in range(3) for n in range(4)}
  assert data.load(builder, "train", 16).any_face


def test_another_file_is_another_dataset(folder):
  _write(folder, _rows())
  before = data.prepare(_config(folder).dataset).data_dir
  assert data.prepare(_config(folder).dataset).data_dir == before
  _speech(folder / "ana" / "0.wav", 3, seconds=2)
  assert data.prepare(_config(folder).dataset).data_dir != before


def test_folders_become_a_table(folder, tmp_path, capsys):
  for n in range(2):
    _speech(tmp_path / "speech" / "ana" / f"video{n}" / "00.wav", n)
    _speech(tmp_path / "speech" / "eve" / f"video{n}" / "00.wav", n)
  faces = tmp_path / "faces" / "ana"
  faces.mkdir(parents=True)
  (faces / "b.jpg").write_bytes(_face(3))
  (faces / "notes.txt").write_text("no picture")
  (faces.parent / "identities.csv").write_text("Name,Gender\nana,F\n")
  out = tmp_path / "list" / "pairs.csv"
  flags = [f"--faces={faces.parent}", f"--speech={tmp_path / 'speech'}", f"--out={out}"]
  assert main(["pairs", *flags]) == 0
  said = capsys.readouterr().out
  assert "1 people" in said
  assert "left out: eve" in said
  assert "match=identity" in said
  rows = list(csv.DictReader(io.StringIO(out.read_text())))
  assert [(r["identity"], r["video"], r["gender"]) for r in rows] == [
    *(("ana", "", "F"), ("ana", "video0", "F"), ("ana", "video1", "F"))
  ]
  assert rows[0]["face"] == "../faces/ana/b.jpg"
  assert not rows[0]["speech"]
  # Side by side, a picture and a recording of one name share a line.
  both = [f"--faces={folder}", f"--speech={folder}", f"--out={folder / 'pairs.csv'}"]
  assert main(["pairs", *both]) == 0
  read = table.read(folder / "pairs.csv", "line", ())
  assert read.learned == ["ana", "bo", "cy"]
  assert not read.problems


def test_align_crops_to_the_face(tmp_path, capsys):
  from data_builders.synthetic.clips import make_clip
  from data_builders.synthetic.identity import people

  clip = make_clip(people(1)[0], 0, 128, 0)
  room = np.full((400, 500, 3), 90, np.uint8)
  room[100:228, 150:278] = clip.face
  for who in ("ana", "bo"):
    (tmp_path / who).mkdir()
    _saved(tmp_path / who / "a.png", room)
    _saved(tmp_path / who / "wall.png", np.full((100, 100, 3), 90, np.uint8))
    _speech(tmp_path / who / "a.wav", 1)
  flags = [f"--faces={tmp_path}", f"--speech={tmp_path}", f"--out={tmp_path / 'pairs.csv'}"]
  assert main(["pairs", *flags, "--align"]) == 1  # nobody is on the wall
  assert "wall.png: no face found" in capsys.readouterr().out
  rows = list(csv.DictReader((tmp_path / "pairs.csv").open()))
  assert len(rows) == 2
  assert all(row["speech"] for row in rows)
  face = images.decode((tmp_path / rows[0]["face"]).read_bytes())
  assert face.shape[0] == face.shape[1] < 160


def test_mistakes_are_one_line(folder, capsys):
  config = _config(folder)
  config.dataset.source = ""
  with pytest.raises(UserError, match="source is empty"):
    data.check(config.dataset)
  with pytest.raises(UserError, match="match is 'people'; choose from line, identity"):
    data.check(_config(folder, "people").dataset)
  (folder / "pairs.csv").write_text("identity,face\n")
  with pytest.raises(UserError, match="no column speech"):
    data.prepare(_config(folder).dataset)
  (folder / "pairs.csv").write_text("identity,face,speech\n")
  with pytest.raises(UserError, match="0 identities"):
    data.prepare(_config(folder).dataset)
  flags = [f"--faces={folder / 'ana'}", f"--speech={folder}", "--out=x.csv"]
  assert main(["pairs", *flags]) == 2
  assert "no pictures in it" in capsys.readouterr().err
