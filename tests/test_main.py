"""The door: train, go on, sample; and one line for what a user can mend."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import conftest
import jax
import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from wav2pix_jax import audio, checkpoint, data, images, models, parallel, schema, state, train
from wav2pix_jax.errors import UserError

ROOT = Path(__file__).parent.parent


def _main(*flags, check=True):
  run = subprocess.run(
    [sys.executable, "main.py", *map(str, flags)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=1"},
  )
  if check:
    assert run.returncode == 0, run.stdout + run.stderr
  return run


def _overrides(released, data_dir, **more):
  fields = {
    **conftest.TINY,
    "num_steps": 6,
    "log_every": 2,
    "eval_every": 3,
    "save_every": 3,
    "dataset.source": released.folder,
    "dataset.data_dir": data_dir,
    **more,
  }
  return [f"--config.{name}={value}" for name, value in fields.items()]


@pytest.fixture(scope="module")
def run(released, data_dir, tmp_path_factory):
  """A workdir after six steps, and what was printed."""
  workdir = tmp_path_factory.mktemp("runs") / "base"
  flags = ["--config=configs/base.py", f"--workdir={workdir}"]
  first = _main(*flags, *_overrides(released, data_dir))
  return workdir, first, flags


def _scalars(workdir):
  """step -> name -> value, of all event files."""
  found = {}
  for path in sorted((workdir / "tensorboard").iterdir()):
    data = path.read_bytes()
    while data:
      size = int.from_bytes(data[:8], "little")
      event = event_pb2.Event.FromString(data[12 : 12 + size])
      for value in event.summary.value:
        if value.HasField("simple_value"):
          found.setdefault(event.step, {})[value.tag] = value.simple_value
      data = data[12 + size + 4 :]
  return found


def test_training_leaves_what_it_promises(run):
  workdir, first, _ = run
  assert "Total:" in first.stdout  # parameter overview
  assert "faces/s" in first.stderr
  assert "g_loss/l1" in first.stdout
  assert (workdir / "config.json").exists()
  kept = {int(path.name) for path in (workdir / "checkpoints").iterdir()}
  assert 6 in kept
  assert kept <= {3, 6}
  for step in (3, 6):
    with Image.open(workdir / "samples" / f"step_{step:06d}.png") as grid:
      assert grid.size[0] >= 8 * 16
      assert grid.size[1] == 4 * (16 + images.LABEL_HEIGHT)
  scalars = _scalars(workdir)
  assert {2, 4, 6} <= set(scalars)
  assert {"d_loss/real", "g_loss/softmax", "d_score/fake", "g_grad_norm"} <= scalars[2].keys()
  assert {"held_out/l1", "held_out/classifier_accuracy"} <= scalars[3].keys()
  assert all(np.isfinite(list(values.values())).all() for values in scalars.values())


def test_the_same_command_goes_on_and_ends_like_an_uninterrupted_run(
  run, released, data_dir, tmp_path
):
  """Three steps, then the same command to six, equals six at once: to the last digit printed."""
  workdir, first, _ = run
  flags = ["--config=configs/base.py", f"--workdir={tmp_path}"]
  _main(*flags, *_overrides(released, data_dir, num_steps=3))
  second = _main(*flags, *_overrides(released, data_dir))
  assert "Going on from step 3" in second.stdout
  whole, resumed = _scalars(workdir), _scalars(tmp_path)
  assert whole[6] == resumed[6]
  for name in ("step_000006.png", "step_000003.png"):
    grids = [(folder / "samples" / name).read_bytes() for folder in (workdir, tmp_path)]
    assert grids[0] == grids[1]
  done = _main(*flags, *_overrides(released, data_dir, num_steps=4))
  assert "Trained to step 6." in done.stdout


def test_a_changed_config_is_refused(run, released, data_dir):
  workdir, _, flags = run
  again = _main(*flags, *_overrides(released, data_dir), "--config.loss.l1=1.0", check=False)
  assert again.returncode == 2
  assert "loss.l1: 50.0 -> 1.0" in again.stderr


def test_a_nan_stops_the_run_and_keeps_the_checkpoint(config, tmp_path, monkeypatch):
  config.num_steps, config.save_every, config.log_every, config.eval_every = 9, 2, 3, 2

  class Batches:
    """Real batches; the fifth has a sample that is not a number."""

    def __init__(self, *args):
      self._batches, self._count = train_batches(*args), 0

    def __next__(self):
      self._count += 1
      batch = next(self._batches)
      if self._count == 5:
        batch[schema.SPEECH][0, 0] = np.nan
      return batch

    def get_state(self):
      return self._batches.get_state()

  train_batches = data.train_batches
  monkeypatch.setattr(data, "train_batches", Batches)
  with pytest.raises(UserError, match=r"by step 6, not finite: .*d_loss"):
    train.train(config, tmp_path)
  kept = [int(path.name) for path in (tmp_path / "checkpoints").iterdir()]
  assert 4 in kept
  assert set(kept) <= {2, 4}
  with checkpoint.open_existing(tmp_path) as checkpoints:
    nets, optimizers = models.build(config, 2), state.build_optimizers(config)
    make = functools.partial(state.initialise, nets, optimizers, jax.random.key(0), config)
    restored, _ = checkpoints.restore(parallel.abstract(make))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(restored))


def test_sampling_draws_a_face_a_second_and_a_draw(run, tmp_path):
  workdir, _, _ = run
  speech = np.random.default_rng(0).integers(-9000, 9000, 2 * 16_000 + 7_000).astype(np.int16)
  folder = tmp_path / "speech"
  folder.mkdir()
  audio.write_wav(folder / "two seconds.wav", speech)
  audio.write_wav(folder / "short.wav", speech[:5_000])
  flags = ["--mode=sample", f"--workdir={workdir}", "--num_draws=3"]
  for speech_flag, out in ((folder, "all"), (folder / "two seconds.wav", "one")):
    _main(*flags, f"--speech={speech_flag}", f"--out={tmp_path / out}")
  names = {path.name for path in (tmp_path / "all").iterdir()}
  expected = {f"two seconds_{w:04d}_{d:02d}.png" for w in range(2) for d in range(3)}
  expected |= {f"short_0000_{d:02d}.png" for d in range(3)}
  assert names == expected | {"two seconds_grid.png", "short_grid.png"}
  faces = [np.asarray(Image.open(tmp_path / "all" / name)).astype(int) for name in sorted(names)]
  assert {face.shape for face in faces if face.shape[0] == 16} == {(16, 16, 3)}
  for name in expected:
    if name.startswith("two"):
      alone, together = (
        np.asarray(Image.open(tmp_path / out / name)).astype(int) for out in ("one", "all")
      )
      assert np.abs(alone - together).max() <= 1
  draws = [np.asarray(Image.open(tmp_path / "all" / f"short_0000_0{d}.png")) for d in range(2)]
  assert not np.array_equal(*draws)


def test_sampling_from_the_held_out_recordings(run, tmp_path):
  workdir, first, _ = run
  recordings = workdir / "samples" / "held_out"
  assert {path.stem for path in recordings.iterdir()} == {"ada", "bo"}
  assert str(recordings) in first.stdout
  _main("--mode=sample", f"--workdir={workdir}", f"--speech={recordings}", f"--out={tmp_path}")
  assert (tmp_path / "ada_grid.png").exists()


def test_recordings_that_differ_in_their_ending_only_and_ones_that_are_none(run, tmp_path):
  workdir, _, _ = run
  speech = np.random.default_rng(0).integers(-9000, 9000, 16_000).astype(np.int16)
  for name in ("a.wav", "a.wave"):
    audio.write_wav(tmp_path / name, speech)
  flags = ["--mode=sample", f"--workdir={workdir}", f"--speech={tmp_path}"]
  _main(*flags, f"--out={tmp_path / 'out'}")
  assert len(list((tmp_path / "out").glob("a.wav_*"))) == 2
  assert len(list((tmp_path / "out").glob("a.wave_*"))) == 2
  (tmp_path / "zz.txt").write_text("no sound")
  refused = _main(*flags, f"--out={tmp_path / 'none'}", check=False)
  assert refused.returncode == 2
  assert "zz.txt" in refused.stderr
  assert not (tmp_path / "none").exists()
  (tmp_path / "file").touch()
  refused = _main(
    *flags[:2], f"--speech={tmp_path / 'a.wav'}", f"--out={tmp_path / 'file'}", check=False
  )
  assert refused.returncode == 2
  assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    ([], "--config is missing"),
    (["--mode=sample"], "needs --workdir"),
    (["--mode=sample", "--workdir=/nowhere", "--speech=x.wav"], "No such file"),
    (["--mode=sample", "--config=configs/base.py"], "--config does not go with"),
    (["--config=configs/base.py", "--speech=x.wav"], "--speech does not go with"),
    (["--config=setup.cfg"], "cannot be loaded"),
    (["--config=configs/base.py:x"], "parsing config file"),
    (["--mode=sample", "--num_draws=0"], "not a positive integer"),
    (["--config=configs/base.py", "--config.dataset.name=nobody"], "choose from"),
    (["--config=configs/base.py", "--config.image_size=100"], "power of two"),
    (["--config=configs/base.py", "--config.batch_size=0"], "a multiple of the number of devices"),
    (["--config=configs/base.py", "--config.save_every=0"], "save_every is 0"),
    (["--config=configs/base.py", "--config.image_size=big"], "invalid literal"),
    (["--config=configs/base.py", "--config.loss.l3=1"], "no config field 'l3'"),
    (["--config=configs/nothing.py"], "No such file"),
    (["--config=configs/base.py", "train"], "unexpected argument"),
    (["--mode=fly"], "train|sample"),
    (["--no_such_flag=1"], "Unknown command line flag"),
  ],
)
def test_mistakes_get_one_line(flags, words, released, tmp_path):
  here = [f"--config.dataset.source={released.folder}", f"--config.dataset.data_dir={tmp_path}"]
  if "--config=configs/base.py" in flags and "--mode=sample" not in flags:
    flags = [*flags, *here, f"--workdir={tmp_path / 'run'}"]
  run = _main(*flags, check=False)
  assert run.returncode == 2
  assert words in run.stderr.splitlines()[-1]
  assert run.stderr.count("\n") == 1
  assert not (tmp_path / "run").exists()


def test_the_saved_config_is_the_resolved_one(run):
  saved = json.loads((run[0] / "config.json").read_text())
  assert saved["image_size"] == 16
  assert saved["identity_names"] == ["ada", "bo"]
