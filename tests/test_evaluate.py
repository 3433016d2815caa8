"""Evaluation from the command line, and what training says of its own faces."""

import errno
import importlib.util
import json
import os
import shutil

import conftest
import kills
import numpy as np
import pytest

from benchmarks import faces
from wav2pix_jax import evaluate, metrics, train
from wav2pix_jax.common import audio, dlib_faces, images
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.metrics import Need, evaluation_set, noise
from wav2pix_jax.runtime import checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def still(once, released, data_dir):
  """A workdir after six steps of no learning, a snapshot after each, and what was printed."""

  def train(folder):
    fields = {"optimizer.lr_g": 0.0, "optimizer.lr_d": 0.0, "eval_every": 1, "save_every": 2}
    place = folder / "run", released.folder, data_dir
    ended = conftest.main(*conftest.training_flags(*place, **fields))
    (folder / "stdout").write_text(ended.stdout)

  folder = once("still", train)
  return folder / "run", (folder / "stdout").read_text()


@pytest.fixture
def workdir(still, tmp_path):
  return shutil.copytree(still[0], tmp_path / "run")


def _evaluate(workdir, *flags):
  return conftest.main("--mode=evaluate", f"--workdir={workdir}", *flags)


@pytest.fixture
def few(monkeypatch):
  """Few faces, as dlib takes a tenth of a second for each."""
  monkeypatch.setattr(evaluate, "RESAMPLES", 30)
  monkeypatch.setattr(evaluation_set, "MOST", 8)
  monkeypatch.setattr(evaluation_set, "REFERENCE", 12)


@pytest.mark.usefixtures("few")
def test_evaluating_prints_a_table_and_writes_every_row(workdir):
  first = _evaluate(workdir)
  assert first.returncode == 0, first.stderr
  written = (workdir / "metrics.json").read_text()
  part = json.loads(written)["validation"]
  assert part["rows"].keys() | part["missing"].keys() == metrics.TITLES.keys()
  assert {"identity_accuracy", "landmarks", "verified", "spread_of_draws"} <= part["rows"].keys()
  for name, row in part["rows"].items():
    assert metrics.TITLES[name] in first.stdout
    assert np.isfinite([row["value"], row["real"], row["baseline"], *row["interval"]]).all()
    assert row["intervals"].keys() == row["by_identity"].keys()
    assert np.isfinite(list(row["by_identity"].values())).all()
  assert part["rows"]["identity_accuracy"]["by_identity"].keys() == {"ada", "bo"}
  assert part["rows"]["identity_accuracy"]["baseline"] >= 0.5

  test = _evaluate(workdir, "--split=test")
  assert test.returncode == 0, test.stderr
  both = json.loads((workdir / "metrics.json").read_text())
  assert both.keys() == {"validation", "test"}
  assert both["validation"] == part

  assert _evaluate(workdir, f"--out={workdir / 'again'}").returncode == 0
  assert (workdir / "again" / "metrics.json").read_text() == written  # to the last digit
  for folder, splits in ((workdir, 2), (workdir / "again", 1)):
    report = (folder / "report.html").read_text()
    assert "http" not in report.replace("http://www.w3.org/2000/svg", "")  # it needs no other file
    assert report.count("Speech of ") == 1
    assert report.count('"split":') == splits


def _judge(released, data_dir, *flags):
  config = ["--config=configs/youtubers.py", "--config.image_size=16"]
  places = f"--config.dataset.source={released.folder}", f"--config.dataset.data_dir={data_dir}"
  return conftest.main("--mode=evaluate", "--split=test", *config, *places, *flags, check=False)


