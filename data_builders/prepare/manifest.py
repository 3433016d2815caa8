"""The manifest of clips, a file with one JSON object per line."""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import from_json, write_whole

MANIFEST = "manifest.jsonl"  # all clips
CURATED = "curated.jsonl"  # the clips that `curate` kept
MEDIA = "media"  # the folder of their faces and speech


@dataclasses.dataclass(frozen=True)
class Clip:
  """A line of the manifest."""

  id: str  # unique name, `identity/video/milliseconds`
  identity: str  # name of the speaker, the first folder of the video's path
  gender: str  # gender from `identities.csv`; empty if it is unknown
  video: str  # path of the video below the folder of videos
  time: float  # presentation time of the face, the middle of the speech, seconds
  # Left, top, width and height of the face in the upright picture, pixels.
  box: tuple[int, int, int, int]
  confidence: float  # confidence of the face detector
  face: str  # path of the cropped face below the manifest's folder, a JPEG file
  speech: str  # path of the speech, a WAV file at 16 kHz, mono, int16
  frame: str  # path of the whole picture, a JPEG file; empty if it was not kept
  scores: dict[str, float]  # scores of `scores.py` by name
  language: str = ""  # language of the sound, where the video's metadata name it

  @property
  def source(self) -> str:
    """The unit of the splits: the video, or the first folder below the identity's."""
    return "/".join(self.video.split("/")[:2])


def write(path: Path, clips: Iterable[Clip]) -> None:
  """Writes a manifest, whole or not at all; raises UserError if it cannot be written."""
  write_json_lines(path, map(dataclasses.asdict, clips))


def write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
  """Writes a line of JSON for each row, whole or not at all; raises UserError if it cannot."""
  write_whole(path, "".join(f"{json.dumps(row)}\n" for row in rows))


def read(path: Path) -> list[Clip]:
  """Reads a manifest.

  Raises:
    UserError: There is no manifest, or a line of it, which is named, is not a clip.
  """
  try:
    lines = path.read_text().splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(
      f"{path}: no manifest that can be read; python -m data_builders.prepare clips writes one."
    ) from error
  clips = []
  for number, line in enumerate(lines, 1):
    try:
      clips.append(of_fields(from_json(line)))
    except (KeyError, TypeError, ValueError) as error:
      raise UserError(
        f"{path}, line {number}: not a clip ({error}); python -m data_builders.prepare clips "
        "writes the file again."
      ) from error
  return clips


def of_fields(fields: dict[str, Any]) -> Clip:
  """Returns the clip of a line's fields, or raises KeyError, TypeError or ValueError.

  Names of identities and clips that are in no encoding, as those of folders may be, are escaped.
  """
  left, top, width, height = fields["box"]
  clip = Clip(**fields | {"box": (left, top, width, height)})
  for field in dataclasses.fields(clip):
    value = getattr(clip, field.name)
    if field.type is str and not isinstance(value, str):
      raise ValueError(f"{field.name} is {value!r}, not text")
  numbers = [clip.time, clip.confidence, *clip.box, *dict(clip.scores).values()]
  if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
    raise ValueError("a time, a box or a score is not a number")
  if "/" in clip.identity or clip.identity in ("", ".", ".."):
    raise ValueError(f"the identity {clip.identity!r} is no name")
  for path in (clip.face, clip.speech, clip.frame):
    if Path(path).is_absolute() or ".." in Path(path).parts:
      raise ValueError(f"{path!r} leads out of the folder")
  return dataclasses.replace(clip, id=_escaped(clip.id), identity=_escaped(clip.identity))


def _escaped(name: str) -> str:
  return name.encode(errors="backslashreplace").decode()
