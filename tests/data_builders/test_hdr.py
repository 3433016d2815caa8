"""HDR pictures as a screen without it shows them."""

import av
import numpy as np
import pytest

from data_builders.prepare import hdr, media

LEVELS = np.linspace(0.02, 0.3, 8)  # linear light, 1 is paper white


def _frame(signal, transfer):
  """A frame of gray patches, as a decoder of 10-bit video gives it."""
  pixels = (np.repeat(signal, 16)[None, :, None] * np.ones((32, 1, 3)) * 65_535).round()
  frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint16), format="rgb48le")
  frame = frame.reformat(format="yuv420p10le", dst_colorspace="BT2020")
  frame.color_trc = transfer
  return frame


def _pq(nits):
  y = (nits / 10_000) ** 0.1593017578125
  return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def _hlg(nits):
  scene = (nits / 1000) ** (1 / 1.2)  # of a gray patch
  curve = 0.17883277 * np.log((12 * scene - 0.28466892).clip(1e-6)) + 0.55991073
  return np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve)


@pytest.mark.parametrize(("encode", "transfer"), [(_pq, hdr.PQ), (_hlg, hdr.HLG)])
def test_light_below_the_joint_is_kept_and_highlights_are_not_lost(encode, transfer):
  """Gray patches of known brightness become the sRGB values of that brightness."""
  seen = media.Picture(_frame(encode(LEVELS * hdr.WHITE), transfer), None)
  middle = seen.rgb()[16, 8::16].astype(float)
  expected = 255 * (1.055 * LEVELS ** (1 / 2.4) - 0.055)
  np.testing.assert_allclose(middle, expected[:, None] * np.ones(3), atol=3)
  np.testing.assert_allclose(seen.gray()[16, 8::16], expected, atol=3)
  bright = media.Picture(_frame(encode(np.array([203.0, 500, 999])), transfer), None)
  values = bright.rgb()[16, 8::16, 0].astype(int)
  assert values[0] > 170
  assert all(np.diff(values) > 5)
  assert values[-1] >= 253


def test_other_pictures_are_not_touched():
  pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
  frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
  assert not hdr.is_hdr(frame)
  np.testing.assert_array_equal(media.Picture(frame, None).rgb(), pixels)
