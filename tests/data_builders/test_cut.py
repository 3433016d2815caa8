"""Videos to clips: exact to the millisecond by any clock; bad files named; kills survived."""

import dataclasses
import filecmp
import functools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction

import films
import numpy as np
import pytest
from conftest import ROOT

from data_builders.prepare import cut, cut_all, manifest, media, videos
from data_builders.prepare.__main__ import main
from wav2pix_jax.common import audio, schema, sound

pytestmark = pytest.mark.slow

HOW = cut.Settings(rate=1.0, confidence=3.0, frames=True)


def _cut(raw, out, settings=HOW):
  return cut_all.make(raw, out, settings, lambda work, found: [work(v) for v in found])


def _check(out, shown, said, late=0.0, who=0, earlier=0.0):
  """Every clip against the truth; returns when its frames are shown."""
  seen = []
  for clip in films.manifest(out):
    number = films.number_of(films.read_image(out / clip["frame"]))
    assert abs(clip["time"] + earlier - shown[number]) < 0.001
    _, box = films.frame(number, who)
    assert films.overlap(clip["box"], box) > 0.5
    left, top, width, height = clip["box"]
    face = films.read_image(out / clip["face"])
    assert face.shape == (height, width, 3)
    frame = films.read_image(out / clip["frame"])[top : top + height, left : left + width]
    assert np.abs(face.astype(int) - frame).mean() < 3
    heard = audio.read(out / clip["speech"])
    assert heard.shape == (schema.CLIP_SAMPLES,)
    first = round((shown[number] - late - 2) * schema.SAMPLE_RATE)
    assert abs(films.lag(heard, said, first)) < 0.001
    seen.append(clip["time"])
  return seen


@pytest.mark.slow
@pytest.mark.parametrize("rate", films.RATES)
@pytest.mark.parametrize("late", [pytest.param(0.0, marks=pytest.mark.extra), 0.5])
def test_every_cut_is_within_a_millisecond_of_the_truth(tmp_path, rate, late):
  shown, said = films.make(tmp_path / "raw" / "ana" / "a.mp4", rate, late=late)
  (report,) = _cut(tmp_path / "raw", tmp_path / "out")
  assert not report.problem
  seen = _check(tmp_path / "out", shown, said, late)
  ticks = [min(t for t in shown if t >= tick - 1e-6) for tick in range(8)]
  blocks = math.ceil(len(said) / schema.SAMPLE_RATE * 44_100 / 1024)  # of AAC: the last is padded
  end = late + blocks * 1024 / 44_100
  eligible = [t for t in ticks if late + 2 <= t <= end - 2 + 0.001]
  assert len(eligible) >= 3
  assert seen == pytest.approx(eligible, abs=1e-6)


@pytest.mark.parametrize("form", ["matroska", "mpegts", "mov"])
def test_other_containers_keep_time(tmp_path, form):
  shown, said = films.make(tmp_path / "film.mp4", "30000/1001", late=0.25)
  path = tmp_path / "raw" / "ana" / "film.mkv"
  path.parent.mkdir(parents=True)
  films.remux(tmp_path / "film.mp4", path, form=form)
  _cut(tmp_path / "raw", tmp_path / "out")
  found = films.manifest(tmp_path / "out")
  starts = (
    found[0]["time"]
    - shown[films.number_of(films.read_image(tmp_path / "out" / found[0]["frame"]))]
  )
  assert _check(tmp_path / "out", shown, said, 0.25, earlier=-round(starts, 3))
  assert len(found) >= 3


def test_an_edit_list_moves_both(tmp_path):
  shown, said = films.make(tmp_path / "film.mp4")
  path = tmp_path / "raw" / "ana" / "film.mp4"
  path.parent.mkdir(parents=True)
  films.remux(tmp_path / "film.mp4", path, earlier=0.52)
  contents = media.read(path)
  assert float(contents.shown[0] * contents.tick) >= 0  # what the edit list cuts off is not shown
  _cut(tmp_path / "raw", tmp_path / "out")
  assert len(_check(tmp_path / "out", shown, said, earlier=0.52)) == 4


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_pictures_are_seen_upright(tmp_path, rotation):
  path = tmp_path / "raw" / "ana" / "film.mp4"
  films.make(path, seconds=6, rotation=rotation)
  (report,) = _cut(tmp_path / "raw", tmp_path / "out")
  found = films.manifest(tmp_path / "out")
  assert len(found) == 3, report
  for clip in found:
    picture = films.read_image(tmp_path / "out" / clip["frame"])
    upright = films.frame(round(clip["time"] * 25))[0]
    assert np.abs(picture.astype(int) - upright).mean() < 10


