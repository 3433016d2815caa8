"""The command line: one line for what a user can mend, a traceback for everything else."""

import os
import re
import sys
from pathlib import Path

import conftest
import jax
import numpy as np
import pytest

from wav2pix_jax import cli, sample, train
from wav2pix_jax.common import audio, images
from wav2pix_jax.configs import base
from wav2pix_jax.runtime import device, preemption, run_config

BASE = "--config=configs/youtubers.py"
MISTAKES = [
  ([], "--config is missing"),
  ([BASE, "--config.dataset.name=nobody"], "choose from"),
  ([BASE, "--config.dataset.window_offset=left"], "choose from uniform, centred"),
  ([BASE, "--config.dataset.source=/nowhere"], "/nowhere"),
  ([BASE, "--config.image_size=100"], "power of two"),
  ([BASE, "--config.image_size=big"], "invalid literal"),
  ([BASE, "--config.dataset.window_samples=100"], "use a longer window"),
  ([BASE, "--config.batch_size=0"], "a multiple of the number of devices"),
  ([BASE, "--config.batch_size=7"], "a multiple of the number of devices, 2"),
  ([BASE, "--config.model.batch_norm_devices=3"], "or divide the number of devices, 2"),
  (["--config=demo", "--config.batch_size=6"], "a multiple of twice the number of devices, 4"),
  ([BASE, "--config.model.encoder_widths=()"], "model.encoder_widths is (); it must have numbers"),
  ([BASE, "--config.model.embedding=0"], "model.embedding is 0; it must be at least 1"),
  ([BASE, "--config.model.dropout=1.0"], "model.dropout is 1.0; it must be from 0 to below 1"),
  ([BASE, "--config.save_every=0"], "save_every is 0"),
  ([BASE, "--config.ema_decay=1.0"], "ema_decay is 1.0"),
  ([BASE, "--config.metric_writers=('paper',)"], "choose from tensorboard, wandb"),
  ([BASE, "--config.model.dropout=0"], "loss.energy_score compares two samples"),
  ([BASE, "--config.model.noise=-1"], "model.noise is -1; it must be at least 0"),
  ([BASE, "--config.loss.l3=1"], "no config field 'l3'"),
  ([BASE, "--config.nosuch.field=1"], "no config field 'nosuch'"),
  ([BASE, "--speech=x.wav"], "--speech does not go with --mode=train"),
  ([BASE, "--generator=g.npz"], "--generator does not go with --mode=train"),
  ([BASE, "--profile=-1"], "not a non-negative integer"),
  ([BASE, "train"], "unexpected argument"),
  ([BASE, "--dry_run", "--config.image_size=100"], "power of two"),
  (["--config=setup.cfg"], "cannot be loaded"),
  (["--config=configs/youtubers.py:x"], "cannot be loaded"),
  (["--config=configs/nothing.py"], "No such file"),
  (["--config=nothing"], "cannot be loaded"),
  (["--config", "nothing"], "cannot be loaded"),
  (["--config"], "--config"),
  (["--mode=fly"], "train|sample|video|demo|evaluate|figures|ablate|import|export"),
  (["--no_such_flag=1"], "Unknown command line flag"),
  (["--mode=demo", "--port=0"], "--port=0"),
  (["--mode=demo", "--workdir=/nowhere"], "No such file"),
  (["--config=demo", "--workdir=~nobody-here/run"], "~nobody-here/run: there is no such home"),
  (["--config=~nobody-here/config.py"], "~nobody-here/config.py: there is no such home"),
  (["--mode=sample", "--workdir=W"], "--speech is missing"),
  (["--mode=sample", "--workdir=/nowhere", "--speech=TONE"], "No such file"),
  (["--mode=sample", "--workdir=EMPTY", "--speech=TONE"], "name the workdir of a run"),
  (["--mode=sample", "--workdir=STARTED", "--speech=TONE"], "no checkpoint in this workdir"),
  (["--mode=sample", "--workdir=STARTED", "--speech=missing.wav"], "no such file"),
  (["--mode=sample", "--workdir=STARTED", "--speech=setup.cfg"], "contains no sound"),
  (["--mode=sample", "--workdir=STARTED", "--speech=EMPTY"], "an empty folder"),
  (["--mode=sample", "--workdir=STARTED", "--speech=PICTURE"], "contains no sound"),
  (["--mode=sample", BASE], "--config does not go with --mode=sample"),
  (["--mode=sample", "--num_draws=0"], "not a positive integer"),
  (["--mode=sample", "--seed=-1"], "in the range [0, 4294967295]"),
  (["--mode=video", "--workdir=STARTED", "--speech=none.wav"], "none.wav: no such file"),
  (["--mode=video", "--fps=0"], "in the range [1"),
  (["--mode=video", "--blend=-1"], "in the range [0"),
  (["--mode=sample", "--fps=30"], "--fps does not go with --mode=sample"),
  (["--mode=evaluate"], "needs --workdir=RUN, or --config=FILE with --list or --faces=FOLDER"),
  (["--mode=evaluate", BASE], "needs --workdir=RUN, or --config=FILE with --list or --faces"),
  (["--mode=evaluate", BASE, "--list", "--faces=x"], "needs --workdir=RUN, or --config=FILE"),
  (["--mode=evaluate", BASE, "--list", "--num_draws=2"], "--num_draws does not go with that"),
  (["--mode=evaluate", "--workdir=STARTED", "--faces=x"], "--faces does not go with that"),
  (["--mode=evaluate", "--workdir=STARTED"], "no checkpoint in this workdir"),
  (["--mode=evaluate", "--workdir=STARTED", "--split=fly"], "train|validation|test"),
  (["--mode=evaluate", "--workdir=STARTED", "--noise=rain:3"], "expected KIND:DECIBELS"),
  (["--mode=evaluate", "--workdir=STARTED", BASE], "--config does not go with that"),
  (["--mode=figures", "--workdir=STARTED"], "no checkpoint in this workdir"),
  (["--mode=ablate"], "--config=ablations"),
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
  """What the table above speaks of: folders and files that are not what they should be."""
  folder = tmp_path_factory.mktemp("places")
  config = base.get_config()
  (folder / "EMPTY").mkdir()
  run_config.write(folder / "STARTED", config, ["ada", "bo"], {})
  audio.write_wav(folder / "TONE", np.zeros(16_000, np.int16))
  images.save_png(folder / "PICTURE", np.zeros((8, 8, 3), np.uint8))
  return {name: str(folder / name) for name in ("EMPTY", "STARTED", "TONE", "PICTURE")}


def _assert_one_line(ended, words):
  assert ended.returncode == 2
  assert words in ended.stderr
  assert ended.stderr.startswith("error: ")
  assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(("flags", "words"), MISTAKES)
def test_a_mistake_gets_one_line_and_leaves_nothing(flags, words, released, places, tmp_path):
  flags = [
    flag.replace("=W", f"={tmp_path / 'run'}") if flag.endswith("=W") else flag for flag in flags
  ]
  for name, path in places.items():
    flags = [flag.replace(f"={name}", f"={path}") for flag in flags]
  if BASE in flags and not any(flag.startswith("--mode") for flag in flags):
    # A mistake that goes unnoticed trains for one small step, and not to the end of the recipe.
    flags[1:1] = ["--config.num_steps=1", "--config.image_size=16"]
    flags.insert(1, f"--config.dataset.source={released.folder}")
    flags += [f"--config.dataset.data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'run'}"]
  _assert_one_line(conftest.main(*flags, check=False), words)
  assert not list(tmp_path.iterdir())


def test_a_process_of_its_own_says_the_same():
  """And so does `main.py`, from any folder."""
  for flags, words in ([], "--config is missing"), (["--mode=fly"], "--mode"):
    _assert_one_line(conftest.run([sys.executable, "main.py", *flags]), words)


def _write_config(path, *lines):
  path.write_text("\n".join(["from wav2pix_jax.configs import base", "", *lines]) + "\n")
  return f"--config={path}"


@pytest.mark.parametrize(
  ("lines", "place", "words"),
  [
    (["def get_config():", "  return 1 / 0"], 4, "ZeroDivisionError: division by zero"),
    (["def get_config(:", "  return 1"], 3, "SyntaxError"),
    (["import no_such_module"], 3, "ModuleNotFoundError"),
    (
      ["def get_config():", "  c = base.get_config()", "  c.sead = 1", "  return c"],
      5,
      "sead",
    ),
  ],
)
def test_an_error_in_a_config_names_file_and_line(tmp_path, lines, place, words):
  typed = _write_config(tmp_path / "mine.py", *lines)
  ended = conftest.main(typed, check=False)
  _assert_one_line(ended, words)
  assert f"{tmp_path / 'mine.py'}, line {place}: " in ended.stderr


def test_a_config_without_get_config_is_named(tmp_path):
  typed = _write_config(tmp_path / "mine.py")
  ended = conftest.run([sys.executable, "main.py", typed])
  _assert_one_line(ended, "get_config")


@pytest.fixture
def trains(monkeypatch):
  """What training is called with, without any."""
  calls = []
  monkeypatch.setattr(train, "train", lambda *args: calls.append(args))
  return calls


def test_a_config_that_ships_goes_by_its_name(trains, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  conftest.main("--config=demo", "--config.num_steps=7")
  ((config, workdir, steps, init),) = trains
  assert (config.image_size, config.num_steps) == (64, 7)
  assert workdir == Path("runs/demo")
  assert (steps, init) == (0, None)
  (tmp_path / "paper").mkdir()  # of that name, but not a config
  for typed in ["--config", "paper"], ["-config", str(conftest.ROOT / "configs" / "paper.py")]:
    conftest.main(*typed, "--config.num_steps=8")
    config, workdir, *_ = trains.pop()
    assert (config.batch_size, config.num_steps) == (64, 8)
    assert workdir == Path("runs/paper")
  (tmp_path / "demo").write_text("a file of that name comes first")
  assert "cannot be loaded" in conftest.main("--config=demo", check=False).stderr


def test_a_config_of_ones_own_names_its_workdir(trains, tmp_path):
  lines = "def get_config():", "  return base.get_config()"
  conftest.main(_write_config(tmp_path / "mine.py", *lines), "--profile=3", "--init=RUN")
  ((config, workdir, steps, init),) = trains
  assert config.to_json() == base.get_config().to_json()
  assert (workdir, steps, init) == (Path("runs/mine"), 3, Path("RUN"))


def test_a_tilde_is_the_home_directory(trains, monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  lines = "def get_config():", "  return base.get_config()"
  _write_config(tmp_path / "mine.py", *lines)
  conftest.main("--config=~/mine.py", "--workdir=~/runs/a")
  assert trains[0][1] == tmp_path / "runs" / "a"
  calls = []
  monkeypatch.setattr(sample, "sample", lambda *args: calls.append(args))
  conftest.main("--mode=sample", "--workdir=~/a", "--speech=~/b.wav", "--out=~/c")
  workdir, speech, draws, seed, out, pool = calls[0]
  assert (workdir, speech, out) == tuple(tmp_path / name for name in ("a", "b.wav", "c"))
  assert (draws, seed, pool) == (1, 0, False)


def test_without_a_workdir_it_samples_from_the_weights_that_ship(monkeypatch):
  calls = []
  monkeypatch.setattr(sample, "sample", lambda *args: calls.append(args))
  conftest.main("--mode=sample", "--speech=b.wav")
  assert calls[0][0].resolve() == conftest.ROOT / "pretrained" / "ten_speakers_64px"


def test_without_a_home_directory_everything_works(trains, monkeypatch, tmp_path):
  def nobody(path):
    raise RuntimeError("Could not determine home directory.")

  monkeypatch.delenv("HOME")
  monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
  expanduser = Path.expanduser
  monkeypatch.setattr(
    Path, "expanduser", lambda path: nobody(path) if str(path)[:1] == "~" else expanduser(path)
  )
  conftest.main("--config=demo", f"--workdir={tmp_path}")
  assert trains[0][1] == tmp_path
  assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_an_ablation_leaves_the_devices_to_the_processes_it_starts(monkeypatch, tmp_path):
  """JAX takes most of a GPU's memory as soon as it looks at it."""
  calls = []
  monkeypatch.setattr(device, "announce", lambda: pytest.fail("it looked at the devices"))
  monkeypatch.setattr("wav2pix_jax.ablate.ablate", lambda *args: calls.append(args))
  conftest.main("--mode=ablate", "--config=ablations", f"--out={tmp_path}")
  assert calls[0][1] == tmp_path


def test_compiled_programs_are_kept_where_caches_are(trains, monkeypatch, tmp_path):
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  conftest.main("--config=demo")
  assert os.environ.pop("JAX_COMPILATION_CACHE_DIR") == str(tmp_path / "wav2pix_jax" / "compiled")


def _raising(error):
  def train(*args):
    raise error

  return train


def test_what_is_not_the_users_to_mend_keeps_its_traceback(monkeypatch):
  for error in (OSError(5, "a broken disk"), ValueError("a bug"), RuntimeError("another bug")):
    monkeypatch.setattr(train, "train", _raising(error))
    ended = conftest.main("--config=demo", check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")
    assert str(error) in ended.stderr


def test_libraries_threads_keep_their_tracebacks():
  code = (
    "import threading, sys; sys.argv = ['main.py', '--mode=sample']; hooks = threading.excepthook, "
    "sys.unraisablehook\nfrom wav2pix_jax import cli\n"
    "try: cli.main()\nexcept SystemExit: pass\n"
    "assert hooks == (threading.excepthook, sys.unraisablehook)"
  )
  assert conftest.run([sys.executable, "-c", code]).returncode == 0


def test_too_little_memory_is_one_line(monkeypatch):
  def train_too_much(*args):
    return jax.jit(lambda: jax.numpy.ones(2**50))()

  monkeypatch.setattr(train, "train", train_too_much)
  ended = conftest.main("--config=demo", check=False)
  assert ended.returncode == 2
  assert re.fullmatch(r"error: a device has too little memory \(.*\n", ended.stderr), ended.stderr


@pytest.mark.parametrize(
  ("error", "status", "said"),
  [
    (KeyboardInterrupt(15), 143, "interrupted: --mode=train; the same command resumes"),
    (KeyboardInterrupt(), 130, "interrupted: --mode=train; the same command resumes"),
    (preemption.Stopped("step 3 of 9 is saved in here", 15), 143, "stopped: step 3 of 9 is saved"),
  ],
)
def test_a_signal_ends_with_its_status_and_one_line(monkeypatch, error, status, said):
  monkeypatch.setattr(train, "train", _raising(error))
  ended = conftest.main("--config=demo", check=False)
  assert ended.returncode == status
  assert ended.stderr.startswith(said)
  assert ended.stderr.count("\n") == 1


def test_every_flag_is_of_a_mode_and_every_mode_has_help():
  known = {name for _, needed, allowed in cli.MODES.values() for name in (*needed, *allowed)}
  own = {flag.name for flag in cli.FLAGS.flags_by_module_dict()[cli.__name__]}
  assert own - {"mode", "config"} == known - {"config"}
  ended = conftest.run([sys.executable, "main.py", "--help"])
  for name in known:
    assert f"--{name}" in ended.stdout or f"--[no]{name}" in ended.stdout


@pytest.mark.slow
def test_help_imports_nothing_heavy():
  code = (
    "import sys; import wav2pix_jax.cli; "
    "assert not {'jax', 'tensorflow_datasets', 'grain', 'orbax'} & set(sys.modules)"
  )
  ended = conftest.run([sys.executable, "-c", code])
  assert ended.returncode == 0, ended.stderr
