"""Writes a table of pairs from folders of pictures and recordings."""

import collections
import csv
import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import tqdm
from PIL import Image

from data_builders.pairs import pictures, table
from data_builders.prepare import faces, videos
from wav2pix_jax.common import images
from wav2pix_jax.common.errors import UserError, listed
from wav2pix_jax.common.files import write_whole

CONFIDENCE = 3.0  # least confidence of a face to crop, as of `prepare clips`
RECORDINGS = (
  *(".aac", ".aif", ".aiff", ".amr", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus"),
  *(".wav", ".wma"),
  *videos.SUFFIXES,
)


@dataclasses.dataclass(frozen=True)
class File:
  """A picture or a recording."""

  path: Path
  name: str  # path below the folder of all, without the suffix, with `/`

  @property
  def identity(self) -> str:
    """Name of the person, the first folder of the path."""
    return self.name.split("/")[0]

  @property
  def video(self) -> str:
    """The folder in that of the identity, which stands for a video; "" if there is none."""
    parts = self.name.split("/")
    return parts[1] if len(parts) > 2 else ""


@dataclasses.dataclass(frozen=True)
class Report:
  """What was written."""

  identities: int  # people with both
  together: int  # lines with a face and a recording
  apart: int  # lines with one of them
  one_sided: list[str]  # people who have only faces, or only recordings, and are left out
  problems: list[str]  # pictures that could not be cropped, a line each


def make(face_folder: Path, speech_folder: Path, out: Path, align: bool) -> Report:
  """Writes a table with a line for each picture and recording of people who have both.

  A picture and a recording with the same path but for the suffix share a line. The first folder of
  a path is the person, the second, if the file is not directly in the first, a video.

  Args:
    face_folder: Folder with a folder of pictures for each person, at any depth.
    speech_folder: The same for recordings; it may be the same folder.
    out: The CSV file. Paths in it are relative to its folder. Genders are from `identities.csv` in
      either folder, if there is one.
    align: Whether to crop each picture to its most confident face, into a folder `aligned` beside
      the table. Pictures without a face are left out.

  Raises:
    UserError: A folder does not exist or has no file of its kind, or nobody has both.
  """
  suffixes = tuple(Image.registered_extensions())
  seen, heard = (
    _find(face_folder, "faces", "pictures", suffixes),
    _find(speech_folder, "speech", "recordings", RECORDINGS),
  )
  people = [{file.identity for file in found} for found in (seen, heard)]
  both = people[0] & people[1]
  if not both:
    raise UserError(
      f"--faces={face_folder} and --speech={speech_folder} have no person in common, by the names "
      f"of their folders, such as {min(people[0])!r} and {min(people[1])!r}."
    )
  seen = [file for file in seen if file.identity in both]
  problems: list[str] = []
  if align:
    seen, problems = _aligned(seen, out.parent / "aligned")
  genders = videos.read_genders(face_folder) | videos.read_genders(speech_folder)
  lines: dict[tuple[str, int], dict[str, str]] = {}
  together = 0
  for column, found in (("face", seen), ("speech", heard)):
    times: collections.Counter[str] = collections.Counter()
    for file in found:
      if file.identity in both:
        path = os.path.relpath(file.path, out.parent)
        key = file.name, times[file.name]  # two suffixes of one name are two lines
        times[file.name] += 1
        together += key in lines
        line = lines.setdefault(key, {"identity": file.identity, "video": file.video})
        line[column] = Path(path).as_posix()
        line["gender"] = genders.get(file.identity, "")
  _write(out, [lines[key] for key in sorted(lines)])
  return Report(len(both), together, len(lines) - together, sorted(people[0] ^ people[1]), problems)


def summary(report: Report, out: Path) -> str:
  """Returns what was written, what is left out, and how to train on it."""
  text = [
    f"{out}: {report.identities:,} people; {report.together:,} lines with a picture and a "
    f"recording, {report.apart:,} with one of them."
  ]
  if report.one_sided:
    one_sided = listed(report.one_sided, 10)
    text.append(f"{len(report.one_sided):,} people without both are left out: {one_sided}.")
  if report.problems:
    text += [f"{len(report.problems):,} pictures are left out:", *report.problems]
  match = f" --config.dataset.pairs.match={table.IDENTITY}" if report.apart else ""
  text.append(f"Train with --config=voices --config.dataset.source={out}{match}.")
  return "\n".join(text)


def _find(folder: Path, flag: str, kind: str, suffixes: Sequence[str]) -> list[File]:
  """Returns the files with one of the suffixes in a folder's subfolders, sorted by name."""
  if not folder.is_dir():
    raise UserError(f"--{flag}={folder}: no such folder; expected a folder for each person.")
  found = []
  for where, folders, files in os.walk(folder, followlinks=True):
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    for name in files if Path(where) != folder else ():
      path = Path(where, name)
      if path.suffix.lower() in suffixes and not name.startswith("."):
        found.append(File(path, path.relative_to(folder).with_suffix("").as_posix()))
  if not found:
    raise UserError(
      f"--{flag}={folder}: no {kind} in it; they must be in a folder for each person, as in "
      f"{folder / 'NAME' / f'FILE{suffixes[-1]}'}."
    )
  return sorted(found, key=lambda file: (file.name, file.path.suffix))


def _aligned(seen: Sequence[File], out: Path) -> tuple[list[File], list[str]]:
  """Returns the cropped faces, written below `out`, and the problems."""
  cropped, problems = [], []
  for file in tqdm.tqdm(seen, "Cropping faces", unit=" pictures"):
    try:
      with Image.open(file.path) as image:
        picture = pictures.rgb(image)
    except pictures.UNREADABLE as error:
      reason = str(error).partition("\n")[0]
      problems.append(f"{file.path}: no picture that can be read ({reason})")
      continue
    face = faces.find(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), CONFIDENCE)
    if not face:
      problems.append(f"{file.path}: no face found")
      continue
    path = out / f"{file.name}{file.path.suffix.lower().replace('.', '_')}.jpg"
    write_whole(path, images.encode_jpeg(face.cut(picture)))
    cropped.append(File(path, file.name))
  return cropped, problems


def _write(out: Path, lines: Sequence[dict[str, str]]) -> None:
  columns = [*table.COLUMNS, *table.OPTIONAL[:2]]
  text = io.StringIO()
  writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
  writer.writeheader()
  writer.writerows(lines)
  write_whole(out, text.getvalue())