def test_skipping_pictures_changes_none(tmp_path, monkeypatch):
  path = tmp_path / "film.mp4"
  films.make(path, seconds=5)
  contents = media.read(path)
  wanted = contents.shown[7::13]
  quick = [(pts, picture.rgb()) for pts, picture in media.pictures(path, wanted)]
  monkeypatch.setattr(media, "SKIPPABLE", set())
  full = [(pts, picture.rgb()) for pts, picture in media.pictures(path, wanted)]
  assert [pts for pts, _ in quick] == [pts for pts, _ in full] == wanted
  assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(quick, full, strict=True))


def test_a_gap_in_the_speech_leaves_out_the_clips_around_it(tmp_path):
  runs = [(0, 64_000), (80_000, 160_000)]
  speech = sound.Sound(1.0, np.arange(160_000, dtype=np.int16), runs, None)
  contents = media.Contents(speech, [], Fraction(1), [])
  around = functools.partial(contents.speech_around, length=64_000)
  assert around(2.99) is None
  assert np.array_equal(around(3.0), speech.samples[:64_000])
  assert around(3.01) is None
  assert around(7.99) is None
  assert np.array_equal(around(8.0), speech.samples[80_000:144_000])
  assert around(9.01) is None


def test_of_joined_files_the_first_is_used(tmp_path):
  """`cat a.ts b.ts`: the second's pictures and speech have the timestamps of the first's."""
  path = tmp_path / "raw" / "ana" / "film.ts"
  shown, said = films.make(path, seconds=8, form="mpegts")
  _cut(tmp_path / "raw", tmp_path / "first")
  films.make(tmp_path / "other.ts", seconds=12, who=1, form="mpegts")
  with path.open("ab") as file:
    file.write((tmp_path / "other.ts").read_bytes())
  (report,) = _cut(tmp_path / "raw", tmp_path / "out")
  assert "its clock starts again" in report.problem
  first, both = films.manifest(tmp_path / "first"), films.manifest(tmp_path / "out")
  assert 3 <= len(both) <= len(first)
  for clip in both:
    assert clip in first
    for file in ("face", "speech"):
      read = (tmp_path / out / clip[file] for out in ("first", "out"))
      assert next(read).read_bytes() == next(read).read_bytes()


def test_short_clips_on_request(tmp_path, capsys):
  """Sentences of 2 to 3 s, as in sets of the field, have no 4 s around any face."""
  _, said = films.make(tmp_path / "raw" / "ana" / "film.mp4", seconds=3)
  command = ["clips", f"--videos={tmp_path / 'raw'}"]
  assert main([*command, f"--out={tmp_path / 'none'}"]) == 1
  assert "no picture with 4 s of speech around it in 3.0 s" in capsys.readouterr().out
  out = tmp_path / "out"
  assert main([*command, f"--out={out}", "--speech_seconds=1.5", "--rate=5"]) == 0
  found = films.manifest(out)
  assert [round(5 * clip["time"]) for clip in found] == list(range(4, 12))
  for clip in found:
    heard = audio.read(out / clip["speech"])
    assert len(heard) == 24_000
    assert abs(films.lag(heard, said, round((clip["time"] - 0.75) * 16_000))) < 0.001
  assert main([*command, f"--out={out}"]) == 2
  assert "clips made with --rate=5.0, --speech_seconds=1.5" in capsys.readouterr().err
  with pytest.raises(SystemExit):
    main([*command, f"--out={out}", "--speech_seconds=0.1"])
  assert "'0.1' is not a length of 0.3 to 4 seconds" in capsys.readouterr().err


def test_the_language_is_that_of_the_metadata(tmp_path):
  path = tmp_path / "raw" / "ana" / "film.mp4"
  films.make(path, seconds=5)
  for content, language in (('{"language": "es"}', "es"), ('{"id": 3}', ""), ("[oops", "")):
    path.with_name("film.info.json").write_text(content)
    _cut(tmp_path / "raw", tmp_path / "out")
    assert {clip["language"] for clip in films.manifest(tmp_path / "out")} == {language}


