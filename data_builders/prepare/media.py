"""A video file's pictures and speech on one clock: the presentation timestamps.

Frames are never counted. Rates that vary, speech that starts late, edit lists, gaps and rounded
timestamps are all in the timestamps; FFmpeg applies edit lists and drops encoders' padding.
"""

import dataclasses
from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.stream import Disposition

from wav2pix_jax.common import audio, schema

# Containers round timestamps, to a millisecond in Matroska. More than this is a gap or a jump.
ROUNDING = 0.005  # seconds
SLACK = schema.SAMPLE_RATE // 1000  # samples by which a resampler may end early
# A gap or drift so short that the speech goes on over it, with zeros where there is none.
SHORT = 0.05  # seconds
MISSING = 1.0  # seconds that a file promises and does not hold: it was cut off
# In other codecs a picture that FFmpeg takes for unreferenced may still be needed.
SKIPPABLE = {"h264"}


class UnusableError(Exception):
  """Why a file gives no clips, in a few words."""


@dataclasses.dataclass(frozen=True)
class Speech:
  """16 kHz mono speech on the file's clock.

  Attributes:
    start: seconds, when `samples[0]` is heard.
    samples: int16 [T]; 0 in gaps.
    runs: ranges [from, to) of samples without a gap.
  """

  start: float
  samples: np.ndarray
  runs: list[tuple[int, int]]

  def around(self, time: float) -> np.ndarray | None:
    """The 4 s in whose middle `time` (seconds) is: int16 [schema.CLIP_SAMPLES].

    `None` where the file does not have all of it, but for a millisecond. Exact to half a sample.
    """
    first = round((time - self.start) * schema.SAMPLE_RATE) - schema.CLIP_SAMPLES // 2
    last = first + schema.CLIP_SAMPLES
    whole = any(a - SLACK <= first and last <= b + SLACK for a, b in self.runs)
    return audio.cut(self.samples, first, schema.CLIP_SAMPLES) if whole else None


@dataclasses.dataclass(frozen=True)
class Contents:
  """What a file holds, but for the pictures.

  Attributes:
    speech: of its best audio stream.
    shown: when each picture of its best video stream is shown, in ticks, in order.
    tick: seconds.
    notes: what is wrong with the file, though not so wrong that it gives nothing.
  """

  speech: Speech
  shown: list[int]
  tick: Fraction
  notes: list[str]


def read(path: Path) -> Contents:
  """Reads a file once, decoding its speech only.

  Holds the speech in memory: 115 MB an hour.

  Raises:
    UnusableError: not a video, or one without sound, pictures or timestamps.
  """
  if not path.stat().st_size:
    raise UnusableError("empty file")
  try:
    with av.open(str(path)) as container:
      picture, sound = _streams(container)
      pieces = _Pieces()
      shown, broken = [], 0
      for packet in _packets(container, picture, sound):
        if packet.stream is picture:
          if packet.pts is not None and not packet.is_discard:
            shown.append(packet.pts)
          continue
        try:
          for frame in packet.decode():
            pieces.add(cast(av.AudioFrame, frame))
        except av.error.InvalidDataError:
          broken += 1
      pieces.end_piece()
      if not shown or picture.time_base is None:
        raise UnusableError("no pictures with timestamps")
      speech = pieces.joined()
      heard = speech.start + len(speech.samples) / schema.SAMPLE_RATE
      notes = _notes(container, max(heard, float(max(shown) * picture.time_base)), broken)
      return Contents(speech, sorted(set(shown)), picture.time_base, notes)
  except (av.FFmpegError, ValueError) as error:
    raise UnusableError(f"not a video that FFmpeg can read ({_reason(error)})") from error


def pictures(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, "Picture"]]:
  """The pictures shown at these ticks, as a decoder of every picture would give them, in order.

  H.264's unreferenced pictures are not decoded but where wanted: no other needs them. Should a
  picture then not come out, all are decoded. Those that cannot be decoded are left out.

  Raises:
    UnusableError: the file cannot be read any more.
  """
  found: set[int] = set()
  for skip in (True, False):
    left = set(wanted) - found
    if not left:
      return
    try:
      with av.open(str(path)) as container:
        picture, _ = _streams(container)
        skip = skip and picture.codec_context.name in SKIPPABLE
        for packet in _packets(container, picture):
          if skip:
            needed = packet.pts is None or packet.pts in left
            picture.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"
          try:
            frames = packet.decode()
          except av.error.InvalidDataError:
            continue
          for frame in frames:
            if frame.pts in left and frame.pts not in found:
              found.add(frame.pts)
              yield frame.pts, Picture(frame, picture.sample_aspect_ratio)
    except av.FFmpegError as error:
      raise UnusableError(f"cannot be read any more ({_reason(error)})") from error


