"""Some of the malformed inputs of `malformed.py`, which has them all; in this process."""

import conftest
import malformed
import pytest

from data_builders.prepare.__main__ import main as prepare

pytestmark = pytest.mark.slow

COUNT = 30


def test_malformed_files_end_in_a_line_or_are_used(tmp_path, capsys):
  cases = malformed.quick_cases(malformed.Base(tmp_path / "good"))
  assert len(cases) > 100
  for number in range(COUNT):
    case = cases[number * len(cases) // COUNT]
    folder = tmp_path / str(number)
    folder.mkdir()
    script, *arguments = case.make(folder)
    if script == "main.py":
      arguments = [*arguments, "--config.num_steps=0"] if case.kind == "config" else arguments
      ended = conftest.main(*arguments, check=False)
      status, said = ended.returncode, ended.stderr
    else:
      _, *arguments = arguments
      status = prepare(arguments)
      said = capsys.readouterr().err
    assert status in (0, 1, 2), f"{case.kind}: {case.name}: {said}"
    assert "Traceback" not in said, f"{case.kind}: {case.name}: {said}"
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == (status == 2), f"{case.kind}: {case.name}: {said}"
