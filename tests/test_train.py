"""The door: train, go on, sample; and one line for what a user can mend."""

import json
import re
import shutil
import subprocess
import sys

import conftest
import jax
import kills
import numpy as np
import pytest
from PIL import Image

from wav2pix_jax import data, train
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.configs import base
from wav2pix_jax.runtime import checkpoint, run_config


def _main(*flags, check=True):
  return _run([sys.executable, "main.py", *map(str, flags)], check)


def _run(command, check=True):
  run = conftest.run(command)
  if check:
    assert run.returncode == 0, run.stdout + run.stderr
  return run


@pytest.fixture(scope="module")
def run(released, data_dir, tmp_path_factory):
  """A workdir after six steps, and what was printed."""
  workdir = tmp_path_factory.mktemp("runs") / "base"
  return workdir, _run(conftest.training_command(workdir, released.folder, data_dir))


def test_training_leaves_what_it_promises(run):
  workdir, first = run
  assert "Total:" in first.stdout  # parameter overview
  assert "faces/s" in first.stderr
  assert "g_loss/l1" in first.stdout
  assert (workdir / "config.json").exists()
  kept = {int(path.name) for path in (workdir / "checkpoints").iterdir()}
  assert 6 in kept
  assert kept <= {3, 6}
  for name in ("held_out", "learned"):
    for step in (3, 6):
      with Image.open(workdir / "samples" / f"step_{step:06d}_{name}.png") as grid:
        assert grid.size[0] >= 8 * 16
        assert grid.size[1] == 6 * (16 + images.LABEL_HEIGHT)  # real, averaged and last weights
  scalars = kills.scalars(workdir)
  assert {2, 4, 6} <= set(scalars)
  assert scalars[2].keys() >= {
    *("d_loss/real", "g_loss/softmax", "d_score/fake", "d_score/real", "d_score/mismatched"),
    *("g_grad_norm", "d_grad_norm", "g_param_norm", "d_param_norm"),
    *("learning_rate/generator", "learning_rate/discriminator", "seconds_waiting_for_data"),
  }
  assert {"held_out/l1", "held_out/classifier_accuracy", "learned/l1"} <= scalars[3].keys()
  (events,) = (workdir / "tensorboard").iterdir()
  for name in ("held_out/grid", "learned/grid"):
    assert events.read_bytes().count(name.encode()) == 2
  assert all(np.isfinite(list(values.values())).all() for values in scalars.values())


def test_the_same_command_goes_on_and_ends_like_an_uninterrupted_run(
  run, released, data_dir, tmp_path
):
  """Three steps, then the same command to six, equals six at once: to the last digit printed."""
  workdir, first = run
  _run(conftest.training_command(tmp_path, released.folder, data_dir, num_steps=3))
  second = _run(conftest.training_command(tmp_path, released.folder, data_dir))
  assert "Going on from step 3" in second.stdout
  whole, resumed = kills.scalars(workdir), kills.scalars(tmp_path)
  for values in (whole[6], resumed[6]):
    assert values.pop("seconds_waiting_for_data") >= 0
  assert whole[6] == resumed[6]
  for name in ("step_000006_held_out.png", "step_000003_learned.png"):
    grids = [(folder / "samples" / name).read_bytes() for folder in (workdir, tmp_path)]
    assert grids[0] == grids[1]
  done = _run(conftest.training_command(tmp_path, released.folder, data_dir, num_steps=4))
  assert "Trained to step 6." in done.stdout


def test_a_run_fed_by_grain_in_bfloat16_goes_on_as_if_it_had_never_stopped(
  released, data_dir, tmp_path
):
  fields = {"dataset.on_device": False, "precision": "bfloat16"}
  for name, steps in (("whole", 6), ("parts", 3), ("parts", 6)):
    command = conftest.training_command(
      tmp_path / name, released.folder, data_dir, num_steps=steps, **fields
    )
    _run(command)
  whole, parts = (kills.scalars(tmp_path / name)[6] for name in ("whole", "parts"))
  for values in (whole, parts):
    values.pop("seconds_waiting_for_data")
  assert whole == parts


def test_a_changed_config_is_refused(run, released, data_dir):
  workdir, _ = run
  changed = {"loss.l1": 1.0}
  again = _run(conftest.training_command(workdir, released.folder, data_dir, **changed), False)
  assert again.returncode == 2
  assert "loss.l1: 10.0 -> 1.0" in again.stderr