class Picture:
  """A decoded frame as it is to be seen: upright, and with square pixels."""

  def __init__(self, frame: av.VideoFrame, aspect: Fraction | None):
    self._frame = frame
    self._width = round(frame.width * aspect) if aspect else frame.width

  def gray(self) -> np.ndarray:
    """uint8 [H, W]."""
    return self._seen("gray")

  def rgb(self) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return self._seen("rgb24")

  def _seen(self, form: str) -> np.ndarray:
    pixels: np.ndarray = self._frame.to_ndarray(format=form)
    if self._width != self._frame.width:
      pixels = np.asarray(cv2.resize(pixels, (self._width, self._frame.height)))
    return np.ascontiguousarray(np.rot90(pixels, self._frame.rotation // 90))


class _Pieces:
  """Speech put together from decoded frames, each at its time."""

  def __init__(self) -> None:
    self._placed: list[tuple[float, np.ndarray]] = []
    self._samples: list[np.ndarray] = []
    self._late: list[float] = []  # of each frame, its time less that by counting from 0
    self._counted = 0.0  # seconds
    self._form: tuple | None = None

  def add(self, frame: av.AudioFrame) -> None:
    if frame.pts is None or frame.time_base is None:
      return
    late = float(frame.pts * frame.time_base) - self._counted
    form = (frame.format.name, frame.layout.name, frame.sample_rate)
    if form != self._form or abs(late - self._late[0]) > ROUNDING:
      self.end_piece()
      late = float(frame.pts * frame.time_base)
      self._form = form
      self._resampler = av.AudioResampler("s16", "mono", schema.SAMPLE_RATE)
    self._late.append(late)
    self._counted += frame.samples / frame.sample_rate
    frame.pts = None
    self._samples += [out.to_ndarray()[0] for out in self._resampler.resample(frame)]

  def end_piece(self) -> None:
    if self._form is not None:
      self._samples += [out.to_ndarray()[0] for out in self._resampler.resample(None)]
      self._placed.append((float(np.median(self._late)), np.concatenate(self._samples)))
    self._samples, self._late, self._counted, self._form = [], [], 0.0, None

  def joined(self) -> Speech:
    """Raises UnusableError where there is nothing to join."""
    if not self._placed:
      raise UnusableError("no sound that can be decoded")
    start = min(time for time, _ in self._placed)
    spans = []
    for time, samples in self._placed:
      first = round((time - start) * schema.SAMPLE_RATE)
      spans.append((first, first + len(samples)))
    speech = np.zeros(max(last for _, last in spans), np.int16)
    for (first, last), (_, samples) in zip(spans, self._placed, strict=True):
      speech[first:last] = samples
    runs: list[tuple[int, int]] = []
    for first, last in sorted(spans):
      if runs and first - runs[-1][1] <= SHORT * schema.SAMPLE_RATE:
        runs[-1] = runs[-1][0], max(runs[-1][1], last)
      else:
        runs.append((first, last))
    return Speech(start, speech, runs)


def _streams(
  container: av.container.InputContainer,
) -> tuple[av.VideoStream, av.AudioStream]:
  picture = container.streams.best("video")
  sound = container.streams.best("audio")
  if not isinstance(picture, av.VideoStream) or picture.disposition & Disposition.attached_pic:
    raise UnusableError("no pictures")
  if not isinstance(sound, av.AudioStream):
    raise UnusableError("no sound")
  picture.codec_context.thread_count = 1  # videos go in parallel
  return picture, sound


def _packets(
  container: av.container.InputContainer, *streams: av.stream.Stream
) -> Iterator[av.Packet]:
  """Up to where the file ends or breaks off, and the decoders' last frames."""
  try:
    yield from container.demux(*streams)
  except (av.error.InvalidDataError, av.error.EOFError):
    return


def _notes(container: av.container.InputContainer, length: float, broken: int) -> list[str]:
  notes = []
  promised = (container.duration or 0) / av.time_base + (container.start_time or 0) / av.time_base
  if promised > length + MISSING:
    notes.append(f"cut off: {length:.1f} s of {promised:.1f} s can be read")
  if broken:
    notes.append(f"{broken} broken pieces of sound")
  return notes


def _reason(error: Exception) -> str:
  return getattr(error, "strerror", None) or str(error)