@pytest.mark.usefixtures("few")
def test_faces_of_any_system_are_judged_as_ours_are(
  workdir, released, data_dir, tmp_path, monkeypatch
):
  _without_dlib(monkeypatch)
  listed = _judge(released, data_dir, "--list", f"--out={tmp_path / 'clips'}")
  assert listed.returncode == 0, listed.stderr
  clips = sorted(path.stem for path in (tmp_path / "clips").iterdir())
  run = checkpoint.load(workdir)
  of = evaluation_set.choose(workdir, run.config, "test")
  assert sorted(of.clips) == clips
  assert clips[0] in listed.stdout
  for clip, window in zip(of.clips, of.windows, strict=True):
    np.testing.assert_array_equal(audio.read(tmp_path / "clips" / f"{clip}.wav"), window)

  drawn = tmp_path / "drawn"
  for draw, sampled in enumerate(evaluation_set.sample(run.sampler, of)):
    for clip, face in zip(of.clips, sampled, strict=True):
      images.save_png(drawn / f"{clip}_{draw:02d}.png", face)
  images.save_png(drawn / "grid.png", np.zeros((9, 50, 3), np.uint8))  # is ignored
  judged = _judge(released, data_dir, f"--faces={drawn}")
  assert judged.returncode == 0, judged.stderr
  assert _evaluate(workdir, "--split=test").returncode == 0
  ours = json.loads((workdir / "metrics.json").read_text())["test"]
  theirs = json.loads((drawn / "metrics.json").read_text())["test"]
  assert theirs["rows"] == ours["rows"]  # to the last digit
  assert (theirs["chunks"], theirs["draws"]) == (ours["chunks"], ours["draws"])
  assert "step" not in theirs
  assert {"seconds_named", "recordings_named"} <= ours.keys()

  (drawn / f"{clips[0]}_01.png").unlink()
  missing = _judge(released, data_dir, f"--faces={drawn}")
  assert missing.returncode == 2
  assert f"1 of {3 * len(clips)} faces are missing ({clips[0]}_01.png)" in missing.stderr
  images.save_png(drawn / f"{clips[0]}_01.png", np.zeros((8, 9, 3), np.uint8))
  assert "9 x 8 pixels; expected a square" in _judge(released, data_dir, f"--faces={drawn}").stderr
  (drawn / f"{clips[0]}_01.png").write_text("no picture")
  assert "not a picture" in _judge(released, data_dir, f"--faces={drawn}").stderr
  for path in drawn.glob(f"{clips[0]}_*"):
    path.unlink()
  nothing = _judge(released, data_dir, f"--faces={drawn}")  # of one clip
  assert f"3 of {3 * len(clips)} faces are missing ({clips[0]}_00.png" in nothing.stderr
  assert "no such folder" in _judge(released, data_dir, f"--faces={tmp_path / 'none'}").stderr


def test_noise_is_a_part_of_its_own_and_is_heard(workdir, monkeypatch):
  monkeypatch.setattr(evaluation_set, "MOST", 6)
  _without_dlib(monkeypatch)
  run = checkpoint.load(workdir)
  clean, noisy = (
    evaluation_set.choose(workdir, run.config, "test", added)
    for added in (None, noise.parse("babble:0"))
  )
  assert (clean.windows != noisy.windows).any(1).all()
  evaluate.evaluate(workdir, "test", workdir, added=noise.parse("babble:0"))
  evaluate.evaluate(workdir, "test", workdir)
  assert list(json.loads((workdir / "metrics.json").read_text())) == ["test, babble 0 dB", "test"]


def test_real_faces_are_described_once_and_drawn_as_often_as_asked(workdir, monkeypatch, tmp_path):
  described = []

  def describe(faces, title):
    described.append(title)
    rng = np.random.default_rng(faces.sum())
    found = np.ones(len(faces), bool)
    return dlib_faces.Described(
      found, found, rng.random((len(faces), 128)), rng.random((len(faces), 68, 2))
    )

  monkeypatch.setattr(dlib_faces, "describer", lambda: describe)
  saved = json.loads((workdir / "config.json").read_text())
  elsewhere = tmp_path / "data"  # where nothing has been described yet
  ignored = shutil.ignore_patterns("described")
  shutil.copytree(saved["dataset"]["data_dir"], elsewhere, ignore=ignored)
  saved["dataset"]["data_dir"] = str(elsewhere)
  (workdir / "config.json").write_text(json.dumps(saved))
  evaluate.evaluate(workdir, "validation", workdir, draws=2)
  assert [title.partition(",")[0] for title in described] == [
    "Real validation faces",
    "Real faces to compare with",
    "Generated faces",
    "Generated faces",
  ]
  first = json.loads((workdir / "metrics.json").read_text())
  evaluate.evaluate(workdir, "validation", workdir, draws=2)
  assert [title.partition(",")[0] for title in described[4:]] == [
    "Generated faces",
    "Generated faces",
  ]
  assert json.loads((workdir / "metrics.json").read_text()) == first
  evaluate.evaluate(workdir, "test", workdir, draws=1)
  assert [title.partition(",")[0] for title in described[6:]] == [
    "Real test faces",
    "Generated faces",
  ]


