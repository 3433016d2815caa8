"""Speech: reading any file, cutting windows, conditioning."""

import dataclasses
import io
import sys
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from wav2pix_jax.common import schema, sound
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import writing

PRE_EMPHASIS = 0.95  # release; the paper names the filter but not its coefficient
FRAME = 400  # samples, 25 ms, in which the level is measured
SILENCE = -60.0  # dBFS
LEAST_SOUND = 0.2  # of a window that can be speech
LEAST_DEVIATION = 1.5  # dB, of the level of speech
PEAK = "peak"
PREEMPHASIS = "pre_emphasis"


@dataclasses.dataclass(frozen=True)
class Limits:
  """What is accepted of a file from a stranger."""

  seconds: float  # the longest recording
  patience: float  # seconds that decoding may take
  formats: str  # FFmpeg's names, with commas; playlists, which name other files, should be absent


def read(path: str | Path, limits: Limits | None = None) -> np.ndarray:
  """Reads a file's best audio stream as speech: int16 [T], 16 kHz, mono (channels averaged).

  Reads any container, codec, rate and number of channels that FFmpeg reads (through PyAV), also
  where these change within a file. It starts with the first sample; gaps of up to ten minutes are
  zeros. Broken parts are left out, which is said on standard error.

  Args:
    path: The file.
    limits: What is accepted, of a file from a stranger.

  Raises:
    UserError: There is no such file, nothing in it that FFmpeg can decode as sound, or it is longer
      or takes longer than allowed.
  """
  if not Path(path).is_file():
    raise UserError(f"{path}: no such file; name a recording that FFmpeg can read.")
  decoder = sound.Decoder()
  try:
    with _opened(path, limits) as container:
      stream = container.streams.best("audio")
      if stream is None:
        raise UserError(f"{path}: contains no sound; name a recording with an audio stream.")
      began = time.monotonic()
      for packet in sound.packets(container, stream):
        decoder.decode(packet)
        if limits:
          _check(path, decoder.seconds, time.monotonic() - began, limits)
      speech = decoder.finish().samples
  except (av.FFmpegError, ValueError) as error:
    reason = getattr(error, "strerror", None) or str(error)
    raise UserError(f"{path}: not a sound file that FFmpeg can read ({reason}).") from error
  if not len(speech):
    what = "nothing that can be decoded" if decoder.broken else "no samples"
    raise UserError(f"{path}: contains {what}; name another recording.")
  if decoder.broken:
    print(f"warning: {path}: {decoder.broken} broken parts are left out.", file=sys.stderr)
  return speech


def _opened(path: str | Path, limits: Limits | None) -> Any:
  """Opens a file, whatever the encoding of its tags."""
  careful: dict[str, Any] = {}
  if limits:
    careful["options"] = {"format_whitelist": limits.formats}
    careful["timeout"] = (limits.patience, limits.patience)
  return av.open(str(path), metadata_errors="ignore", **careful)


def _check(path: str | Path, seconds: float, taken: float, limits: Limits) -> None:
  """Raises UserError where a recording, or decoding it, takes longer than allowed (seconds)."""
  if seconds > limits.seconds:
    raise UserError(f"{path}: longer than {limits.seconds:g} seconds; name a shorter recording.")
  if taken > limits.patience:
    raise UserError(
      f"{path}: not decoded after {limits.patience:g} seconds; name another recording."
    )


def read_all(speech: Path) -> tuple[dict[str, tuple[Path, np.ndarray]], list[str]]:
  """Reads a file, or all files in a folder, but not in its subfolders.

  Returns:
    Path and speech, as of `read`, by name: the file's without its extension, or with it where two
    would have the same. And a line for each file that could not be read.

  Raises:
    UserError: The folder is empty, or no file could be read.
  """
  readable, failed = {}, []
  for name, path in _recordings(speech).items():
    try:
      readable[name] = path, read(path)
    except UserError as error:
      failed.append(str(error))
  if not readable:
    raise UserError(failed[0])
  return readable, failed


def _recordings(speech: Path) -> dict[str, Path]:
  found = [speech]
  if speech.is_dir():
    found = sorted(p for p in speech.iterdir() if p.is_file() and not p.name.startswith("."))
    if not found:
      raise UserError(f"--speech={speech}: an empty folder; put recordings into it.")
  stems = [path.stem for path in found]
  return {path.stem if stems.count(path.stem) == 1 else path.name: path for path in found}


def from_array(speech: np.ndarray, sample_rate: int) -> np.ndarray:
  """Converts an array to speech as `read` returns it: int16 [T], 16 kHz, mono.

  The array is int16, or float in [-1, 1]; [T] or [T, channels].

  Raises:
    UserError: Another shape or dtype, values out of range, no samples, or no such rate.
  """
  speech = np.asarray(speech)
  if speech.ndim not in (1, 2) or not speech.size:
    raise UserError(f"speech has shape {speech.shape}; expected [T] or [T, channels], not empty.")
  if not 1 <= sample_rate <= 1_000_000:
    raise UserError(f"sample_rate is {sample_rate}; expected a number of samples per second.")
  if speech.dtype == np.int16:
    mono = speech if speech.ndim == 1 else speech.mean(-1).round().astype(np.int16)
  elif np.issubdtype(speech.dtype, np.floating):
    if not np.abs(speech).max() <= 1:  # NaN is refused, too
      raise UserError(
        f"speech has dtype {speech.dtype} and values up to {np.abs(speech).max():g}; expected "
        "values in [-1, 1], or int16."
      )
    mono = speech.reshape(len(speech), -1).mean(-1)
    mono = (mono * 32_767).round().astype(np.int16)
  else:
    raise UserError(f"speech has dtype {speech.dtype}; expected int16, or float in [-1, 1].")
  if sample_rate == schema.SAMPLE_RATE:
    return mono
  frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono[None]), format="s16", layout="mono")
  frame.sample_rate = sample_rate
  decoder = sound.Decoder()
  decoder.add(frame)
  return decoder.finish().samples


