"""Reads a video file's pictures and speech on one clock, the presentation timestamps.

Frames are never counted: variable frame rates, edit lists and rounding are all reflected in the
timestamps. `wav2pix_jax/common/sound.py` decodes the speech.
"""

import dataclasses
from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition

from data_builders.prepare import hdr
from data_builders.prepare.videos import Video
from wav2pix_jax.common import audio, schema, sound

BACK = 1.0  # seconds by which the clock of pictures may go back
MISSING = 1.0  # a file that is shorter than its header says by more seconds was cut off
# In other codecs, a picture that FFmpeg regards as unreferenced may still be needed.
SKIPPABLE = {"h264"}


class UnusableError(Exception):
  """The reason why a file gives no clips, in a few words."""


@dataclasses.dataclass(frozen=True)
class Contents:
  """The contents of a file, except the pictures themselves."""

  speech: sound.Sound  # of the best audio stream
  # Presentation timestamps of the pictures of the best video stream, sorted, in ticks.
  shown: list[int]
  tick: Fraction  # length of a tick, seconds
  notes: list[str]  # problems of the file that do not prevent its use

  def speech_around(self, time: float, length: int) -> np.ndarray | None:
    """Returns the speech centred on `time` (seconds): int16 [length], exact to half a sample.

    Returns `None` if more than a millisecond of it is missing.
    """
    first = round((time - self.speech.start) * schema.SAMPLE_RATE) - length // 2
    last, slack = first + length, schema.SAMPLE_RATE // 1000  # a resampler may end early
    whole = any(a - slack <= first and last <= b + slack for a, b in self.speech.runs)
    return audio.cut(self.speech.samples, first, length) if whole else None


def read(path: Path) -> Contents:
  """Reads a file once and decodes its speech, which takes 115 MB of memory per hour.

  Where a file's clock starts again, as in files that were joined, the rest is left out, since its
  pictures and its speech could not be told from those before.

  Raises:
    UnusableError: The file is not a video, or has no sound, pictures or timestamps.
  """
  try:
    if not path.stat().st_size:
      raise UnusableError("empty file")
    with av.open(str(path), metadata_errors="ignore") as container:
      picture, heard = _streams(container)
      decoder, shown = sound.Decoder(), _Shown(picture.time_base)
      for packet in sound.packets(container, picture, heard):
        if packet.stream is heard:
          decoder.decode(packet)
        else:
          shown.add(packet)
      speech = decoder.finish()
      if not len(speech.samples):
        raise UnusableError("no sound that can be decoded")
      if not shown.times or picture.time_base is None:
        raise UnusableError("no pictures with timestamps")
      restarted = shown.restarted or speech.restart is not None
      speech = _before_restart(speech)
      seconds = len(speech.samples) / schema.SAMPLE_RATE
      end = max(speech.start + seconds, float(max(shown.times) * picture.time_base))
      notes = _notes(container, end, decoder.broken, restarted)
      return Contents(speech, sorted(shown.times), picture.time_base, notes)
  except (av.FFmpegError, OSError, ValueError) as error:
    raise UnusableError(f"not a video that FFmpeg can read ({_reason(error)})") from error


def duration(video: Video) -> float:
  """Returns a video's length as its header tells it, seconds; 0 if it does not, or is no video."""
  try:
    if video.problem:
      return 0.0
    with av.open(str(video.path), metadata_errors="ignore") as container:
      return (container.duration or 0) / av.time_base
  except (av.FFmpegError, OSError, ValueError):
    return 0.0


def pictures(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, "Picture"]]:
  """Yields the pictures with these timestamps in ticks, in order, as if every one were decoded.

  In H.264, unreferenced pictures that are not wanted are skipped, as no other picture needs them.
  If wanted pictures are then missing, all are decoded. Those that cannot be decoded are left out.

  Raises:
    UnusableError: The file can no longer be read.
  """
  found: set[int] = set()
  for skip in (True, False):
    left = set(wanted) - found
    if not left:
      return
    try:
      with av.open(str(path), metadata_errors="ignore") as container:
        picture, _ = _streams(container)
        skip = skip and picture.codec_context.name in SKIPPABLE
        for packet in sound.packets(container, picture):
          if skip:
            needed = packet.pts is None or packet.pts in left
            picture.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"
          try:
            frames = packet.decode()
          except av.FFmpegError:
            continue
          for frame in frames:
            if frame.pts in left and frame.pts not in found:
              found.add(frame.pts)
              yield frame.pts, Picture(frame, picture.sample_aspect_ratio)
    except av.FFmpegError as error:
      raise UnusableError(f"cannot be read any more ({_reason(error)})") from error


