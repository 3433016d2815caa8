"""Files appear whole or not at all, and one process at a time works in a folder."""

import json
import subprocess
import sys

import conftest
import pytest

from wav2pix_jax.common import files
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, write_whole


def test_a_disk_that_fills_leaves_neither_half_a_file_nor_less_of_the_old(tmp_path):
  """And only what this project names incomplete is ever removed."""
  path = tmp_path / "file"
  write_whole(path, "old")
  (tmp_path / "file.incomplete").symlink_to("/dev/full")
  with pytest.raises(UserError, match="file: cannot be written .No space left"):
    write_whole(path, "new" * 10_000)
  assert path.read_text() == "old"
  (tmp_path / "incomplete notes").touch()
  (tmp_path / "arrays.incomplete").mkdir()
  with exclusively(tmp_path):
    assert {path.name for path in tmp_path.iterdir()} == {"file", "incomplete notes", ".lock"}


def _write_file(path, text):
  path.write_text(text)


def _write_folder(path, text):
  path.mkdir()
  (path / "inside").write_text(text)


@pytest.mark.parametrize("write", [_write_file, _write_folder])
def test_a_file_or_folder_appears_whole_or_not_at_all(tmp_path, write):
  path = tmp_path / "deep" / "name"
  for text in ("first", "second"):  # the second replaces the first
    with files.atomically(path) as incomplete:
      write(incomplete, text)
      assert path.exists() == (text == "second")
    read = path / "inside" if write is _write_folder else path
    assert read.read_text() == text

  def fail(incomplete):
    write(incomplete, "third")
    raise ValueError("the block fails")

  with pytest.raises(ValueError, match="the block fails"), files.atomically(path) as incomplete:
    fail(incomplete)
  assert read.read_text() == "second"
  assert [left.name for left in path.parent.iterdir()] == ["name"]


def test_a_folder_is_tried_without_making_it(tmp_path):
  files.check_writable(tmp_path / "to" / "make")
  assert not list(tmp_path.iterdir())
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match="file"):
    files.check_writable(tmp_path / "file" / "below")


def test_what_is_made_once_is_not_made_again(tmp_path):
  made = []

  def make(incomplete):
    made.append(incomplete.name)
    incomplete.write_text("content")

  for _ in range(2):
    files.make_once(tmp_path / "a" / "file", make)
  assert made == ["file.incomplete"]
  assert (tmp_path / "a" / "file").read_text() == "content"


def test_a_folder_in_use_is_refused_until_its_process_ends(tmp_path):
  """However it ends: the lock is the operating system's."""
  code = (
    "import sys, time; from pathlib import Path; from wav2pix_jax.common import files\n"
    "with files.exclusively(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
  )
  command = [sys.executable, "-c", code, str(tmp_path)]
  holder = subprocess.Popen(command, cwd=conftest.ROOT, stdout=subprocess.PIPE, text=True)
  assert holder.stdout.readline() == "locked\n"
  with pytest.raises(UserError, match="in use by another run"), exclusively(tmp_path, wait=False):
    pass
  holder.kill()
  holder.wait()
  with exclusively(tmp_path, wait=False):
    pass


def test_data_cannot_end_the_script_of_a_page(tmp_path):
  (tmp_path / "page.html").write_text("<script>const data = /*DATA*/null;</script>")
  page = files.fill_template(tmp_path / "page.html", {"name": "</script><b>"})
  assert page.count("</script>") == 1
  assert json.loads(page.partition("= ")[2].partition(";")[0]) == {"name": "</script><b>"}
