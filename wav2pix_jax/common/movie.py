"""Writing movies with sound: MP4, H.264 and AAC, which browsers play."""

import collections
import itertools
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from wav2pix_jax.common import images, schema
from wav2pix_jax.common.files import atomically

CLOCK = 90_000  # ticks per second of the presentation timestamps
SOUND_RATE = 44_100  # Hz


def side_by_side(film: Iterable[np.ndarray], least: int) -> Iterator[np.ndarray]:
  """Yields frames uint8 [D, S, S, 3] as pictures [H, D * H, 3], at least so many pixels high."""
  for faces in film:
    yield np.concatenate([images.enlarge(face, least) for face in faces], 1)


def write_mp4(
  path: Path,
  frames: Iterable[np.ndarray],
  times: np.ndarray,
  speech: np.ndarray,
  about: Mapping[str, str] | None = None,
) -> None:
  """Writes a movie, whole or not at all, with its sound at 44.1 kHz in stereo.

  Args:
    path: The file to write.
    frames: Pictures uint8 [H, W, 3], all of one size, H and W even, at least one.
    times: Their presentation times in seconds, float [N], ascending.
    speech: Sound that begins at 0 s, int16 [T] at 16 kHz.
    about: Text about the movie, which becomes its metadata.

  Raises:
    UserError: It cannot be written.
  """
  pictures = iter(frames)
  first = next(pictures)
  with atomically(path) as incomplete, av.open(str(incomplete), "w", format="mp4") as container:
    if about:
      container.metadata["comment"] = "; ".join(f"{name}: {text}" for name, text in about.items())
    picture = container.add_stream("libx264", rate=25)
    picture.height, picture.width = first.shape[:2]
    picture.pix_fmt = "yuv420p"
    picture.options = {"crf": "20", "preset": "veryfast", "threads": "1"}
    picture.codec_context.time_base = Fraction(1, CLOCK)
    sound = container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
    sound.bit_rate = 128_000
    spoken = av.AudioFrame.from_ndarray(speech[None], format="s16", layout="mono")
    spoken.sample_rate, spoken.pts = schema.SAMPLE_RATE, 0
    spoken.time_base = Fraction(1, schema.SAMPLE_RATE)
    resampler = av.AudioResampler("fltp", "stereo", SOUND_RATE, frame_size=1024)
    parts = collections.deque([*resampler.resample(spoken), *resampler.resample(None)])
    for frame, time in zip(itertools.chain([first], pictures), times, strict=True):
      while parts and parts[0].time <= time:
        container.mux(sound.encode(parts.popleft()))
      shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
      shown.pts, shown.time_base = round(time * CLOCK), Fraction(1, CLOCK)
      container.mux(picture.encode(shown))
    container.mux(picture.encode())
    for part in (*parts, None):
      container.mux(sound.encode(part))
