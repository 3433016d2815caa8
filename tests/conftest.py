"""Two devices in one process, a small release, small runs, and the command line in this process."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

# The suite compiles many small programs and runs each for moments.
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = " ".join(
  [
    os.environ.get("XLA_FLAGS", ""),
    QUICK_TO_COMPILE,
    "--xla_force_host_platform_device_count=2",
  ]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Several processes compile the same programs.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(".pytest_cache/compiled").resolve()))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import filelock  # noqa: E402
import pytest  # noqa: E402
import small_release  # noqa: E402
from absl import flags  # noqa: E402
from absl.testing import flagsaver  # noqa: E402

from wav2pix_jax import cli, data  # noqa: E402
from wav2pix_jax.configs import youtubers  # noqa: E402
from wav2pix_jax.runtime import allocator  # noqa: E402

ROOT = Path(__file__).parent.parent
TINY = {
  "image_size": 16,
  "batch_size": 8,
  "model.encoder_widths": (4, 4, 4, 8, 8, 8),
  "model.encoder_hidden": 16,
  "model.embedding": 8,
  "model.classifier_hidden": 8,
  "model.generator_width": 8,
  "model.discriminator_width": 8,
}
SIX_STEPS = {"num_steps": 6, "log_every": 2, "eval_every": 3, "save_every": 3}


def training_flags(workdir, source, data_dir, **fields):
  """The flags for a run of six small steps unless fields say otherwise."""
  places = {"dataset.source": source, "dataset.data_dir": data_dir}
  fields = {**TINY, **SIX_STEPS, **places, **fields}
  overrides = [f"--config.{name}={value}" for name, value in fields.items()]
  return ["--config=configs/youtubers.py", f"--workdir={workdir}", *overrides]


def training_command(workdir, source, data_dir, **fields):
  """The command of a run, for a process of its own; see `training_flags`."""
  return [sys.executable, "main.py", *training_flags(workdir, source, data_dir, **fields)]


def environment(devices=1, **more):
  """The environment of a process of its own with so many devices."""
  xla_flags = f"{QUICK_TO_COMPILE} --xla_force_host_platform_device_count={devices}"
  return {**os.environ, "XLA_FLAGS": xla_flags, **more}


def run(command, devices=1, **more):
  """Runs a command in a process of its own, from the project's root."""
  where = {"cwd": ROOT, "env": environment(devices, **more)}
  return subprocess.run([*map(str, command)], capture_output=True, text=True, **where)


@dataclasses.dataclass
class Ended:
  """How a command ended."""

  returncode: int
  stdout: str
  stderr: str


def main(*typed, check=True):
  """Does what `python main.py` does with these flags, in this process, which spares its start.

  Flags are set anew each time. An exception that leaves the command ends up in `stderr` with its
  traceback, as it would in a process of its own.
  """
  out, err = io.StringIO(), io.StringIO()
  saved = flagsaver.save_flag_values()
  argv, handlers = sys.argv[:], cli.signal.getsignal(cli.signal.SIGTERM)
  status = 0
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(allocator, "keep_freed_memory", lambda: None)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      try:
        flags.FLAGS.unparse_flags()
        cli.run(cli.parse(["main.py", *map(str, typed)]))
      except SystemExit as left:
        status = left.code
      except Exception:  # noqa: BLE001, as Python ends a process
        traceback.print_exc()
        status = 1
      finally:
        flagsaver.restore_flag_values(saved)
        sys.argv[:] = argv
        cli.signal.signal(cli.signal.SIGTERM, handlers)
  ended = Ended(status, out.getvalue(), err.getvalue())
  assert not check or status == 0, ended.stdout + ended.stderr
  return ended


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
  """Makes a folder once for all worker processes: `once(name, make)` -> its path."""
  base = tmp_path_factory.getbasetemp()
  base = base if worker_id == "master" else base.parent

  def make_once(name, make):
    folder = base / "once" / name
    folder.parent.mkdir(exist_ok=True)
    with filelock.FileLock(folder.with_name(f"{name}.lock")):
      if not folder.exists():
        make(folder)
    return folder

  return make_once


@pytest.fixture(scope="session")
def released(once):
  """The small release; its folder is shared, and the truth about it made in each process."""
  folder = once("release", small_release.make)
  return dataclasses.replace(small_release.make(folder, write=False), folder=folder)


@pytest.fixture(scope="session")
def data_dir(once):
  """The directory of prepared datasets."""
  return once("data", Path.mkdir)


@pytest.fixture
def config(released, data_dir):
  config = youtubers.get_config()
  config.update_from_flattened_dict(TINY)
  config.dataset.source = str(released.folder)
  config.dataset.data_dir = str(data_dir)
  return config


@pytest.fixture(scope="session")
def clean(released, data_dir):
  """The prepared leak-free builder of the small release."""
  config = youtubers.get_config()
  config.dataset.source = str(released.folder)
  config.dataset.data_dir = str(data_dir)
  return data.prepare(config.dataset)


@pytest.fixture(scope="session")
def trained(once, released, data_dir):
  """A workdir after six steps in a process of its own, and how that ended; to be read only."""

  def train(folder):
    ended = run(training_command(folder / "run", released.folder, data_dir))
    assert ended.returncode == 0, ended.stderr
    texts = {"stdout": ended.stdout, "stderr": ended.stderr}
    (folder / "ended.json").write_text(json.dumps({"returncode": 0, **texts}))

  folder = once("trained", train)
  return folder / "run", Ended(**json.loads((folder / "ended.json").read_text()))


@pytest.fixture
def trained_copy(trained, tmp_path):
  """A copy of the trained workdir, to be changed."""
  return shutil.copytree(trained[0], tmp_path / "run")


SLOW_FIXTURES = {"trained", "whole", "still", "three_steps", "never_killed", "bench", "browser"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
  """Marks what needs a trained run, dlib or a browser as slow."""
  for item in items:
    if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
      item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
  """Prints what tests recorded to be read: (title, line) properties."""
  titles = {}
  for reports in terminalreporter.stats.values():
    for report in reports:
      if getattr(report, "when", "") == "call":
        for title, line in report.user_properties:
          titles.setdefault(title, []).append(line)
  for title, lines in titles.items():
    terminalreporter.section(title)
    for line in sorted(lines):
      terminalreporter.line(line)