ODD = '--- "Zoë\'s" film; rm -rf $HOME #1'


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
  """A folder of every mistake, with what is to be said of each."""
  raw = tmp_path_factory.mktemp("bad")
  good = raw / "ana" / "good.mp4"
  films.make(good, seconds=6)
  whole = good.read_bytes()
  (raw / "ana" / "empty.mp4").touch()
  (raw / "ana" / "text.mp4").write_text("this is no film\n" * 100)
  (raw / "ana" / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
  films.remux(good, raw / "ana" / "whole.mkv")
  content = (raw / "ana" / "whole.mkv").read_bytes()
  (raw / "ana" / "half.mkv").write_bytes(content[: int(len(content) * 0.7)])
  films.make(raw / "ana" / "silent.mp4", seconds=5, sound=False)
  films.make(raw / "ana" / "dark.mp4", seconds=5, picture=False)
  films.make(raw / "ana" / "nobody.mp4", seconds=5, faces=0)
  films.make(raw / "ana" / "both.mp4", seconds=5, faces=2)
  films.make(raw / "ana" / "five.mp4", seconds=5)
  films.make(raw / "ana" / "three.mp4", seconds=3)
  shutil.copytree(raw / "ana", raw / ODD, ignore=lambda _, names: {*names} - {"five.mp4"})
  (raw / ODD / "five.mp4").rename(raw / ODD / f"{ODD}.mp4")
  outside = tmp_path_factory.mktemp("outside") / "film.mp4"
  shutil.copy(good, outside)
  (raw / "ana" / "link.mp4").symlink_to(outside)
  (raw / "bea").symlink_to(outside.parent)
  (raw / "ana" / "notes.txt").write_text("not a film, and nobody says it is")
  (raw / "identities.csv").write_text(
    '\ufeffName,Gender\nana,f\n"' + ODD.replace('"', '""') + '",m\n'
  )
  return raw


PROBLEMS = {
  "ana/empty.mp4": "empty file",
  "ana/text.mp4": "not a video that FFmpeg can read (Invalid data",
  "ana/truncated.mp4": "not a video that FFmpeg can read (Invalid data",
  "ana/half.mkv": "cut off: ",
  "ana/silent.mp4": "no sound",
  "ana/dark.mp4": "no pictures",
  "ana/nobody.mp4": "no faces in 2 pictures",
  "ana/three.mp4": "no picture with 4 s of speech around it in 3.0 s",
  "ana/link.mp4": "a link that leads out of the folder",
  "bea": "a link that leads out of the folder",
}


def test_each_mistake_is_a_line_and_the_rest_goes_on(bad, tmp_path, capsys):
  assert main(["clips", f"--videos={bad}", f"--out={tmp_path}"]) == 1
  said = capsys.readouterr().out
  report = films.report(tmp_path)
  for name, problem in PROBLEMS.items():
    assert report[name]["problem"].startswith(problem), report[name]
    assert name in said
  well = {name: line["clips"] for name, line in report.items() if not line["problem"]}
  assert well == {
    "ana/good.mp4": 3,
    "ana/whole.mkv": 3,
    "ana/five.mp4": 2,
    "ana/both.mp4": 2,
    f"{ODD}/{ODD}.mp4": 2,
  }
  assert report["ana/both.mp4"]["several"] == 2
  assert report["ana/half.mkv"]["clips"] >= 1
  found = films.manifest(tmp_path)
  assert {clip["gender"] for clip in found if clip["identity"] == "ana"} == {"f"}
  assert {clip["gender"] for clip in found if clip["identity"] == ODD} == {"m"}
  assert (
    len({clip["id"] for clip in found})
    == len(found)
    == sum(well.values()) + report["ana/half.mkv"]["clips"]
  )
  assert [clip["scores"]["faces"] for clip in found if "both" in clip["id"]] == [2, 2]
  assert not list(tmp_path.rglob("*.incomplete"))


def test_what_was_cut_is_not_cut_again_but_what_changed_is(tmp_path, monkeypatch):
  raw, out = tmp_path / "raw", tmp_path / "out"
  for who in (0, 1):
    films.make(raw / f"p{who}" / "film.mp4", seconds=5, who=who)
  _cut(raw, out)
  before = (out / "manifest.jsonl").read_bytes()
  opened = []
  read = media.read
  monkeypatch.setattr(media, "read", lambda path: opened.append(path.parent.name) or read(path))
  _cut(raw, out)
  assert not opened
  assert (out / "manifest.jsonl").read_bytes() == before
  films.make(raw / "p0" / "film.mp4", seconds=6)
  shutil.rmtree(raw / "p1")
  _cut(raw, out)
  assert opened == ["p0"]
  assert [clip["identity"] for clip in films.manifest(out)] == ["p0"] * 3
  assert not (out / "media" / "p1" / "film.mp4").exists()


def crashing(video):
  """Cuts nothing; of the bad videos the process ends as one that a decoder crashed."""
  if "bad" in video.name:
    os.kill(os.getpid(), signal.SIGSEGV)
  time.sleep(0.05)
  return cut.VideoReport(video.name, clips=1)


def test_a_decoder_that_crashes_costs_one_video():
  names = ["ana/0.mp4", "ana/1.mp4", "ana/bad.mp4", "ana/3.mp4"]
  found = [videos.Video("/nowhere", name, 0) for name in names]
  reports = cut_all.run_here(crashing, found)
  assert sorted(report.video for report in reports) == sorted(names)
  for report in reports:
    if "bad" in report.video:
      assert "the process that read it crashed" in report.problem
    else:
      assert (report.clips, report.problem) == (1, "")


def test_other_settings_are_refused(tmp_path, capsys):
  films.make(tmp_path / "raw" / "ana" / "film.mp4", seconds=5)
  command = ["clips", f"--videos={tmp_path / 'raw'}", f"--out={tmp_path / 'out'}"]
  assert main(command) == 0
  before = (tmp_path / "out" / "manifest.jsonl").read_bytes()
  assert main([*command, "--rate=2"]) == 2
  assert "--rate=1.0" in capsys.readouterr().err
  assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == before


@pytest.mark.parametrize(
  ("make", "said"),
  [
    (lambda raw: None, "no such folder"),
    (lambda raw: raw.mkdir(), "no videos in it"),
    (lambda raw: films.make(raw / "film.mp4", seconds=1), "a folder for each identity"),
  ],
)
def test_no_videos_is_a_line(tmp_path, capsys, make, said):
  make(tmp_path / "raw")
  assert main(["clips", f"--videos={tmp_path / 'raw'}", f"--out={tmp_path / 'out'}"]) == 2
  error = capsys.readouterr().err
  assert said in error
  assert len(error.splitlines()) == 1


def test_identities_without_their_columns_are_refused(tmp_path, capsys):
  films.make(tmp_path / "raw" / "ana" / "film.mp4", seconds=1)
  (tmp_path / "raw" / "identities.csv").write_text("Name,Sex\nana,f\n")
  assert main(["clips", f"--videos={tmp_path / 'raw'}", f"--out={tmp_path / 'out'}"]) == 2
  assert "no column Gender" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["00002000.jpg", "00002000.wav", "video.json"])
