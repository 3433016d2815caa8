"""Pictures at the edge: antialiased faces, grids, and files that keep their colour."""

import io

import numpy as np
import pytest
from PIL import Image

from wav2pix_jax.common import images


def test_resizing_is_antialiased():
  """A fine checkerboard becomes its mean, not a pattern."""
  board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
  small = images.resize(np.repeat(board[..., None], 3, -1), 64)
  assert np.abs(small.astype(int) - 127).max() <= 2


def test_faces_survive_the_scale():
  face = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
  np.testing.assert_array_equal(images.to_uint8(images.to_float(face)), face)
  assert images.to_float(np.array([0, 255], np.uint8)).tolist() == [-1, 1]
  assert images.to_uint8(np.array([-2.0, 2.0])).tolist() == [0, 255]


def test_jpeg_is_close_and_keeps_colour_sharp():
  face = np.zeros((32, 32, 3), np.uint8)
  face[:, ::2, 0] = 255  # red stripes one pixel wide: chroma subsampling would smear them
  back = images.decode(images.encode_jpeg(face))
  assert np.abs(back.astype(int) - face).mean() < 6


def test_grid_has_a_place_for_every_face(tmp_path):
  red, blue = (np.full((16, 16, 3), c, np.uint8) for c in ([255, 0, 0], [0, 0, 255]))
  sheet = images.grid([[red, blue, red], [blue]], ["1st", "2nd"])
  assert sheet.shape == (2 * (16 + images.LABEL_HEIGHT), 48, 3)
  wide = images.grid([[red]], ["a label wider than its face"])
  assert wide.shape[1] > 100
  np.testing.assert_array_equal(sheet[images.LABEL_HEIGHT :][:16, 16:32], blue)
  np.testing.assert_array_equal(sheet[-16:, :16], blue)
  images.save_png(tmp_path / "deep" / "grid.png", sheet)
  back = Image.open(io.BytesIO((tmp_path / "deep" / "grid.png").read_bytes()))
  np.testing.assert_array_equal(np.asarray(back), sheet)


@pytest.mark.parametrize("fonts", [images.FONTS, ()])
def test_letters_beyond_ascii_can_be_told_apart(fonts, monkeypatch):
  """With a font of the system, or else without their accents; never as boxes."""
  monkeypatch.setattr(images, "FONTS", fonts)
  face = np.zeros((64, 64, 3), np.uint8)
  names = [images.grid([[face]], [name]) for name in ("José", "Josñ")]
  assert (names[0] != names[1]).any()
  if not fonts:
    np.testing.assert_array_equal(names[0], images.grid([[face]], ["Jose"]))
