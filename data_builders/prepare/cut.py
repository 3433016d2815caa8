"""Cuts one video into clips. Every worker process runs this, here or on a cluster."""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

from data_builders.prepare import faces, manifest, media, scores
from data_builders.prepare.videos import Video
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.files import atomically, from_json, write_whole

DONE = "video.json"
VERSION = 2  # increase it with every change of the clips or their scores: videos are cut again
SHORTEST = 0.3  # seconds of speech of a clip


@dataclasses.dataclass(frozen=True)
class Settings:
  """The settings on which clips depend."""

  rate: float  # number of pictures per second that are searched for a face
  confidence: float  # least confidence of the face detector
  frames: bool  # whether the whole pictures are kept, too
  speech_seconds: float = float(schema.CLIP_SECONDS)  # length of a clip's speech, s

  @property
  def samples(self) -> int:
    """Length of a clip's speech in samples, an even number."""
    return round(self.speech_seconds * schema.SAMPLE_RATE / 2) * 2


@dataclasses.dataclass(frozen=True)
class VideoReport:
  """The result of cutting a video."""

  video: str  # path of the video below the folder of videos
  clips: int = 0
  # Number of pictures that were searched for a face, with enough speech around them.
  looked_at: int = 0
  several: int = 0  # number of pictures with more than one face
  seconds: float = 0.0  # time from the first picture to the last, s
  problem: str = ""  # reason why there are fewer clips than there should be; empty if there is none


def cut(video: Video, out: str, settings: Settings) -> VideoReport:
  """Writes a video's clips into a folder of its own, which appears whole or not at all.

  A video that was cut before and has not changed since is not opened again.

  Raises:
    UserError: The folder cannot be written.
  """
  folder = folder_of(video, out)
  if video.problem:
    return VideoReport(video.name, problem=video.problem)
  found = os.stat(video.path)
  stamp = [VERSION, found.st_size, found.st_mtime_ns, *dataclasses.astuple(settings)]
  done = read_done(folder)
  if done and done["stamp"] == stamp:
    return VideoReport(**done["report"])
  with atomically(folder) as incomplete:
    incomplete.mkdir()
    report, clips = _cut(video, incomplete, settings)
    lines = [dataclasses.asdict(clip) for clip in clips]
    content = {"stamp": stamp, "report": dataclasses.asdict(report), "clips": lines}
    write_whole(incomplete / DONE, json.dumps(content))
  return report


def folder_of(video: Video, out: str) -> Path:
  """Returns the folder of a video's clips."""
  return Path(out, manifest.MEDIA, video.name)


def read_done(folder: Path) -> dict[str, Any]:
  """Returns what `cut` wrote about a video, or an empty dictionary if it was not cut."""
  try:
    done = from_json((folder / DONE).read_text())
  except (FileNotFoundError, NotADirectoryError, ValueError):  # it was not cut, or is damaged
    return {}
  whole = isinstance(done, dict) and {"stamp", "report", "clips"} <= done.keys()
  return done if whole else {}


def _cut(video: Video, folder: Path, settings: Settings) -> tuple[VideoReport, list[manifest.Clip]]:
  clips: list[manifest.Clip] = []
  looked_at, seconds, several, problems = 0, 0.0, 0, []
  try:
    contents = media.read(video.path)
    problems += contents.notes
    seconds = float((contents.shown[-1] - contents.shown[0]) * contents.tick)
    chosen = wanted(contents, settings)
    for pts, picture in media.pictures(video.path, chosen):
      looked_at += 1
      face = faces.find(picture.gray(), settings.confidence)
      if face:
        several += face.others > 0
        time = float(pts * contents.tick)
        clips.append(_write(video, folder, time, picture, face, contents, settings))
    if looked_at < len(chosen):
      problems.append(f"{len(chosen) - looked_at} pictures cannot be decoded")
    if not chosen:
      problems.append(
        f"no picture with {settings.speech_seconds:g} s of speech around it in {seconds:.1f} s"
      )
    elif not clips:
      problems.append(f"no faces in {looked_at} pictures")
  except media.UnusableError as error:
    problems.append(str(error))
  report = VideoReport(
    video.name, len(clips), looked_at, several, round(seconds, 3), "; ".join(problems)
  )
  return report, clips


def wanted(contents: media.Contents, settings: Settings) -> set[int]:
  """Returns the presentation timestamps of the pictures to search for faces, in ticks.

  They are the first pictures at or after each multiple of 1 / `settings.rate` seconds that have
  complete speech around them.
  """
  chosen, following = set(), -math.inf
  ticks = float(contents.tick) * settings.rate
  for pts in contents.shown:
    tick = math.floor(pts * ticks + 1e-6)  # timestamps are rounded
    if tick >= following:
      if contents.speech_around(float(pts * contents.tick), settings.samples) is not None:
        chosen.add(pts)
      following = tick + 1
  return chosen


def _write(
  video: Video,
  folder: Path,
  time: float,
  picture: media.Picture,
  face: faces.Face,
  contents: media.Contents,
  settings: Settings,
) -> manifest.Clip:
  name = f"{round(time * 1000):08d}"
  where = f"{manifest.MEDIA}/{video.name}/{name}"
  pixels = picture.rgb()
  cropped, heard = face.cut(pixels), contents.speech_around(time, settings.samples)
  assert heard is not None
  (folder / f"{name}.jpg").write_bytes(images.encode_jpeg(cropped))
  if settings.frames:
    (folder / f"{name}.frame.jpg").write_bytes(images.encode_jpeg(pixels))
  audio.write_wav(folder / f"{name}.wav", heard)
  return manifest.Clip(
    id=f"{video.name}/{name}",
    identity=video.identity,
    gender="",  # `cut_all` adds it
    video=video.name,
    time=round(time, 6),
    box=face.box,
    confidence=face.confidence,
    face=f"{where}.jpg",
    speech=f"{where}.wav",
    frame=f"{where}.frame.jpg" if settings.frames else "",
    scores=scores.of_speech(heard) | scores.of_face(cropped) | {"faces": face.others + 1},
  )
