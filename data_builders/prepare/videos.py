"""Finds videos, and reads and writes the table of identities."""

import csv
import dataclasses
import io
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from data_builders.tables import read_table
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import from_json, write_whole

IDENTITIES = "identities.csv"
METADATA = ".info.json"  # ends the name of the file with a video's metadata, as of yt-dlp
NAME, GENDER = "Name", "Gender"
SUFFIXES = (
  *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
  *(".ogv", ".ts", ".webm", ".wmv"),
)


@dataclasses.dataclass(frozen=True)
class Video:
  """A video file."""

  folder: str  # the folder of all videos
  name: str  # path below `folder`, with `/`: `identity/...`
  size: int  # size in bytes; 0 if it cannot be read
  problem: str = ""  # reason why the video must not be opened; empty if it may

  @property
  def path(self) -> Path:
    """Path of the file."""
    return Path(self.folder, self.name)

  @property
  def identity(self) -> str:
    """Name of the speaker, the first folder of the path."""
    return self.name.split("/")[0]

  def language(self) -> str:
    """Returns the language that the metadata beside the video name, or ""."""
    try:
      about = from_json(self.path.with_name(self.path.stem + METADATA).read_text("utf-8"))
      return str(about.get("language") or "")
    except (OSError, ValueError, AttributeError):
      return ""


def find(folder: Path) -> list[Video]:
  """Returns the videos at any depth below a folder's subfolders, one per identity, sorted by name.

  Hidden folders are skipped. Links that lead out of `folder` are returned with a problem.

  Raises:
    UserError: There is no such folder, or no video in it.
  """
  if not folder.is_dir():
    raise UserError(f"--videos={folder}: no such folder; expected a folder with IDENTITY/VIDEO.")
  root = folder.resolve()
  found = []
  for where, folders, files in os.walk(root):
    folders[:] = [name for name in folders if not name.startswith(".")]
    links = [name for name in folders if Path(where, name).is_symlink()]
    if where == str(root):
      files = []  # they belong to no identity
    for name in [*links, *files]:
      path = Path(where, name)
      if name in links or path.suffix.lower() in SUFFIXES:
        video = _video(root, path)
        if video.problem or path.is_file():
          found.append(video)
  if not found:
    raise UserError(
      f"--videos={folder}: no videos in it; they must be in a folder for each identity, as in "
      f"{folder / 'NAME' / 'VIDEO.mp4'}."
    )
  return sorted(found, key=lambda video: video.name)


def _video(root: Path, path: Path) -> Video:
  name = path.relative_to(root).as_posix()
  try:
    size = path.stat().st_size
  except OSError as error:
    return Video(str(root), name, 0, f"cannot be opened ({error.strerror})")
  if path.is_symlink() and not path.resolve().is_relative_to(root):
    return Video(str(root), name, 0, f"a link that leads out of the folder, to {path.resolve()}")
  return Video(str(root), name, size)


def read_genders(folder: Path) -> dict[str, str]:
  """Returns the genders of `identities.csv` by identity; empty if there is no such file.

  Raises UserError if it is not a table with Name and Gender.
  """
  path = folder / IDENTITIES
  if not path.exists():
    return {}
  return {row[NAME]: row[GENDER] for _, row in read_table(path, (NAME, GENDER))}


def write_genders(folder: Path, genders: dict[str, str]) -> None:
  """Adds genders by identity to `identities.csv`, and keeps the other identities in it.

  Raises:
    UserError: The file is not a table with Name and Gender, or cannot be written.
  """
  write_identities(folder, (read_genders(folder) | genders).items())


def write_identities(folder: Path, genders: Iterable[tuple[str, str]]) -> None:
  """Writes `identities.csv` from names and genders; raises UserError if it cannot be written."""
  table = io.StringIO()
  csv.writer(table, lineterminator="\n").writerows([(NAME, GENDER), *genders])
  write_whole(folder / IDENTITIES, table.getvalue())


def folder_problem(name: str) -> str:
  """Returns the reason why a name cannot be that of an identity's folder; empty if it can."""
  if not name:
    return "no name"
  if name.startswith(".") or set(name) & set("/\\"):
    return f"the name {name!r} would lead out of the folder"
  if any(unicodedata.category(letter) == "Cc" for letter in name):
    return f"the name {name!r} has control characters"
  if len(name.encode()) > 200:
    return f"the name {name[:20]!r}... is longer than 200 bytes"
  return ""
