"""Reads a video file's pictures and speech on one clock, the presentation timestamps.

Frames are never counted. Variable frame rates, speech that starts late, edit lists, gaps and
rounding are all reflected in the timestamps. FFmpeg applies edit lists and drops encoder padding.
"""

import dataclasses
import math
from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.stream import Disposition

from wav2pix_jax.common import audio, schema

# Containers round timestamps, Matroska to a millisecond. A larger difference is a gap or a jump.
ROUNDING = 0.005  # seconds
SLACK = schema.SAMPLE_RATE // 1000  # number of samples by which a resampler may end early
# Longest gap or drift over which speech counts as continuous. A gap is filled with zeros.
SHORT = 0.05  # seconds
CONFIRMED = 2.0  # seconds for which timestamps keep a short jump that is one
FRAMES = 3  # for which they keep a longer one
MISSING = 1.0  # a file that is shorter than its header says by more seconds was cut off
# In other codecs, a picture that FFmpeg regards as unreferenced may still be needed.
SKIPPABLE = {"h264"}


class UnusableError(Exception):
  """The reason why a file gives no clips, in a few words."""


@dataclasses.dataclass(frozen=True)
class Speech:
  """16 kHz mono speech on the file's clock."""

  start: float  # presentation time of `samples[0]`, seconds
  samples: np.ndarray  # int16 [T], 0 in gaps
  runs: list[tuple[int, int]]  # ranges [from, to) of samples without a gap

  def around(self, time: float) -> np.ndarray | None:
    """Returns the 4 s centred on `time` (seconds): int16 [schema.CLIP_SAMPLES].

    Returns `None` if more than a millisecond of it is missing. It is exact to half a sample.
    """
    first = round((time - self.start) * schema.SAMPLE_RATE) - schema.CLIP_SAMPLES // 2
    last = first + schema.CLIP_SAMPLES
    whole = any(a - SLACK <= first and last <= b + SLACK for a, b in self.runs)
    return audio.cut(self.samples, first, schema.CLIP_SAMPLES) if whole else None


@dataclasses.dataclass(frozen=True)
class Contents:
  """The contents of a file, except the pictures themselves."""

  speech: Speech  # of the best audio stream
  # Presentation timestamps of the pictures of the best video stream, sorted, in ticks.
  shown: list[int]
  tick: Fraction  # length of a tick, seconds
  notes: list[str]  # problems of the file that do not prevent its use