def test_a_nan_stops_the_run_and_keeps_the_checkpoint(config, tmp_path, monkeypatch):
  config.num_steps, config.save_every, config.log_every, config.eval_every = 9, 2, 3, 2
  config.dataset.on_device = False

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

  train_batches = data.train_batches
  monkeypatch.setattr(data, "train_batches", Batches)
  with pytest.raises(UserError, match=r"by step 6, not finite: .*d_loss"):
    train.train(config, tmp_path)
  kept = [int(path.name) for path in (tmp_path / "checkpoints").iterdir()]
  assert 4 in kept
  assert set(kept) <= {2, 4}
  restored = checkpoint.load(tmp_path, 4).state
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(restored))


def test_sampling_draws_a_face_a_second_and_a_draw(run, tmp_path):
  workdir, _ = run
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
  workdir, first = run
  recordings = workdir / "samples" / "held_out"
  assert {path.stem for path in recordings.iterdir()} == {"ada", "bo"}
  assert str(recordings) in first.stdout
  _main("--mode=sample", f"--workdir={workdir}", f"--speech={recordings}", f"--out={tmp_path}")
  assert (tmp_path / "ada_grid.png").exists()


def test_recordings_that_differ_in_their_ending_only_and_ones_that_are_none(run, tmp_path):
  workdir, _ = run
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