def _without_dlib(monkeypatch):
  find_spec = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, "find_spec", lambda name: None if name == "dlib" else find_spec(name)
  )


def test_without_dlib_the_rest_is_measured_and_the_missing_rows_say_why(
  workdir, monkeypatch, capsys
):
  _without_dlib(monkeypatch)
  evaluate.evaluate(workdir, "validation", workdir)
  part = json.loads((workdir / "metrics.json").read_text())["validation"]
  for name in metrics.needing(Need.DLIB):
    assert "pip install" in part["missing"][name]
  assert "identity_accuracy" in part["rows"]
  assert "Missing (dlib is not installed" in capsys.readouterr().out


def test_what_cannot_be_evaluated_is_refused_in_one_line(workdir):
  (workdir / "metrics.json").write_text("[]")
  with pytest.raises(UserError, match="not a file that --mode=evaluate writes"):
    evaluate.evaluate(workdir, "validation", workdir)
  (workdir / "metrics.json").unlink()
  saved = json.loads((workdir / "config.json").read_text())
  for changed, words in (
    ({"records": {"train": "0" * 16}}, "was trained on other records"),
    ({"identity_names": ["ada", "cy"]}, "speakers ada, cy, but the dataset has ada, bo"),
  ):
    (workdir / "config.json").write_text(json.dumps(saved | changed))
    with pytest.raises(UserError, match=words):
      evaluate.evaluate(workdir, "validation", workdir)
  assert not (workdir / "metrics.json").exists()


def test_a_split_that_is_not_there_is_named(config, tmp_path):
  config.dataset.name = "released"
  config.num_steps = config.save_every = config.eval_every = 1
  train.train(config, tmp_path)
  with pytest.raises(UserError, match="--split=validation: dataset .* has test, train"):
    evaluate.evaluate(tmp_path, "validation", tmp_path)
  # Where only test is held out, no checkpoint is chosen by it.
  assert not (tmp_path / "checkpoints" / "1" / "metrics").exists()


def test_training_says_in_words_what_is_wrong_with_its_faces(still):
  _, printed = still
  warned = [int(line.split()[2].rstrip(":")) for line in printed.splitlines() if "WARNING" in line]
  assert set(warned) == {train.FIRST_SNAPSHOTS, train.FIRST_SNAPSHOTS + 1}
  assert "WARNING step 6: the faces ignore the speech" in printed


def test_training_logs_the_cheap_rows_and_keeps_the_best(still):
  workdir, _ = still
  scalars = kills.scalars(workdir)
  cheap = metrics.TITLES.keys() - {
    *(name for need in (Need.DLIB, Need.SPEECH, Need.EXPRESSION) for name in metrics.needing(need)),
    "vgg_face_accuracy",
    "gender",
  }
  for step in range(1, 7):
    assert {f"held_out/{name}" for name in cheap} <= scalars[step].keys()
  distances = {step: scalars[step][checkpoint.BEST] for step in (2, 4, 6)}
  best = min(distances, key=distances.get)
  assert checkpoint.load(workdir).step == best
  assert {int(path.name) for path in (workdir / "checkpoints").iterdir()} == {best, 6}


@pytest.mark.extra
@pytest.mark.usefixtures("few")
def test_faces_sampled_here_and_measured_elsewhere_give_the_same_figures(workdir, tmp_path):
  evaluate.evaluate(workdir, "test", workdir)
  faces.draw(workdir, "test", tmp_path / "faces")
  faces.measure(tmp_path / "faces", data_dir=None, source=None)
  here, there = (
    json.loads((folder / "metrics.json").read_text())["test"]
    for folder in (workdir, tmp_path / "faces")
  )
  assert {name: here[name] for name in there} == there
  about = tmp_path / "faces" / "about.json"
  about.write_text(json.dumps(json.loads(about.read_text()) | {"digest": "0" * 16}))
  with pytest.raises(UserError, match="drawn from another dataset"):
    faces.measure(tmp_path / "faces", data_dir=None, source=None)


def test_results_that_cannot_be_written_are_refused_before_any_work(tmp_path, monkeypatch):
  def refuse(**_):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))

  monkeypatch.setattr("tempfile.TemporaryFile", refuse)
  monkeypatch.setattr(evaluate.checkpoint, "load", lambda _: pytest.fail("it began"))
  with pytest.raises(UserError, match="cannot be written .Read-only file system"):
    evaluate.evaluate(tmp_path, "test", tmp_path)
