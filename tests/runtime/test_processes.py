"""However many devices and processes share a batch, they learn what one would."""

import functools
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import conftest
import kills
import numpy as np
import pytest

from wav2pix_jax import models
from wav2pix_jax.common.files import exclusively
from wav2pix_jax.runtime import distributed

# What moves these biases is rounding alone: the batch norm right after them takes any shift away.
NOISE = re.compile(r"'(conv\d|dense0|dense1)'\]\['bias'\]")
TRIED_DAILY = (models.LOG_MEL, 2)  # what `make test` tries; `make test-all` tries all
TOLERANCES = {".stats": 1e-5, ".mu": 2e-4, ".nu": 5e-4, ".params": 2e-4, ".ema": 2e-4, "": 1e-5}


@pytest.fixture(scope="module")
def after_one_step(tmp_path_factory):
  """Encoder and devices -> what a step leaves: state (Adam's mu is the gradient) and metrics."""
  folder = tmp_path_factory.mktemp("steps")

  @functools.cache
  def of(encoder, devices):
    path = folder / f"{encoder}_{devices}.npz"
    run = conftest.run([sys.executable, "tests/one_step.py", encoder, path], devices)
    assert run.returncode == 0, run.stderr
    return dict(np.load(path))

  return of


@pytest.mark.slow
@pytest.mark.parametrize(
  ("encoder", "devices"),
  [
    pytest.param(
      encoder, devices, marks=[] if (encoder, devices) == TRIED_DAILY else pytest.mark.extra
    )
    for encoder in models.ENCODERS
    for devices in (2, 4, 8)
  ],
)
def test_gradients_statistics_and_updates_equal_those_of_one_device(
  after_one_step, encoder, devices, record_property
):
  """Largest error of a tensor, relative to its largest value."""
  one, several = after_one_step(encoder, 1), after_one_step(encoder, devices)
  assert one.keys() == several.keys()
  worst = {}
  for name, expected in one.items():
    if name.startswith((".generator", ".ema")) and _is_noise(name):
      continue
    kind = next(kind for kind in TOLERANCES if kind in name)
    largest = max(np.abs(expected).max(), 1e-30)
    if encoder == models.LOG_MEL and name.endswith("['mean']"):
      # They are nearly 0, as every norm but one follows another: relative to the deviation, as far
      # as it is in the running statistics after a step.
      largest = 0.1 * np.sqrt((one[name.replace("'mean'", "'var'")].max() - 0.9) / 0.1)
    error = np.abs(several[name] - expected).max() / largest
    worst[kind] = max(worst.get(kind, (0, "")), (float(error), name))
  assert worst.keys() == TOLERANCES.keys()
  for kind, (error, name) in worst.items():
    limit = TOLERANCES[kind]
    line = (
      f"{encoder}, {devices} devices, {kind[1:] or 'metrics':8}: {error:.0e} (limit {limit:.0e})"
    )
    record_property("devices against one, worst relative errors", line)
    assert error <= limit, name


def _is_noise(name):
  return NOISE.search(name) and "'encoder']['dense" not in name


def _command(workdir, released, data_dir, **more):
  fields = {"num_steps": 20, "log_every": 1, "eval_every": 10, "save_every": 10, **more}
  fields |= {"model.noise": 0, "model.dropout": 0.0}  # each replica has its own
  fields["loss.energy_score"] = False  # without noise two samples differ by rounding alone
  # Rounding grows where a ReLU lets through in one run and not in the other; less in small steps.
  fields |= {"optimizer.lr_g": 3e-5, "optimizer.lr_d": 4e-5}
  return conftest.training_command(workdir, released.folder, data_dir, **fields)


