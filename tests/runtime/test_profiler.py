"""A profile covers the steps that were asked for, also when the run ends before."""

import pytest

from wav2pix_jax.runtime import profiler


@pytest.fixture
def calls(monkeypatch):
  """What JAX's profiler is told, in a run of which steps are counted."""
  calls = []
  for name in ("start_trace", "stop_trace"):
    monkeypatch.setattr(
      profiler.jax.profiler, name, lambda *args, name=name, **more: calls.append(name)
    )
  return calls


def _run(folder, steps, of, fails=False):
  with profiler.profile(folder, steps) as after_step:
    for _ in range(of):
      after_step({})
    if fails:
      raise RuntimeError("the run ends")


def test_it_begins_after_the_first_steps_and_ends_by_itself(calls, tmp_path, capsys):
  _run(tmp_path, 3, profiler.SKIPPED + 10)
  assert calls == ["start_trace", "stop_trace"]
  assert "The profile of 3 steps" in capsys.readouterr().out


def test_a_run_that_ends_before_has_its_profile(calls, tmp_path, capsys):
  with pytest.raises(RuntimeError, match="the run ends"):
    _run(tmp_path, 30, profiler.SKIPPED + 2, fails=True)
  assert calls == ["start_trace", "stop_trace"]
  assert "The profile of 2 steps" in capsys.readouterr().out


def test_without_steps_or_time_there_is_none(calls, tmp_path):
  _run(tmp_path, 0, 50)
  _run(tmp_path, 5, profiler.SKIPPED - 1)
  assert not calls
