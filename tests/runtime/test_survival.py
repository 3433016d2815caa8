"""A run can be killed, stopped, and started in the wrong place, and nothing is lost."""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import conftest
import kills
import numpy as np
import pytest
from PIL import Image

from data_builders.youtubers import youtubers_dataset_builder
from wav2pix_jax import data, train
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively
from wav2pix_jax.runtime import checkpoint, run_config

NOBODY = 65_534


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
  """Runs to kill, and the workdir of one that was not."""
  folder = tmp_path_factory.mktemp("kills")
  runs = kills.Runs(folder, conftest.QUICK_TO_COMPILE)
  workdir = folder / "reference" / "run"
  workdir.parent.mkdir()
  runs.finish(workdir, workdir.parent / "data", seed=0)
  return runs, workdir


@pytest.mark.extra
@pytest.mark.parametrize("moment", ["saving", "preparing"])
def test_a_killed_run_ends_as_if_it_had_never_stopped(never_killed, moment):
  """Two of the kills that `kills.py` makes more of."""
  runs, workdir = never_killed
  kill = runs.kill(workdir, 0, moment, random.Random(4))
  assert kill.differences == []
  assert kill.resumed == kill.saved
  assert (kill.saved > 0) == (moment == "saving")


def _start(workdir, released, data_dir, preexec_fn=None, **fields):
  return subprocess.Popen(
    conftest.training_command(workdir, released.folder, data_dir, **fields),
    cwd=conftest.ROOT,
    env=conftest.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    preexec_fn=preexec_fn,
  )


def _end(process, quiet=True):
  """Exit status and the last line of stderr; there is no traceback, but of Orbax's threads."""
  _, errors = process.communicate()
  assert not quiet or "Traceback" not in errors
  return process.returncode, errors.strip().rpartition("\n")[2]


def _steps(workdir):
  names = [path.name for path in (workdir / "checkpoints").iterdir()]
  return sorted(int(name) for name in names if name.isdigit())


@pytest.fixture(scope="module")
def three_steps(once, released, data_dir):
  def train(folder):
    conftest.main(*conftest.training_flags(folder, released.folder, data_dir, num_steps=3))

  return once("three_steps", train)


@pytest.fixture
def workdir(three_steps, tmp_path):
  return shutil.copytree(three_steps, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
  "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.extra)]
)
def test_a_signal_saves_and_leaves(released, data_dir, three_steps, workdir, tmp_path, number):
  """And the next start goes on from there, with the same losses as a run that was not stopped."""
  process = _start(
    workdir, released, data_dir, num_steps=10**6, save_every=10**6, eval_every=10**6, log_every=1
  )
  while 5 not in kills.scalars(workdir):
    assert process.poll() is None
    time.sleep(0.05)
  process.send_signal(number)
  if number == signal.SIGTERM:  # again, while the checkpoint is being written
    while not list((workdir / "checkpoints").glob("*tmp*")) and process.poll() is None:
      time.sleep(0.001)
    process.send_signal(number)
  status, line = _end(process)
  assert status == 128 + number
  *_, last = _steps(workdir)
  assert line.startswith(f"stopped: step {last} of 1000000 is saved in {workdir}")
  assert last == max(kills.scalars(workdir))
  more = {"num_steps": last + 2, "save_every": 10**6, "eval_every": 10**6, "log_every": 1}
  whole = shutil.copytree(three_steps, tmp_path / "whole")
  for folder in (workdir, whole):
    assert _end(_start(folder, released, data_dir, **more))[0] == 0
  assert kills.differences(whole, workdir, last) == []