def test_a_full_disk_is_a_line_and_leaves_nothing_half_written(tmp_path, monkeypatch, which):
  films.make(tmp_path / "raw" / "ana" / "film.mp4", seconds=5)
  out = tmp_path / "out"
  (found,) = videos.find(tmp_path / "raw")
  folder = cut.folder_of(found, str(out)).with_name("film.mp4.incomplete")
  mkdir = type(folder).mkdir

  def then_full(self, *arguments, **named):
    mkdir(self, *arguments, **named)
    if self == folder and not list(self.iterdir()):
      for name in (which, f"{which}.incomplete"):
        (self / name).symlink_to("/dev/full")

  monkeypatch.setattr(type(folder), "mkdir", then_full)
  with pytest.raises(Exception, match="No space left on device") as raised:
    cut.cut(found, str(out), HOW)
  assert type(raised.value).__name__ == "UserError"
  assert not list(out.rglob("*.*")) or not list((out / "media" / "ana").iterdir())
  monkeypatch.undo()
  assert cut.cut(found, str(out), HOW).clips == 2


def test_an_unwritable_folder_is_a_line(tmp_path):
  films.make(tmp_path / "raw" / "ana" / "film.mp4", seconds=1)
  out = tmp_path / "out"
  out.mkdir()
  out.chmod(0o555)
  for folder in (tmp_path, *tmp_path.parents[:3]):
    folder.chmod(folder.stat().st_mode | 0o755)
  script = (
    "import os, sys\n"
    "from data_builders.prepare.__main__ import main\n"
    "if not os.getuid(): os.setuid(65534)\n"
    f"sys.exit(main(['clips', '--videos={tmp_path / 'raw'}', '--out={out}']))"
  )
  done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 2, done.stderr
  assert "cannot be written (Permission denied)" in done.stderr
  assert "Traceback" not in done.stderr


