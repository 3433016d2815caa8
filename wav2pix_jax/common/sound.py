"""Decodes a file's sound to 16 kHz mono on the file's clock, the presentation timestamps.

Frames are never counted. Sound that starts late, gaps and rounding are all reflected in the
timestamps. FFmpeg (through PyAV) applies edit lists and drops encoder padding.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import cast

import av
import numpy as np

from wav2pix_jax.common import schema

# Containers round timestamps, Matroska to a millisecond. A larger difference is a gap or a jump.
ROUNDING = 0.005  # seconds
# Longest gap or drift over which sound counts as continuous. A gap is filled with zeros.
SHORT = 0.05  # seconds
CONFIRMED = 2.0  # seconds for which timestamps keep a short jump that is one
FRAMES = 3  # for which they keep a longer one
LONGEST_GAP = 600.0  # seconds; after a longer one, or a jump back, it is another clock


@dataclasses.dataclass(frozen=True)
class Sound:
  """16 kHz mono sound on a file's clock."""

  start: float  # presentation time of `samples[0]`, seconds
  samples: np.ndarray  # int16 [T], 0 in gaps
  runs: list[tuple[int, int]]  # ranges [from, to) of samples without a gap
  # Sample from which on the clock is another, as in files that were joined. Sound on another clock
  # follows what is before it.
  restart: int | None


class Decoder:
  """Joins decoded audio frames, each at its time.

  Frames of a piece follow one another without a gap. Their timestamps are rounded, and those of
  Vorbis wander by half a block, 10 ms, wherever the size of the blocks changes. So a new piece
  starts only where a jump is kept: for `CONFIRMED` seconds, or where it is longer than `SHORT`, for
  `FRAMES` frames. It also starts where the format, the layout or the rate of the samples changes.

  Attributes:
    broken: The number of packets that could not be decoded, so far. They are left out.
    seconds: The length of what was decoded so far, with gaps, up to the current piece.
  """

  def __init__(self) -> None:
    self.broken = 0
    self.seconds = 0.0
    self._placed: list[tuple[float, np.ndarray]] = []
    self._restart: float | None = None
    self._end: float | None = None  # time at which the last piece ends, seconds
    self._samples: list[np.ndarray] = []
    self._late: list[float] = []  # time of each frame minus the time by counting samples
    self._counted = 0.0  # seconds
    self._form: tuple | None = None
    self._jumped: list[tuple[av.AudioFrame, float]] = []  # frames after a jump, and how late

  def decode(self, packet: av.Packet) -> None:
    """Decodes a packet and adds its frames."""
    try:
      for frame in packet.decode():
        self.add(cast(av.AudioFrame, frame))
    except av.ExitError:  # the time for decoding is over
      raise
    except av.FFmpegError:
      self.broken += 1

  def add(self, frame: av.AudioFrame) -> None:
    """Adds the next frame; one without a timestamp follows the one before."""
    form = (frame.format.name, frame.layout.name, frame.sample_rate)
    if form != self._form or (not self._late and frame.time is not None):
      self._end_piece(until=frame.time)
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

  def finish(self) -> Sound:
    """Returns the sound, after the last frame; of no frames, no samples."""
    self._end_piece()
    start = min((time for time, _ in self._placed), default=0.0)
    spans = []
    for time, samples in self._placed:
      first = round((time - start) * schema.SAMPLE_RATE)
      spans.append((first, first + len(samples)))
    sound = np.zeros(max((last for _, last in spans), default=0), np.int16)
    for (first, last), (_, samples) in zip(spans, self._placed, strict=True):
      sound[first:last] = samples
    runs: list[tuple[int, int]] = []
    for first, last in sorted(spans):
      if runs and first - runs[-1][1] <= SHORT * schema.SAMPLE_RATE:
        runs[-1] = runs[-1][0], max(runs[-1][1], last)
      else:
        runs.append((first, last))
    restart = self._restart
    at = None if restart is None else round((restart - start) * schema.SAMPLE_RATE)
    return Sound(start, sound, runs, at)

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
    self._place()
    self._begin(first, time, form)
    for frame, _ in rest:
      self.add(frame)

  def _begin(self, frame: av.AudioFrame, time: float | None, form: tuple | None) -> None:
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
    self.seconds += _seconds(frame)
    frame.pts = None
    self._samples += [out.to_ndarray()[0] for out in self._resampler.resample(frame)]

  def _end_piece(self, until: float | None = None) -> None:
    if self._is_kept(math.inf):
      self._end_before_jump()
    self._join()
    self._place(until)

  def _place(self, until: float | None = None) -> None:
    """Ends the piece. One without timestamps is beside what it is next to, or starts at 0."""
    if self._form is None:
      return
    self._samples += [out.to_ndarray()[0] for out in self._resampler.resample(None)]
    samples = np.concatenate([np.zeros(0, np.int16), *self._samples])
    near = [late for late in self._late if abs(late - self._late[0]) <= ROUNDING]
    end = self._end
    if near:
      time = float(np.median(near))
    elif end is not None:
      time = end
    else:
      time = 0.0 if until is None else until - self._counted
    if end is not None:
      if not -SHORT <= time - end <= LONGEST_GAP:
        self._restart = end if self._restart is None else self._restart
      if self._restart is not None:
        time = end
      self.seconds += max(time - end, 0)
    self._placed.append((time, samples))
    self._end = time + len(samples) / schema.SAMPLE_RATE
    self._samples, self._late, self._counted, self._form = [], [], 0.0, None


def packets(
  container: av.container.InputContainer, *streams: av.stream.Stream
) -> Iterator[av.Packet]:
  """Yields packets up to the end of what can be read, and those that flush the decoders.

  Raises av.ExitError where the time for reading is over.
  """
  while True:
    try:
      yield from container.demux(*streams)
      return
    except av.ExitError:
      raise
    except av.FFmpegError:
      return
    except IndexError:  # a packet of a stream that appeared meanwhile, which PyAV does not know
      continue


def _seconds(frame: av.AudioFrame) -> float:
  return frame.samples / frame.sample_rate
