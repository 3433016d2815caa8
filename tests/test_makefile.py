"""`make` on machines that lack something."""

import shutil
import subprocess

from conftest import ROOT

# As Debian's Python without python3-venv: it leaves a folder without pip.
WITHOUT_ENSUREPIP = """#!/bin/sh
mkdir -p .venv/bin
touch .venv/bin/python
echo "The virtual environment was not created successfully because ensurepip is not available." >&2
exit 1
"""


def _make(folder, *more):
  command = ["make", "--no-print-directory", *more]
  return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_python_without_venv_is_a_line_also_the_second_time(tmp_path):
  shutil.copy(ROOT / "Makefile", tmp_path)
  stub = tmp_path / "stub"
  stub.write_text(WITHOUT_ENSUREPIP)
  stub.chmod(0o755)
  for _ in range(2):
    done = _make(tmp_path, ".venv/bin/pip", f"PYTHON={stub}")
    assert done.returncode == 2
    assert "apt install python3-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_no_python_is_a_line(tmp_path):
  shutil.copy(ROOT / "Makefile", tmp_path)
  done = _make(tmp_path, ".venv/bin/pip", "PYTHON=")
  assert done.returncode == 2
  assert "no Python 3.11, 3.12 or 3.13 found" in done.stderr


def test_a_gpu_that_cannot_be_used_is_said_and_the_cpu_is_installed(tmp_path):
  """pip is asked for the extra that fits, or for none."""
  for name in ("Makefile", "setup.cfg", "pyproject.toml"):
    shutil.copy(ROOT / name, tmp_path)
  script = tmp_path / "wav2pix_jax" / "runtime" / "machine.py"
  script.parent.mkdir(parents=True)
  commands = tmp_path / ".venv" / "bin"
  commands.mkdir(parents=True)
  (commands / "python").symlink_to(shutil.which("python3"))
  (commands / "pip").write_text('#!/bin/sh\necho "$@"\n')
  (commands / "pip").chmod(0o755)
  for printed, asked in (("cuda13", ".[cuda13]"), ("", "."), ("cuda12", ".[cuda12]")):
    script.write_text(f"print({printed!r})")
    done = _make(tmp_path, "-B", "-o", ".venv/bin/pip", ".venv/train.done")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f"--editable {asked}")
  script.write_text("print('cuda12')")
  done = _make(tmp_path, "-B", "-o", ".venv/bin/pip", ".venv/demo.done")
  assert done.stdout.splitlines()[-1].endswith("--editable .[demo,cuda12]")