def _same(one, other):
  """Whether two folders hold the same files."""
  names = [sorted(p.relative_to(o) for p in o.rglob("*") if p.is_file()) for o in (one, other)]
  assert names[0] == names[1]
  _, differ, failed = filecmp.cmpfiles(one, other, [str(n) for n in names[0]], shallow=False)
  assert not differ
  assert not failed


@pytest.mark.extra
def test_killed_and_run_again_is_as_never_killed(tmp_path):
  raw = tmp_path / "raw"
  for who in range(6):
    films.make(raw / f"p{who % 2}" / f"{who}.mp4", seconds=6, who=who)
  _cut(raw, tmp_path / "never", dataclasses.replace(HOW, frames=False))
  out = tmp_path / "out"
  command = [
    sys.executable,
    "-m",
    "data_builders.prepare",
    "clips",
    f"--videos={raw}",
    f"--out={out}",
  ]
  killed = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
  deadline = time.monotonic() + 60
  while time.monotonic() < deadline and not list(out.rglob("*.jpg")):
    time.sleep(0.002)
  os.killpg(killed.pid, signal.SIGKILL)
  killed.wait()
  assert len(list(out.rglob("video.json"))) < 6
  assert not (out / "manifest.jsonl").exists()
  again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert again.returncode == 0, again.stderr
  _same(tmp_path / "never", out)


def test_videos_one_folder_deeper_are_one_source(tmp_path):
  for name in ("00001", "00002"):
    films.make(tmp_path / "raw" / "id10001" / "2NaXk" / f"{name}.mp4", seconds=5)
  _cut(tmp_path / "raw", tmp_path / "out")
  found = films.manifest(tmp_path / "out")
  assert len(found) == 4
  assert {clip["identity"] for clip in found} == {"id10001"}
  assert json.loads((tmp_path / "out" / "settings.json").read_text())["rate"] == 1.0
  read = manifest.read(tmp_path / "out" / "manifest.jsonl")
  assert {clip.source for clip in read} == {"id10001/2NaXk"}


@pytest.mark.extra
@pytest.mark.parametrize("flags", [[], ["--direct_running_mode=multi_processing"]], ids=len)
def test_beam_makes_the_same(tmp_path, flags):
  pytest.importorskip("apache_beam", reason="Apache Beam is not installed; it is the extra beam")
  raw = tmp_path / "raw"
  for who in range(3):
    films.make(raw / f"p{who % 2}" / f"{who}.mp4", seconds=6, who=who)
  (raw / "p0" / "empty.mp4").touch()
  (raw / "p0" / "text.mp4").write_text("text")
  here, there = [f"--videos={raw}", f"--out={tmp_path / 'here'}"], tmp_path / "there"
  assert main(["clips", *here]) == 1
  command = [sys.executable, "-m", "data_builders.prepare", "clips", here[0], f"--out={there}"]
  beam = ["--runner=DirectRunner", "--direct_num_workers=2", *flags]
  ran = subprocess.run([*command, *beam], cwd=ROOT, capture_output=True, text=True)
  assert ran.returncode == 1, ran.stderr
  _same(tmp_path / "here", there)


def test_without_beam_a_runner_is_a_line(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, "apache_beam", None)
  films.make(tmp_path / "raw" / "ana" / "a.mp4", seconds=5)
  out = tmp_path / "out"
  arguments = ["clips", f"--videos={tmp_path / 'raw'}", f"--out={out}", "--runner=DirectRunner"]
  assert main(arguments) == 2
  assert "pip install -e '.[beam]'" in capsys.readouterr().err
  assert not out.exists()


def test_flags_that_nobody_knows_are_refused(tmp_path, capsys):
  with pytest.raises(SystemExit):
    main(["clips", f"--videos={tmp_path}", f"--out={tmp_path / 'out'}", "--direct_num_workers=2"])
  assert "--direct_num_workers=2" in capsys.readouterr().err
