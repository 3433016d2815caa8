"""The paper's figures, of one's own runs."""

import json
import shutil

import conftest
import numpy as np
import pytest
from PIL import Image

from wav2pix_jax.common import dlib_faces
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.reports.paper_figures import figures

pytestmark = pytest.mark.slow


@pytest.fixture
def workdir(trained):
  return trained[0]


def test_every_figure_has_a_picture_and_a_caption_with_its_seeds(workdir, tmp_path):
  flags = f"--workdir={workdir}", f"--compare={workdir}", f"--out={tmp_path}"
  run = conftest.main("--mode=figures", *flags)
  captions = [line for line in run.stdout.splitlines() if "Figure" in line]
  assert len(captions) == 4
  for number, caption in enumerate(captions, 3):
    assert f"Figure {number}. " in caption
    assert "sampling seed 0, training seed 0" in caption
    assert (tmp_path / f"figure_{number}.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / f"figure_{number}.png") as picture:
      assert np.asarray(picture.convert("L")).std() > 10


def test_without_dlib_figure_4_is_left_out(workdir, tmp_path, monkeypatch, capsys):
  def unavailable():
    raise dlib_faces.UnavailableError("gone")

  monkeypatch.setattr(dlib_faces, "describer", unavailable)
  figures(workdir, [], "test", tmp_path)
  assert "Figure 4 is left out" in capsys.readouterr().out
  assert {path.stem for path in tmp_path.iterdir()} == {f"figure_{n}" for n in (3, 5, 6)}


def test_runs_on_other_speech_are_not_compared(workdir, tmp_path):
  other = tmp_path / "other"
  shutil.copytree(workdir, other)
  saved = json.loads((other / "config.json").read_text())
  saved["identity_names"] = ["ada", "cy"]
  (other / "config.json").write_text(json.dumps(saved))
  with pytest.raises(UserError, match="speakers ada, cy"):
    figures(workdir, [other], "test", tmp_path / "out")
  assert not (tmp_path / "out").exists()