BASE = "--config=configs/youtubers.py"
MISTAKES = [
  ([], "--config is missing"),
  ([BASE, "--config.dataset.name=nobody"], "choose from"),
  ([BASE, "--config.dataset.window_offset=left"], "choose from uniform, centred"),
  ([BASE, "--config.dataset.source=/nowhere"], "/nowhere"),
  ([BASE, "--config.image_size=100"], "power of two"),
  ([BASE, "--config.image_size=big"], "invalid literal"),
  ([BASE, "--config.dataset.window_samples=100"], "take a longer window"),
  ([BASE, "--config.batch_size=0"], "a multiple of the number of devices"),
  ([BASE, "--config.save_every=0"], "save_every is 0"),
  ([BASE, "--config.ema_decay=1.0"], "ema_decay is 1.0"),
  ([BASE, "--config.model.dropout=0.0"], "loss.energy_score compares two draws"),
  ([BASE, "--config.model.dropout_embedding=False"], "loss.energy_score compares two draws"),
  ([BASE, "--config.loss.l3=1"], "no config field 'l3'"),
  ([BASE, "--config.nosuch.field=1"], "no config field 'nosuch'"),
  ([BASE, "--speech=x.wav"], "--speech does not go with --mode=train"),
  ([BASE, "--generator=g.npz"], "--generator does not go with --mode=train"),
  ([BASE, "train"], "unexpected argument"),
  ([BASE, "--dry_run", "--config.image_size=100"], "power of two"),
  (["--config=setup.cfg"], "cannot be loaded"),
  (["--config=configs/youtubers.py:x"], "parsing config file"),
  (["--config=configs/nothing.py"], "No such file"),
  (["--mode=fly"], "train|sample|evaluate|figures|ablate|import|export"),
  (["--no_such_flag=1"], "Unknown command line flag"),
  (["--mode=sample"], "--workdir is missing"),
  (["--mode=sample", "--workdir=W"], "--speech is missing"),
  (["--mode=sample", "--workdir=/nowhere", "--speech=TONE"], "No such file"),
  (["--mode=sample", "--workdir=EMPTY", "--speech=TONE"], "name the workdir of a run"),
  (["--mode=sample", "--workdir=STARTED", "--speech=TONE"], "no checkpoint in this workdir"),
  (["--mode=sample", "--workdir=STARTED", "--speech=missing.wav"], "no such file"),
  (["--mode=sample", "--workdir=STARTED", "--speech=setup.cfg"], "holds no sound"),
  (["--mode=sample", "--workdir=STARTED", "--speech=EMPTY"], "an empty folder"),
  (["--mode=sample", "--workdir=STARTED", "--speech=PICTURE"], "holds no sound"),
  (["--mode=sample", BASE], "--config does not go with --mode=sample"),
  (["--mode=sample", "--num_draws=0"], "not a positive integer"),
  (["--mode=evaluate"], "--workdir is missing"),
  (["--mode=evaluate", "--workdir=STARTED"], "no checkpoint in this workdir"),
  (["--mode=evaluate", "--workdir=STARTED", "--split=fly"], "train|validation|test"),
  (["--mode=evaluate", BASE], "--config does not go with --mode=evaluate"),
  (["--mode=sample", "--split=test"], "--split does not go with --mode=sample"),
  (["--mode=sample", "--dry_run"], "--dry_run does not go with"),
  (["--mode=export", BASE], "--config does not go with --mode=export"),
  (["--mode=export"], "--workdir is missing"),
  (["--mode=export", "--workdir=STARTED"], "no checkpoint in this workdir"),
  (["--mode=import", "--generator=g.npz", "--workdir=W"], "--discriminator is missing"),
  (["--mode=import", "--generator=g.npz", "--discriminator=d.npz", "--workdir=W"], "no such file"),
  (
    ["--mode=import", "--generator=setup.cfg", "--discriminator=d.npz", "--workdir=W"],
    ".npz, .safetensors, .pth",
  ),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
  """What the table below speaks of: folders and files that are not what they should be."""
  folder = tmp_path_factory.mktemp("places")
  config = base.get_config()
  (folder / "EMPTY").mkdir()
  run_config.write(folder / "STARTED", config, ["ada", "bo"], {})
  audio.write_wav(folder / "TONE", np.zeros(16_000, np.int16))
  images.save_png(folder / "PICTURE", np.zeros((8, 8, 3), np.uint8))
  return {name: str(folder / name) for name in ("EMPTY", "STARTED", "TONE", "PICTURE")}


@pytest.mark.parametrize(("flags", "words"), MISTAKES)
def test_a_mistake_gets_one_line_and_leaves_nothing(flags, words, released, places, tmp_path):
  flags = [
    flag.replace("=W", f"={tmp_path / 'run'}") if flag.endswith("=W") else flag for flag in flags
  ]
  for name, path in places.items():
    flags = [flag.replace(f"={name}", f"={path}") for flag in flags]
  if BASE in flags and not any(flag.startswith("--mode") for flag in flags):
    source, data_dir = "--config.dataset.source", f"--config.dataset.data_dir={tmp_path / 'data'}"
    flags.insert(1, f"{source}={released.folder}")
    flags += [data_dir, f"--workdir={tmp_path / 'run'}"]
  run = _main(*flags, check=False)
  assert run.returncode == 2
  assert words in run.stderr
  assert run.stderr.startswith("error: ")
  assert run.stderr.count("\n") == 1
  assert not list(tmp_path.iterdir())


def test_the_saved_config_is_the_resolved_one(run):
  saved = json.loads((run[0] / "config.json").read_text())
  assert saved["image_size"] == 16
  assert saved["identity_names"] == ["ada", "bo"]
  assert set(saved["records"]) == {"train", "validation"}


def test_every_start_is_recorded(run, released, data_dir, tmp_path):
  shutil.copytree(run[0], tmp_path / "run")
  _run(conftest.training_command(tmp_path / "run", released.folder, data_dir, num_steps=7))
  lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").open()]
  assert [line["step"] for line in lines] == [0, 6]
  assert lines[1]["packages"]["jax"] == jax.__version__
  assert lines[1]["devices"] == ["cpu: cpu"]
  assert f"--workdir={tmp_path / 'run'}" in lines[1]["command"]
  git = subprocess.run(
    ["git", "rev-parse", "HEAD"], cwd=conftest.ROOT, capture_output=True, text=True
  )
  assert (lines[1]["git"] or "").startswith(git.stdout.strip())


def test_a_dry_run_says_what_it_costs_and_touches_nothing(tmp_path):
  """The figures that can be known by hand; no source, no data folder, no workdir."""
  dry = _main(
    BASE,
    "--dry_run",
    *(f"--config.{name}={value}" for name, value in conftest.TINY.items()),
    "--config.dataset.source=/nowhere",
    f"--config.dataset.data_dir={tmp_path / 'data'}",
    f"--workdir={tmp_path / 'run'}",
  )
  said = dry.stdout
  assert re.search(r"encoder/conv0 +float32\[8, 4000, 4\] +64\n", said)
  assert re.search(r"upsampler/rgb +float32\[8, 16, 16, 3\] +384\n", said)
  assert re.search(r"score +float32\[8, 1, 1, 1\] +256\n", said)
  assert "generator: 8,402 parameters" in said
  assert "discriminator: 2,816 parameters" in said
  assert "batch: speech float32[8, 16000]" in said
  assert re.search(r"a step: \d+ GFLOP", said)
  assert re.search(r"memory of a device: \d+ MiB", said)
  assert "an epoch of clean (about 986 records): 123.2 steps" in said
  assert not list(tmp_path.iterdir())


def test_too_little_memory_is_one_line(released, data_dir, tmp_path):
  script = (
    "import jax, main, wav2pix_jax.train;"
    "wav2pix_jax.train.train = lambda *_: jax.jit(lambda: jax.numpy.ones(2**50))();"
    "main.app.run(main.run, flags_parser=main.parse)"
  )
  python, _, *flags = conftest.training_command(tmp_path, released.folder, data_dir)
  run = _run([python, "-c", script, *flags], check=False)
  assert run.returncode == 2
  assert re.fullmatch(r"error: a device has too little memory \(.*\n", run.stderr), run.stderr
