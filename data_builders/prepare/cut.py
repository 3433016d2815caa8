"""One video to its clips: what every worker does, here or on a cluster."""

import dataclasses
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

from data_builders.prepare import faces, manifest, media, scores
from data_builders.prepare.videos import Video
from wav2pix_jax.common import audio, images
from wav2pix_jax.common.files import INCOMPLETE, write_whole, writing

DONE = "video.json"


@dataclasses.dataclass(frozen=True)
class Settings:
  """What clips depend on, beside the videos.

  Attributes:
    rate: faces looked for, each second.
    confidence: of the detector, at least.
    frames: whether whole pictures are kept.
  """

  rate: float
  confidence: float
  frames: bool


@dataclasses.dataclass(frozen=True)
class VideoReport:
  """What became of a video.

  Attributes:
    video: path below the folder of videos.
    clips: how many it gave.
    looked_at: pictures in which a face was looked for: those with 4 s of speech around them.
    several: pictures with more than one face.
    seconds: from its first picture to its last.
    problem: why it gave fewer clips than it should; empty where all is well.
  """

  video: str
  clips: int = 0
  looked_at: int = 0
  several: int = 0
  seconds: float = 0.0
  problem: str = ""


def cut(video: Video, out: str, settings: Settings) -> VideoReport:
  """Writes a video's clips into a folder of its own, which appears whole or not at all.

  A video that was cut before, as it is and with these settings, is not opened again.

  Raises:
    UserError: the folder cannot be written.
  """
  folder = folder_of(video, out)
  if video.problem:
    return VideoReport(video.name, problem=video.problem)
  stamp = _stamp(video, settings)
  done = read_done(folder)
  if done and done["stamp"] == stamp:
    return VideoReport(**done["report"])
  incomplete = folder.with_name(f"{folder.name}.{INCOMPLETE}")
  with writing(folder):
    shutil.rmtree(incomplete, ignore_errors=True)
    incomplete.mkdir(parents=True)
  try:
    try:
      report, clips = _cut(video, incomplete, settings)
    except PermissionError as error:
      return VideoReport(video.name, problem=f"cannot be opened ({error.strerror})")
    lines = [dataclasses.asdict(clip) for clip in clips]
    content = {"stamp": stamp, "report": dataclasses.asdict(report), "clips": lines}
    write_whole(incomplete / DONE, json.dumps(content))
    with writing(folder):
      shutil.rmtree(folder, ignore_errors=True)
      incomplete.rename(folder)
  finally:
    shutil.rmtree(incomplete, ignore_errors=True)
  return report


def folder_of(video: Video, out: str) -> Path:
  """Where a video's clips are."""
  return Path(out, manifest.MEDIA, video.name)


def read_done(folder: Path) -> dict[str, Any]:
  """What `cut` wrote of a video; empty where it did not."""
  try:
    return json.loads((folder / DONE).read_text())
  except (FileNotFoundError, NotADirectoryError):
    return {}


def _stamp(video: Video, settings: Settings) -> list:
  """Changes where the clips would."""
  found = os.stat(video.path)
  return [found.st_size, found.st_mtime_ns, *dataclasses.astuple(settings)]


def _cut(video: Video, folder: Path, settings: Settings) -> tuple[VideoReport, list[manifest.Clip]]:
  clips: list[manifest.Clip] = []
  looked_at, seconds, several, problems = 0, 0.0, 0, []
  try:
    contents = media.read(video.path)
    problems += contents.notes
    seconds = float((contents.shown[-1] - contents.shown[0]) * contents.tick)
    chosen = wanted(contents, settings.rate)
    for pts, picture in media.pictures(video.path, chosen):
      looked_at += 1
      face = faces.find(picture.gray(), settings.confidence)
      if face:
        several += face.others > 0
        time = float(pts * contents.tick)
        clips.append(_write(video, folder, time, picture, face, contents.speech, settings))
    if looked_at < len(chosen):
      problems.append(f"{len(chosen) - looked_at} pictures cannot be decoded")
    if not chosen:
      problems.append(f"no picture with 4 s of speech around it in {seconds:.1f} s")
    elif not clips:
      problems.append(f"no faces in {looked_at} pictures")
  except media.UnusableError as error:
    problems.append(str(error))
  problem = "; ".join(problems)
  return VideoReport(video.name, len(clips), looked_at, several, round(seconds, 3), problem), clips


def wanted(contents: media.Contents, rate: float) -> set[int]:
  """When the pictures to look at are shown, in ticks.

  They are the first from each multiple of 1 / `rate` seconds on, if there is all speech around it.
  """
  chosen, following = set(), -math.inf
  ticks = float(contents.tick) * rate
  for pts in contents.shown:
    tick = math.floor(pts * ticks + 1e-6)  # timestamps are rounded
    if tick >= following:
      if contents.speech.around(float(pts * contents.tick)) is not None:
        chosen.add(pts)
      following = tick + 1
  return chosen


def _write(
  video: Video,
  folder: Path,
  time: float,
  picture: media.Picture,
  face: faces.Face,
  speech: media.Speech,
  settings: Settings,
) -> manifest.Clip:
  """Raises UserError where it cannot."""
  name = f"{round(time * 1000):08d}"
  where = f"{manifest.MEDIA}/{video.name}/{name}"
  pixels = picture.rgb()
  cropped, heard = face.cut(pixels), speech.around(time)
  assert heard is not None
  with writing(folder):
    (folder / f"{name}.jpg").write_bytes(images.encode_jpeg(cropped))
    if settings.frames:
      (folder / f"{name}.frame.jpg").write_bytes(images.encode_jpeg(pixels))
  audio.write_wav(folder / f"{name}.wav", heard)
  return manifest.Clip(
    id=f"{video.name}/{name}",
    identity=video.identity,
    gender="",  # of `identities.csv`, which may change
    video=video.name,
    time=round(time, 6),
    box=face.box,
    confidence=face.confidence,
    face=f"{where}.jpg",
    speech=f"{where}.wav",
    frame=f"{where}.frame.jpg" if settings.frames else "",
    scores=scores.of_speech(heard) | scores.of_face(cropped) | {"faces": face.others + 1},
  )
