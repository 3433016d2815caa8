"""Films with the truth known: one drawn face that moves, and each frame's number in its corner."""

import functools
import json
from fractions import Fraction

import av
import numpy as np

from data_builders.synthetic import clips, identity, video
from data_builders.synthetic.face.head import View
from data_builders.synthetic.face.pose import Pose, Scene
from wav2pix_jax.common import audio, images, movie, schema

SCALE = 70.0
BIT, BITS = 16, 12  # pixels of a digit, digits of a number
RATES = ["24000/1001", "25", "30000/1001", "30", "60000/1001", video.VARIABLE]


def times(rate, seconds):
  """When each frame is shown, on the file's clock."""
  shown = video.frame_times(rate, seconds, np.random.default_rng(5))
  return np.round(shown * movie.CLOCK) / movie.CLOCK


def speech(seconds, seed=0):
  """Noise with pauses, of which no two moments are alike."""
  rng = np.random.default_rng(seed)
  noise = audio.coloured_noise(int(seconds * schema.SAMPLE_RATE), 0.5, rng)
  loudness = np.repeat(rng.uniform(0.1, 1, int(seconds * 8) + 1), schema.SAMPLE_RATE // 8)
  return (noise * loudness[: len(noise)] * 3000).astype(np.int16)


@functools.cache
def portrait(who):
  """A person before a wall: uint8 [480, 640, 3], and where the face is."""
  view = View(video.WIDTH, video.HEIGHT, SCALE, video.WIDTH / 2, video.HEIGHT * 0.5)
  head = clips.head_of(identity.TEN[who], SCALE)
  picture = head.render(Pose(), Scene(), view, np.random.default_rng(who))
  return picture, head.box(Pose(), view)


def frame(number, who=0, faces=1):
  """The picture of a number, and where its face is."""
  picture, (left, top, width, height) = portrait(who)
  shift = number * 3 % 80
  if faces == 1:
    picture = np.roll(picture, shift, 1)
  elif faces == 2:
    half = picture[:, 160:480]
    picture = np.concatenate([half, half[:, ::-1]], 1)
  else:
    picture = np.full_like(picture, 120)
  picture = picture.copy()
  for bit in range(BITS):
    picture[:BIT, bit * BIT : (bit + 1) * BIT] = 255 * (number >> bit & 1)
  return picture, (left + shift, top, width, height)


def number_of(picture):
  """Read back from a frame."""
  bits = picture[BIT // 2, BIT // 2 : BITS * BIT : BIT].mean(-1) > 127
  return int((bits << np.arange(BITS)).sum())


def make(
  path,
  rate="25",
  seconds=8,
  late=0.0,
  faces=1,
  who=0,
  sound=True,
  picture=True,
  rotation=0,
  form="",
):
  """Writes a film; with speech that starts `late`, or without speech or pictures.

  Returns when each frame is shown, and the speech.
  """
  shown, said = times(rate, seconds), speech(seconds - late, who)
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), "w", format=form or None) as container:
    if picture:
      screen = container.add_stream("libx264", rate=25)
      size = (video.WIDTH, video.HEIGHT)
      screen.width, screen.height = size[::-1] if rotation % 180 else size
      screen.pix_fmt = "yuv420p"
      screen.options = {"crf": "23", "preset": "ultrafast", "bf": "3", "b-pyramid": "normal"}
      screen.codec_context.time_base = Fraction(1, movie.CLOCK)
      if rotation:
        screen.set_display_rotation(rotation)
    if sound:
      heard = container.add_stream("aac", rate=44_100, layout="stereo")
      spoken = av.AudioFrame.from_ndarray(said[None], format="s16", layout="mono")
      spoken.sample_rate = schema.SAMPLE_RATE
      resampler = av.AudioResampler("fltp", "stereo", 44_100, frame_size=1024)
      at = round(late * 44_100)
      for part in [*resampler.resample(spoken), *resampler.resample(None)]:
        part.pts, part.time_base = at, Fraction(1, 44_100)
        at += part.samples
        container.mux(heard.encode(part))
      container.mux(heard.encode(None))
    if picture:
      for number, time in enumerate(shown):
        pixels = frame(number, who, faces)[0]
        pixels = np.ascontiguousarray(np.rot90(pixels, -rotation // 90))
        drawn = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        drawn.pts, drawn.time_base = round(time * movie.CLOCK), Fraction(1, movie.CLOCK)
        container.mux(screen.encode(drawn))
      container.mux(screen.encode(None))
  return shown, said


def remux(source, path, earlier=0.0, form=""):
  """A copy in another container, or moved to start before 0: players then see an edit list."""
  with av.open(str(source)) as before, av.open(str(path), "w", format=form or None) as after:
    streams = {s: after.add_stream_from_template(s) for s in before.streams}
    for packet in before.demux():
      if packet.dts is not None:
        moved = round(earlier / packet.time_base)
        packet.pts, packet.dts = packet.pts - moved, packet.dts - moved
        packet.stream = streams[packet.stream]
        after.mux(packet)


def manifest(out):
  return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def report(out):
  lines = (out / "report.jsonl").read_text().splitlines()
  return {line["video"]: line for line in map(json.loads, lines)}


def lag(heard, said, at):
  """Seconds by which speech [T] is later than that of [at, at + T) samples; sharpest match."""
  reach = 400
  around = audio.cut(said, at - reach, len(heard) + 2 * reach).astype(float)
  size = 1 << 17
  match = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(heard, size)), size)
  return (reach - int(match[: 2 * reach + 1].argmax())) / schema.SAMPLE_RATE


def overlap(a, b):
  """Intersection over union of two boxes (left, top, width, height)."""
  width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
  height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
  common = max(width, 0) * max(height, 0)
  return common / (a[2] * a[3] + b[2] * b[3] - common)


def read_image(path):
  return images.decode(path.read_bytes())