def wav(speech: np.ndarray) -> bytes:
  """Returns a 16 kHz mono 16-bit WAV file of int16 [T]."""
  out = io.BytesIO()
  with wave.open(out, "wb") as file:
    file.setparams((1, 2, schema.SAMPLE_RATE, len(speech), "NONE", ""))
    file.writeframes(speech.astype("<i2").tobytes())
  return out.getvalue()


def write_wav(path: str | Path, speech: np.ndarray) -> None:
  """Writes `wav` to a file; raises UserError if it cannot be written."""
  with writing(path):
    Path(path).write_bytes(wav(speech))


def cut(speech: np.ndarray, start: int, length: int) -> np.ndarray:
  """Returns the window [start, start + length) of speech [T], zeros outside of it: [length]."""
  window = np.zeros(length, speech.dtype)
  first, last = max(start, 0), min(start + length, len(speech))
  if first < last:
    window[first - start : last - start] = speech[first:last]
  return window


def normalise_peak(speech: np.ndarray) -> np.ndarray:
  """Divides speech by its largest magnitude: float32 [..., T] in [-1, 1]; silence stays 0."""
  xp = speech.__array_namespace__()
  speech = speech.astype(np.float32)
  peak = xp.max(xp.abs(speech), axis=-1, keepdims=True)
  return speech / xp.where(peak > 0, peak, np.float32(1))


def pre_emphasise(speech: np.ndarray) -> np.ndarray:
  """y[0] = x[0], y[t] = x[t] - 0.95 x[t-1]: float32 [..., T], 1.95 times the range (release)."""
  xp = speech.__array_namespace__()
  speech = speech.astype(np.float32)
  later = speech[..., 1:] - np.float32(PRE_EMPHASIS) * speech[..., :-1]
  return xp.concat([speech[..., :1], later], axis=-1)


STEPS = {PEAK: normalise_peak, PREEMPHASIS: pre_emphasise}


def equalise(speech: np.ndarray, decibels: Sequence[float] | np.ndarray) -> np.ndarray:
  """Filters speech with gains at frequencies of equal ratio from 50 Hz to 8 kHz: float [T]."""
  xp = speech.__array_namespace__()
  hertz = _hertz(len(speech))
  points = np.geomspace(50, schema.SAMPLE_RATE / 2, len(decibels))
  gains = 10 ** (xp.interp(np.log(hertz), np.log(points), decibels) / 20)
  return xp.fft.irfft(xp.fft.rfft(speech) * gains, len(speech))


def colour(white: np.ndarray, slope: float) -> np.ndarray:
  """Filters white noise so that its amplitude falls as frequency^-slope: float [T], deviation 1."""
  fft = white.__array_namespace__().fft
  noise = fft.irfft(fft.rfft(white) * _hertz(len(white)) ** -slope, len(white))
  return noise / noise.std()


def coloured_noise(length: int, slope: float, rng: np.random.Generator) -> np.ndarray:
  """Returns noise with an amplitude that falls as frequency^-slope: float [length], deviation 1."""
  return colour(rng.standard_normal(length), slope)


def _hertz(length: int) -> np.ndarray:
  """Returns the frequencies of a spectrum, at least 50 Hz."""
  return np.fft.rfftfreq(length, 1 / schema.SAMPLE_RATE).clip(min=50)


def unlike_speech(window: np.ndarray) -> str:
  """Returns why a window of int16 [T] at 16 kHz cannot be speech, or "" where it can.

  It is if less than a fifth of it is louder than -60 dBFS, or if it is as loud all the time, as
  noise, tones and hum are: the deviation of the level is below 1.5 dB, while that of 447 seconds of
  84 real people was at least 2.0 dB. Music is not noticed.
  """
  frames = window[: len(window) // FRAME * FRAME].astype(np.float32).reshape(-1, FRAME)
  decibels = 20 * np.log10(np.sqrt(np.square(frames).mean(1)).clip(1) / 32_768)
  loud = decibels > SILENCE
  if loud.mean() < LEAST_SOUND:
    return "nearly silent"
  return "a steady noise or tone" if decibels[loud].std() < LEAST_DEVIATION else ""


def condition(window: np.ndarray, steps: Sequence[str]) -> np.ndarray:
  """Applies the steps to a window, each once and in order, for the networks: float32 [..., T].

  Args:
    window: int16 or float32 [..., T], perhaps distorted, otherwise as recorded; an array of NumPy
      or of any library with the array API, to which the result belongs.
    steps: Names in `STEPS`. The PyTorch release divides by the peak and then pre-emphasises (range
      +-1.95); the paper pre-emphasises first (range +-1).
  """
  for step in steps:
    window = STEPS[step](window)
  return window.astype(np.float32)
