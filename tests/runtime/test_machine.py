"""Which JAX fits the GPU, by what its driver says, and what is said where none does."""

import os
import subprocess
import sys

import jax
import pytest
from conftest import ROOT

from wav2pix_jax.runtime import device, machine

HEADER = "| NVIDIA-SMI {driver}   Driver Version: {driver}   CUDA Version: {cuda}  |"
NEWER = "| NVIDIA-SMI {driver}   KMD Version: {driver}   CUDA UMD Version: {cuda}  |"
SCRIPT = """#!/bin/sh
case "$1" in
--query-gpu=*compute_cap*) {capability} ;;
--query-gpu=*) echo "{name}, {driver}, 81559" ;;
*) {header} ;;
esac
"""


def _driver(folder, monkeypatch, header=HEADER, driver="580.95.05", cuda="13.0", capability="9.0"):
  """Puts an nvidia-smi into a folder, and the folder into the path."""
  name = "NVIDIA H100 80GB HBM3"
  said = f'echo "{name}, {driver}, {capability}, 81559"' if capability else "exit 2"
  shown = f"echo '{header.format(driver=driver, cuda=cuda)}'" if header else "exit 9"
  script = SCRIPT.format(name=name, driver=driver, capability=said, header=shown)
  (folder / "nvidia-smi").write_text(script)
  (folder / "nvidia-smi").chmod(0o755)
  monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
  ("driver", "extra"),
  [
    ({}, "cuda13"),
    ({"driver": "550.54", "cuda": "12.4"}, "cuda12"),
    ({"header": NEWER, "driver": "610.20", "cuda": "13.3"}, "cuda13"),
    ({"header": "| NVIDIA-SMI {driver} |", "driver": "535.1"}, "cuda12"),
    ({"header": "| NVIDIA-SMI {driver} |", "driver": "600.1", "capability": ""}, "cuda13"),
    ({"capability": "7.5"}, "cuda13"),
    ({"capability": "[N/A]"}, "cuda13"),
  ],
)
def test_the_wheels_fit_the_driver(tmp_path, monkeypatch, driver, extra):
  _driver(tmp_path, monkeypatch, **driver)
  found = machine.look()
  assert (found.extra, found.remedy) == (extra, "")
  assert found.gpus[0].name == "NVIDIA H100 80GB HBM3"
  assert found.gpus[0].memory == 81_559


@pytest.mark.parametrize(
  ("driver", "words"),
  [
    ({"driver": "470.82", "cuda": "11.4"}, "470.82 supports CUDA 11 only, and JAX needs CUDA 12"),
    ({"header": "| NVIDIA-SMI |", "driver": "418.1", "capability": ""}, "supports CUDA 11 only"),
    ({"capability": "7.0"}, "compute capability 7.0, and what JAX installs needs 7.5"),
    ({"driver": "550.54", "cuda": "12.4", "capability": "6.1"}, "nvidia-cudnn-cu12<9.11"),
    ({"header": ""}, "does not reach the driver"),
  ],
)
def test_a_gpu_that_jax_cannot_use_has_a_remedy_and_the_cpu_is_installed(
  tmp_path, monkeypatch, driver, words
):
  _driver(tmp_path, monkeypatch, **driver)
  found = machine.look()
  assert found.extra == ""
  assert words in found.remedy
  done = subprocess.run(
    [sys.executable, "-S", "wav2pix_jax/runtime/machine.py"],  # as make runs it, without packages
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.stdout.strip() == ""
  assert words in done.stderr
  assert len(done.stderr.splitlines()) == 1


def test_without_a_driver_nothing_is_said(monkeypatch, tmp_path):
  monkeypatch.setenv("PATH", str(tmp_path))
  assert machine.look() == machine.Machine((), 0, "", "")
  assert device.unused(machine.look()) == ""


@pytest.mark.parametrize(
  ("environment", "words"),
  [
    ({"JAX_PLATFORMS": "cpu"}, "JAX_PLATFORMS=cpu asks for another device; unset it"),
    ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES hides it; unset it"),
    ({}, "JAX is installed for the CPU; .venv/bin/pip install -e '.[cuda13]'"),
  ],
)
def test_a_gpu_that_is_not_used_is_a_warning_that_names_the_remedy(
  tmp_path, monkeypatch, capsys, environment, words
):
  _driver(tmp_path, monkeypatch)
  for name in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES"):
    monkeypatch.delenv(name, raising=False)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  monkeypatch.setattr(device.metadata, "entry_points", lambda group: ())
  device.announce()
  said = capsys.readouterr()
  assert said.err == f"warning: NVIDIA H100 80GB HBM3 is not used: {words}.\n"
  assert said.out.startswith("Device: CPU, ")


def test_a_gpu_that_is_used_needs_no_words(tmp_path, monkeypatch):
  _driver(tmp_path, monkeypatch)
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert device.unused(machine.look()) == ""