def _start_two(command):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  return [
    subprocess.Popen(
      [*command, "--distributed"],
      cwd=conftest.ROOT,
      env=conftest.environment(
        JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(index)
      ),
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for index in range(2)
  ]


def _two(command):
  processes = _start_two(command)
  outputs = [process.communicate() for process in processes]
  assert [process.returncode for process in processes] == [0, 0], outputs
  said = [line for line in outputs[1][0].splitlines() if not line.startswith("[Gloo]")]
  assert not said  # the first speaks for both
  return outputs[0][0]


def _one(command):
  run = conftest.run(command)
  assert run.returncode == 0, run.stderr
  return run.stdout


@pytest.fixture(scope="module")
def runs(released, tmp_path_factory):
  """Two processes for 20 steps, which both want to prepare the data, and one for 24."""
  folder = tmp_path_factory.mktemp("runs")
  _two(_command(folder / "two", released, folder / "data"))
  _one(_command(folder / "one", released, folder / "data", num_steps=24))
  return folder


def _assert_losses_agree(a, b, steps, record_property, what):
  a, b = kills.scalars(a), kills.scalars(b)
  worst = 0.0
  for step in steps:
    for name, value in a[step].items():
      if "loss" in name or "score" in name:
        worst = max(worst, abs(b[step][name] - value) / max(abs(value), 1e-2))
  record_property("processes against one, worst relative errors", f"{what}: {worst:.0e}")
  assert worst < 1e-4


@pytest.mark.extra
def test_two_processes_learn_what_one_does(runs, record_property):
  """Losses and scores of 20 steps, but for rounding."""
  _assert_losses_agree(
    runs / "one", runs / "two", range(1, 21), record_property, "two processes, 20 steps"
  )
  written = [
    {path.relative_to(runs / name) for path in (runs / name / "samples").rglob("*")}
    for name in ("one", "two")
  ]
  assert written[1] <= written[0]
  assert len(list((runs / "two" / "tensorboard").iterdir())) == 1


@pytest.mark.extra
@pytest.mark.parametrize("go_on", [_one, _two])
def test_what_two_saved_goes_on_as_one_and_as_two(runs, released, tmp_path, go_on, record_property):
  shutil.copytree(runs / "two", tmp_path / "run")
  said = go_on(_command(tmp_path / "run", released, runs / "data", num_steps=24))
  assert "Resuming from step 20" in said
  _assert_losses_agree(
    runs / "one",
    tmp_path / "run",
    range(21, 25),
    record_property,
    f"saved by two, resumed by {go_on.__name__[1:]}",
  )


@pytest.mark.extra
def test_a_signal_to_one_process_stops_both_at_the_same_step(released, data_dir, tmp_path):
  command = _command(
    tmp_path, released, data_dir, num_steps=100_000, save_every=50_000, eval_every=50_000
  )
  processes = _start_two(command)
  while not ((tmp_path / "tensorboard").exists() and 20 in kills.scalars(tmp_path)):
    assert all(process.poll() is None for process in processes)
    time.sleep(0.1)
  processes[1].send_signal(signal.SIGTERM)
  errors = [process.communicate(timeout=60)[1] for process in processes]
  assert [process.returncode for process in processes] == [143, 143]
  steps = {re.search(r"stopped: step (\d+)", error)[1] for error in errors}
  assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == list(steps)


@pytest.mark.extra
def test_what_stops_the_first_process_stops_both(runs, released, tmp_path):
  """At once, with the same line: nobody waits for a process that has gone."""
  with exclusively(tmp_path):
    processes = _start_two(_command(tmp_path, released, runs / "data"))
    errors = [process.communicate(timeout=100)[1] for process in processes]
  assert [process.returncode for process in processes] == [2, 2]
  for error in errors:
    assert f"error: {tmp_path} is in use by another run" in error
    assert "Traceback" not in error


def test_processes_with_different_records_are_noticed(monkeypatch):
  monkeypatch.setattr(distributed.jax, "process_count", lambda: 2)
  for digests, same in (([1, 1], True), ([1, 2], False)):
    monkeypatch.setattr(
      distributed.multihost_utils, "process_allgather", lambda digest, all=digests: all
    )
    assert distributed.same_everywhere("a") == same


@pytest.mark.slow
def test_processes_that_do_not_find_each_other_say_so(tmp_path):
  command = [sys.executable, "main.py", "--config=configs/youtubers.py", f"--workdir={tmp_path}"]
  run = conftest.run([*command, "--distributed"])
  assert run.returncode == 2
  assert run.stderr.splitlines()[-1].startswith("error: --distributed: ")
  assert "JAX_COORDINATOR_ADDRESS" in run.stderr
  assert "Traceback" not in run.stderr
