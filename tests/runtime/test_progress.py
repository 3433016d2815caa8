"""Progress on a terminal is a bar; elsewhere it is lines, so that a log file can be read."""

import io

import pytest

from wav2pix_jax.runtime import progress


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  """A clock that is set by hand."""
  clock = {"now": 100.0}
  monkeypatch.setattr(progress.time, "monotonic", lambda: clock["now"])
  return clock


def _show(monkeypatch, clock, stream, shown=True):
  monkeypatch.setattr(progress.sys, "stderr", stream)
  shower = progress.Progress("Training", 10, 130, 16, shown)
  for _ in range(90):  # a step a second
    clock["now"] += 1
    shower.step()
  shower.write("a line")
  shower.close()
  return stream.getvalue()


def test_where_standard_error_is_no_terminal_there_are_lines(monkeypatch, clock, capsys):
  said = _show(monkeypatch, clock, io.StringIO())
  assert said == "".join(
    f"Training: step {step} of 130, 16 faces/s, {left:.1f} minutes left\n"
    for step, left in ((40, 1.5), (70, 1.0), (100, 0.5))
  )
  assert capsys.readouterr().out == "a line\n"


def test_on_a_terminal_there_is_a_bar(monkeypatch, clock, capsys):
  said = _show(monkeypatch, clock, Terminal())
  assert "\r" in said
  assert "Training" in said
  assert "minutes left" not in said
  assert "a line\n" in capsys.readouterr().out


def test_only_the_first_process_shows_anything(monkeypatch, clock, capsys):
  for stream in (io.StringIO(), Terminal()):
    assert not _show(monkeypatch, clock, stream, shown=False)
  assert not capsys.readouterr().out
