"""Two devices in one process, a small release, and a config small enough to train in seconds."""

import os
import subprocess
import sys
from pathlib import Path

# The suite compiles many small programs and runs each for moments.
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = " ".join(
  [
    os.environ.get("XLA_FLAGS", ""),
    QUICK_TO_COMPILE,
    "--xla_force_host_platform_device_count=2",
  ]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# More than once, in several processes.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(".pytest_cache/compiled").resolve()))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import pytest  # noqa: E402
import small_release  # noqa: E402

from configs import youtubers  # noqa: E402
from wav2pix_jax import data  # noqa: E402

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


def training_command(workdir, source, data_dir, **fields):
  """`main.py` as typed, for a run of six small steps unless fields say otherwise."""
  fields = {
    **TINY,
    "num_steps": 6,
    "log_every": 2,
    "eval_every": 3,
    "save_every": 3,
    "dataset.source": source,
    "dataset.data_dir": data_dir,
    **fields,
  }
  command = [sys.executable, "main.py", "--config=configs/youtubers.py", f"--workdir={workdir}"]
  return [*command, *(f"--config.{name}={value}" for name, value in fields.items())]


def environment(devices=1, **more):
  """For a process of its own, with so many devices."""
  flags = f"{QUICK_TO_COMPILE} --xla_force_host_platform_device_count={devices}"
  return {**os.environ, "XLA_FLAGS": flags, **more}


def run(command, devices=1):
  """A command in a process of its own, from the project's root."""
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment(devices))


@pytest.fixture(scope="session")
def released(tmp_path_factory):
  return small_release.make(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
  return tmp_path_factory.mktemp("data")


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


def pytest_terminal_summary(terminalreporter):
  """What tests recorded to be read: (title, line) properties."""
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