@pytest.mark.extra
def test_a_full_disk_keeps_what_was_saved(released, data_dir, workdir):
  """A checkpoint larger than files may be; then with room again."""
  shutil.rmtree(workdir)
  large = {"model.generator_width": 32, "model.discriminator_width": 32}
  assert _end(_start(workdir, released, data_dir, num_steps=3, **large))[0] == 0

  def limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

  process = _start(workdir, released, data_dir, preexec_fn=limited, **large)
  status, line = _end(process, quiet=False)
  assert status == 2
  assert line.startswith(f"error: checkpoint in {workdir / 'checkpoints'} could not be written")
  assert "File too large" in line
  assert _steps(workdir) == [3]
  assert _end(_start(workdir, released, data_dir, **large))[0] == 0
  assert 6 in _steps(workdir)
  assert not list((workdir / "checkpoints").glob("*tmp*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["samples/step_000006_held_out.png", "history.jsonl"])
def test_a_full_disk_is_named(released, data_dir, workdir, name):
  (workdir / name).unlink(missing_ok=True)
  (workdir / name).symlink_to("/dev/full")
  flags = conftest.training_flags(workdir, released.folder, data_dir)
  ended = conftest.main(*flags, check=False)
  assert ended.returncode == 2
  assert "Traceback" not in ended.stderr
  line = ended.stderr.strip().splitlines()[-1]
  assert f"{workdir / name}: cannot be written (No space left on device)" in line
  assert _steps(workdir) == [3]


def test_a_disk_that_fills_while_data_is_prepared_is_named(config, tmp_path, monkeypatch):
  """The error array_record raises there is not the system's own."""

  def full(*args, **kwargs):
    raise RuntimeError("Failed to finalize writing: No space left on device\nmore")

  monkeypatch.setattr(youtubers_dataset_builder.Builder, "download_and_prepare", full)
  config.dataset.data_dir = str(tmp_path)
  with pytest.raises(UserError, match=r"could not be prepared .*No space left on device\)"):
    data.prepare(config.dataset)


@pytest.fixture
def nobody(tmp_path):
  """A test as a user who may read and not write."""
  if os.getuid() != 0:
    yield
    return
  for folder in (tmp_path, *tmp_path.parents[:3]):
    folder.chmod(0o755)
  os.seteuid(NOBODY)
  yield
  os.seteuid(0)


@pytest.mark.usefixtures("clean", "nobody")
def test_folders_that_cannot_be_written(config, tmp_path):
  if os.getuid() != 0:
    tmp_path.chmod(0o555)
  config.dataset.data_dir = str(tmp_path / "data")
  for write in (
    lambda: run_config.write(tmp_path / "run", config, ["ada", "bo"], {}),
    lambda: exclusively(tmp_path / "run").__enter__(),
    lambda: data.prepare(config.dataset),
  ):
    with pytest.raises(UserError, match=r"/(run|data).*cannot be written \(Permission denied\)"):
      write()


@pytest.mark.extra
def test_records_that_changed_are_refused(released, config, workdir, tmp_path):
  """One face of the archive is another; the run stays, and goes on with the old ones."""
  changed = tmp_path / "changed"
  shutil.copytree(released.folder, changed)
  faces = {path.name: path for path in changed.rglob("cropped_face_frame_*.png")}
  for number in range(100, 100 + 5):
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(
      faces[f"cropped_face_frame_{number}.png"], "JPEG"
    )
  config.num_steps, config.save_every, config.eval_every, config.log_every = 6, 3, 3, 2
  config.dataset.source = str(changed)
  before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
  with pytest.raises(UserError, match="other records: the content of the dataset has changed in "):
    train.train(config, workdir)
  after = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
  assert {path: time for path, time in after.items() if path.name != ".lock"} == {
    path: time for path, time in before.items() if path.name != ".lock"
  }
  moved = tmp_path / "moved"
  shutil.copytree(released.folder, moved)
  config.dataset.source, config.dataset.data_dir = str(moved), str(tmp_path / "data")
  train.train(config, workdir)
  assert checkpoint.load(workdir, 6).step == 6


@pytest.mark.slow
def test_one_run_at_a_time(config, workdir):
  with exclusively(workdir), pytest.raises(UserError, match="in use by another run"):
    train.train(config, workdir)
  assert run_config.saved_steps(workdir) == [3]


@pytest.mark.slow
def test_data_that_a_killed_process_was_preparing_is_prepared_anew(released, config, tmp_path):
  config.dataset.data_dir = str(tmp_path)
  builder = data.prepare(config.dataset)
  whole = data.load(builder, "train", 16)
  digest, folder = whole.digest, Path(builder.data_dir)
  left = folder.parent / "incomplete.ABC_1.0.0"
  shutil.move(folder, left)
  (left / "dataset_info.json").unlink()
  assert Path(data.prepare(config.dataset).data_dir) == folder
  assert not left.exists()
  arrays = folder / data.records.ARRAYS / "train_16px.incomplete"
  arrays.mkdir(parents=True)
  (arrays / "faces.u8").write_bytes(b"half")
  assert data.load(builder, "train", 16).digest == digest
  assert not arrays.exists()
