"""The manifest: which clips there are, a JSON object a line."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import write_whole

MANIFEST = "manifest.jsonl"  # every clip
CURATED = "curated.jsonl"  # those that `curate` kept, if it was used
MEDIA = "media"  # the folder with what they name


@dataclasses.dataclass(frozen=True)
class Clip:
  """A line of the manifest.

  Attributes:
    id: `identity/video/milliseconds`, unique.
    identity: who, by the first folder that the video is in.
    gender: as `identities.csv` has it; empty where it does not say.
    video: path of the video, below the folder of videos.
    time: presentation timestamp of the face, seconds; its speech goes from 2 s before to 2 s after.
    box: of the face in the upright picture: left, top, width, height, pixels.
    confidence: of the detector.
    face: path of the cropped face, a JPEG file, below the manifest's folder.
    speech: path of 4 s of speech, a WAV file, 16 kHz, mono, int16.
    frame: path of the whole picture, a JPEG file; empty where it was not asked for.
    scores: what `scores.py` says of face and speech.
  """

  id: str
  identity: str
  gender: str
  video: str
  time: float
  box: tuple[int, int, int, int]
  confidence: float
  face: str
  speech: str
  frame: str
  scores: dict[str, float]

  @property
  def source(self) -> str:
    """What the splits keep together: the video, or the first folder below the identity's."""
    return "/".join(self.video.split("/")[:2])


def write(path: Path, clips: Iterable[Clip]) -> None:
  """Writes a manifest, whole or not at all.

  Raises:
    UserError: it cannot be written.
  """
  write_whole(path, "".join(f"{json.dumps(dataclasses.asdict(clip))}\n" for clip in clips))


def read(path: Path) -> list[Clip]:
  """Reads a manifest.

  Raises:
    UserError: there is none, or a line that is no clip; by its number.
  """
  try:
    lines = path.read_text().splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(
      f"{path}: no manifest that can be read; python -m data_builders.prepare clips makes one."
    ) from error
  clips = []
  for number, line in enumerate(lines, 1):
    try:
      clips.append(from_json(json.loads(line)))
    except (KeyError, TypeError, ValueError) as error:
      raise UserError(
        f"{path}, line {number}: not a clip ({error}); python -m data_builders.prepare clips "
        "makes the file anew."
      ) from error
  return clips


def from_json(fields: dict[str, Any]) -> Clip:
  """A clip of a line's fields.

  Raises:
    KeyError, TypeError, ValueError: fields that are missing, or not a clip's.
  """
  left, top, width, height = fields["box"]
  return Clip(**fields | {"box": (left, top, width, height)})
