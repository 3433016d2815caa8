"""Tone mapping: pictures in HDR (PQ or HLG, ITU-R BT.2100) as a screen without it shows them."""

import av
import numpy as np

PQ, HLG = 16, 18  # FFmpeg's numbers of the transfer characteristics (ITU-T H.273)
WHITE, PEAK = 203.0, 1000.0  # nits: of white paper (BT.2408), and of the brightest highlights
JOINT = 0.3  # share of white up to which brightness is kept
# Linear light of BT.2020 to that of BT.709 (BT.2087).
TO_709 = np.array(
  [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020


def is_hdr(frame: av.VideoFrame) -> bool:
  """Returns whether a frame has to be tone-mapped."""
  return frame.color_trc in (PQ, HLG)


def tone_mapped(frame: av.VideoFrame) -> np.ndarray:
  """Returns an HDR frame in sRGB, uint8 [H, W, 3].

  Brightness up to 0.3 of white is kept, and what is above is compressed by a Moebius function, as
  FFmpeg's filter `tonemap` can do.
  """
  signal = frame.to_ndarray(format="rgb48le").astype(np.float32) / 65_535
  light = _pq(signal) if frame.color_trc == PQ else _hlg(signal)
  light = (light / WHITE) @ TO_709.T
  brightest = light.max(-1, keepdims=True).clip(1e-6)
  light = (light * (_compressed(brightest) / brightest)).clip(0, 1)
  encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
  return (encoded * 255).round().astype(np.uint8)


def _pq(signal: np.ndarray) -> np.ndarray:
  """Returns nits."""
  root = signal ** np.float32(32 / 2523)
  return 10_000 * ((root - 0.8359375).clip(0) / (18.8515625 - 18.6875 * root)) ** (16_384 / 2610)


def _hlg(signal: np.ndarray) -> np.ndarray:
  """Returns nits on a screen of 1,000 nits."""
  a, b, c = 0.17883277, 0.28466892, 0.55991073
  scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
  return 1000 * scene * (scene @ LUMINANCE)[..., None].clip(1e-6) ** 0.2


def _compressed(light: np.ndarray) -> np.ndarray:
  """Returns brightness, of which `PEAK` becomes 1 and what is below `JOINT` stays."""
  peak, j = PEAK / WHITE, JOINT
  a = -j * j * (peak - 1) / (j * j - 2 * j + peak)
  b = (j * j - 2 * j * peak + peak) / (peak - 1)
  moebius = (b * b + 2 * b * j + j * j) / (b - a) * (light + a) / (light + b)
  return np.where(light <= j, light, moebius)