def read(path: Path) -> Contents:
  """Reads a file once and decodes its speech, which takes 115 MB of memory per hour.

  Raises:
    UnusableError: The file is not a video, or has no sound, pictures or timestamps.
  """
  try:
    if not path.stat().st_size:
      raise UnusableError("empty file")
    with av.open(str(path), metadata_errors="ignore") as container:
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
        except av.FFmpegError:
          broken += 1
      pieces.end_piece()
      if not shown or picture.time_base is None:
        raise UnusableError("no pictures with timestamps")
      speech = pieces.joined()
      heard = speech.start + len(speech.samples) / schema.SAMPLE_RATE
      notes = _notes(container, max(heard, float(max(shown) * picture.time_base)), broken)
      return Contents(speech, sorted(set(shown)), picture.time_base, notes)
  except (av.FFmpegError, OSError, ValueError) as error:
    raise UnusableError(f"not a video that FFmpeg can read ({_reason(error)})") from error


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
        for packet in _packets(container, picture):
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
    return self._seen("gray")

  def rgb(self) -> np.ndarray:
    """Returns the picture in RGB, uint8 [H, W, 3]."""
    return self._seen("rgb24")

  def _seen(self, form: str) -> np.ndarray:
    pixels: np.ndarray = self._frame.to_ndarray(format=form)
    if self._width != self._frame.width:
      pixels = np.asarray(cv2.resize(pixels, (self._width, self._frame.height)))
    return np.ascontiguousarray(np.rot90(pixels, self._frame.rotation // 90))


class _Pieces:
  """Joins decoded audio frames into speech, each at its time.

  Frames of a piece follow one another without a gap. Their timestamps are rounded, and those of
  Vorbis wander by half a block, 10 ms, wherever the size of the blocks changes. So a new piece
  starts only where a jump is kept: for `CONFIRMED` seconds, or where it is longer than `SHORT`, for
  `FRAMES` frames.
  """

  def __init__(self) -> None:
    self._placed: list[tuple[float, np.ndarray]] = []
    self._samples: list[np.ndarray] = []
    self._late: list[float] = []  # time of each frame minus the time by counting samples
    self._counted = 0.0  # seconds
    self._form: tuple | None = None
    self._jumped: list[tuple[av.AudioFrame, float]] = []  # frames after a jump, and how late

  def add(self, frame: av.AudioFrame) -> None:
    """Adds the next frame; one without a timestamp follows the one before."""
    form = (frame.format.name, frame.layout.name, frame.sample_rate)
    if form != self._form:
      self.end_piece()
      if frame.time is not None:
        self._begin(frame, frame.time, form)
      return
    waiting = sum(_seconds(one) for one, _ in self._jumped)
    late = None if frame.time is None else frame.time - self._counted - waiting
    if late is None and self._jumped:
      late = self._jumped[-1][1]
    if late is None or abs(late - self._late[0]) <= ROUNDING:
      self._join()
      self._take(frame, late)
      return
    if self._jumped and abs(late - self._jumped[0][1]) > ROUNDING:
      self._join()  # it was not kept
    self._jumped.append((frame, late))
    if self._is_kept(CONFIRMED):
      self._end_before_jump()

  def end_piece(self) -> None:
    """Ends the piece, as at the end of the file."""
    if self._is_kept(math.inf):
      self._end_before_jump()
    self._join()
    self._end()

  def _is_kept(self, seconds: float) -> bool:
    """Whether enough frames have kept the jump, where `seconds` are enough for a short one."""
    if not self._jumped:
      return False
    far = abs(self._jumped[0][1] - self._late[0]) > SHORT
    kept = sum(_seconds(frame) for frame, _ in self._jumped)
    return (far and len(self._jumped) >= FRAMES) or kept >= seconds

  def _end_before_jump(self) -> None:
    (first, late), *rest = self._jumped
    time, form, self._jumped = late + self._counted, self._form, []
    self._end()
    self._begin(first, time, form)
    for frame, _ in rest:
      self.add(frame)

  def _begin(self, frame: av.AudioFrame, time: float, form: tuple | None) -> None:
    self._form = form
    self._resampler = av.AudioResampler("s16", "mono", schema.SAMPLE_RATE)
    self._take(frame, time)

  def _join(self) -> None:
    """Takes the frames after a jump that was none."""
    for frame, late in self._jumped:
      self._take(frame, late)
    self._jumped = []

  def _take(self, frame: av.AudioFrame, late: float | None) -> None:
    if late is not None:
      self._late.append(late)
    self._counted += _seconds(frame)
    frame.pts = None
    self._samples += [out.to_ndarray()[0] for out in self._resampler.resample(frame)]

  def _end(self) -> None:
    if self._form is not None:
      self._samples += [out.to_ndarray()[0] for out in self._resampler.resample(None)]
      near = [late for late in self._late if abs(late - self._late[0]) <= ROUNDING]
      self._placed.append((float(np.median(near)), np.concatenate(self._samples)))
    self._samples, self._late, self._counted, self._form = [], [], 0.0, None

  def joined(self) -> Speech:
    """Returns the speech, or raises UnusableError if there is none."""
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


def _seconds(frame: av.AudioFrame) -> float:
  return frame.samples / frame.sample_rate


def _streams(container: av.container.InputContainer) -> tuple[av.VideoStream, av.AudioStream]:
  picture = container.streams.best("video")
  sound = container.streams.best("audio")
  if not isinstance(picture, av.VideoStream) or picture.disposition & Disposition.attached_pic:
    raise UnusableError("no pictures")
  if not isinstance(sound, av.AudioStream):
    raise UnusableError("no sound")
  picture.codec_context.thread_count = 1  # videos are processed in parallel
  return picture, sound


def _packets(
  container: av.container.InputContainer, *streams: av.stream.Stream
) -> Iterator[av.Packet]:
  """Yields packets up to the end of what can be read, and those that flush the decoders."""
  try:
    yield from container.demux(*streams)
  except av.FFmpegError:
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
