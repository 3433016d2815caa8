"""How good a clip is: numbers for thresholds, and for the eye that reviews.

| score | is | tells |
| --- | --- | --- |
| `speech` | share of 30 ms in which WebRTC's voice detector hears a voice | silence, noise |
| `silence` | share of 20 ms below -50 dB of full scale | pauses, muted passages |
| `clipping` | share of samples at full scale, within 0.1% | overdriven microphones |
| `modulation` | how far loudness swings at 2 to 8 Hz, dB | music and noise |
| `sharpness` | log10 of the variance of the Laplacian, of the face at 128 px | blur |
| `size` | side of the face, pixels | faces in the background |
| `frontality` | correlation of the face with its mirror image, at its best | turned heads |
| `faces` | how many the picture has | who speaks is not certain |

Syllables come four times a second, and between them speech is quiet in every part of the spectrum;
notes are held, and noise is steady. So `modulation` is the deviation of loudness, in bands of the
spectrum and in dB, after all but 2 to 8 Hz is filtered out of it (Scheirer and Slaney, 1997, have
4 Hz modulation energy as a measure of speech against music): measured here, 5 to 12 dB for the
published youtubers and 7 to 11 for synthetic speakers, 1 to 3 for music and noise. A voice over
music has something of both.
"""

import functools

import cv2
import numpy as np
import webrtcvad

from wav2pix_jax.common import schema

SIDE = 128  # pixels, of a face that is scored
SMALL = 48  # pixels, at which it is compared with its mirror image
VOICE_FRAME = schema.SAMPLE_RATE * 30 // 1000
QUIET_FRAME = schema.SAMPLE_RATE * 20 // 1000
QUIET = -50  # dB of full scale
FULL = 32_767 * 0.999
HOP = schema.SAMPLE_RATE // 100
BANDS = 12
SYLLABLES = 2, 8  # Hz


def of_speech(speech: np.ndarray) -> dict[str, float]:
  """Scores of int16 [T], 16 kHz."""
  hears = functools.partial(webrtcvad.Vad(2).is_speech, sample_rate=schema.SAMPLE_RATE)
  voiced = [hears(frame.tobytes()) for frame in _frames(speech, VOICE_FRAME)]
  loudness = np.square(_frames(speech, QUIET_FRAME) / 32768).mean(1)
  return {
    "speech": _rounded(np.mean(voiced)),
    "silence": _rounded((_decibels(loudness) < QUIET).mean()),
    "clipping": _rounded((np.abs(speech.astype(np.int32)) >= FULL).mean(), 5),
    "modulation": _rounded(_modulation(speech), 2),
  }


def of_face(face: np.ndarray) -> dict[str, float]:
  """Scores of uint8 [H, W, 3]."""
  full = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
  gray = np.asarray(cv2.resize(full, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
  return {
    "sharpness": _rounded(np.log10(cv2.Laplacian(gray, cv2.CV_32F).var() + 1)),
    "size": face.shape[0],
    "frontality": _rounded(_frontality(gray)),
  }


def _frontality(gray: np.ndarray) -> float:
  """Of uint8 [SIDE, SIDE]: edges, so that light from a side counts little."""
  resized = cv2.resize(gray, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
  small = cv2.GaussianBlur(resized.astype(np.float32), (0, 0), SMALL / 40)
  edges = cv2.magnitude(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
  middle = edges[:, SMALL // 8 : -SMALL // 8]  # where the face is not in the middle of its box
  mirrored = np.ascontiguousarray(edges[:, ::-1])
  return float(cv2.matchTemplate(mirrored, middle, cv2.TM_CCOEFF_NORMED).max())


def _modulation(speech: np.ndarray) -> float:
  """Deviation of loudness at the rate of syllables: dB."""
  windows = np.lib.stride_tricks.sliding_window_view(speech, 2 * HOP)[::HOP] * np.hanning(2 * HOP)
  power = np.square(np.abs(np.fft.rfft(windows / 32768, axis=1)))
  edges = np.geomspace(2, power.shape[1] - 1, BANDS + 1).round().astype(int)
  bands = np.add.reduceat(power, edges[:-1], axis=1)
  loudness = _decibels(bands / HOP)
  swings = np.fft.rfft(loudness - loudness.mean(0), axis=0)
  hertz = np.fft.rfftfreq(len(loudness), HOP / schema.SAMPLE_RATE)
  swings[(hertz < SYLLABLES[0]) | (hertz > SYLLABLES[1])] = 0
  return float(np.fft.irfft(swings, len(loudness), axis=0).std())


def _frames(speech: np.ndarray, length: int) -> np.ndarray:
  return speech[: len(speech) // length * length].reshape(-1, length)


def _decibels(power: np.ndarray) -> np.ndarray:
  """Of full scale; nothing is quieter than -80."""
  return 10 * np.log10(power.clip(1e-8))


def _rounded(score: np.floating | float, digits: int = 3) -> float:
  return round(float(score), digits)