class Picture:
  """A decoded frame as it is displayed: upright, and with square pixels."""

  def __init__(self, frame: av.VideoFrame, aspect: Fraction | None):
    self._frame = frame
    self._width = round(frame.width * aspect) if aspect else frame.width

  def gray(self) -> np.ndarray:
    """Returns the picture in shades of gray, uint8 [H, W]."""
    if hdr.is_hdr(self._frame):
      return np.asarray(cv2.cvtColor(self.rgb(), cv2.COLOR_RGB2GRAY))
    return self._upright(self._frame.to_ndarray(format="gray"))

  def rgb(self) -> np.ndarray:
    """Returns the picture in RGB, uint8 [H, W, 3]. HDR is tone-mapped."""
    if hdr.is_hdr(self._frame):
      return self._upright(hdr.tone_mapped(self._frame))
    return self._upright(self._frame.to_ndarray(format="rgb24"))

  def _upright(self, pixels: np.ndarray) -> np.ndarray:
    if self._width != self._frame.width:
      pixels = np.asarray(cv2.resize(pixels, (self._width, self._frame.height)))
    return np.ascontiguousarray(np.rot90(pixels, self._frame.rotation // 90))


class _Shown:
  """Collects the timestamps of pictures up to where the clock starts again, if it does.

  Attributes:
    times: Presentation timestamps, in ticks.
    restarted: Whether pictures after the last of them are on another clock.
  """

  def __init__(self, tick: Fraction | None):
    self.times: set[int] = set()
    self.restarted = False
    self._tick = tick or Fraction(1)
    self._last: int | None = None
    self._jumped = 0

  def add(self, packet: av.Packet) -> None:
    """Adds the next packet; without a timestamp it is left out."""
    at = packet.pts if packet.dts is None else packet.dts
    if at is None or self.restarted:
      return
    jump = 0 if self._last is None else float((at - self._last) * self._tick)
    if not -BACK <= jump <= sound.LONGEST_GAP:
      self._jumped += 1
      self.restarted = self._jumped >= sound.FRAMES
      return
    self._last, self._jumped = at, 0
    if packet.pts is not None and not packet.is_discard:
      self.times.add(packet.pts)


def _before_restart(heard: sound.Sound) -> sound.Sound:
  """Returns the sound that is on the first clock."""
  if heard.restart is None:
    return heard
  runs = [(a, min(b, heard.restart)) for a, b in heard.runs if a < heard.restart]
  return dataclasses.replace(heard, samples=heard.samples[: heard.restart], runs=runs)


def _streams(container: av.container.InputContainer) -> tuple[av.VideoStream, av.AudioStream]:
  picture = container.streams.best("video")
  sound = container.streams.best("audio")
  if not isinstance(picture, av.VideoStream) or picture.disposition & Disposition.attached_pic:
    raise UnusableError("no pictures")
  if not isinstance(sound, av.AudioStream):
    raise UnusableError("no sound")
  picture.codec_context.thread_count = 1  # videos are processed in parallel
  return picture, sound


def _notes(
  container: av.container.InputContainer, length: float, broken: int, restarted: bool
) -> list[str]:
  notes = []
  promised = ((container.duration or 0) + (container.start_time or 0)) / av.time_base
  if restarted:
    notes.append(f"its clock starts again after {length:.1f} s; the rest is left out")
  elif promised > length + MISSING:
    notes.append(f"cut off: {length:.1f} s of {promised:.1f} s can be read")
  if broken:
    notes.append(f"{broken} broken pieces of sound")
  return notes


def _reason(error: Exception) -> str:
  return getattr(error, "strerror", None) or str(error)
