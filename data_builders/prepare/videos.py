"""Which videos there are, and whose they are."""

import csv
import dataclasses
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import write_whole

IDENTITIES = "identities.csv"
NAME, GENDER = "Name", "Gender"
SUFFIXES = (
  *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
  *(".ogv", ".ts", ".webm", ".wmv"),
)


@dataclasses.dataclass(frozen=True)
class Video:
  """A video to be cut.

  Attributes:
    folder: of all videos.
    name: path below it, with `/`: `identity/...`.
    size: bytes; 0 where it cannot be read.
    problem: why it is not to be opened; empty where it may.
  """

  folder: str
  name: str
  size: int
  problem: str = ""

  @property
  def path(self) -> Path:
    """Of the file."""
    return Path(self.folder, self.name)

  @property
  def identity(self) -> str:
    """Whose it is."""
    return self.name.split("/")[0]


def find(folder: Path) -> list[Video]:
  """The videos in the folders of `folder`, each an identity's, at any depth, in order of names.

  Hidden folders are passed over. Links that lead out of `folder` are found and not followed.

  Raises:
    UserError: no such folder, or no video in it.
  """
  if not folder.is_dir():
    raise UserError(f"--videos={folder}: no such folder; name one that holds IDENTITY/VIDEO.")
  root = folder.resolve()
  found = []
  for where, folders, files in os.walk(root):
    folders[:] = [name for name in folders if not name.startswith(".")]
    links = [name for name in folders if Path(where, name).is_symlink()]
    if where == str(root):
      files = []  # nobody's
    for name in [*links, *files]:
      path = Path(where, name)
      if name in links or path.suffix.lower() in SUFFIXES:
        video = _video(root, path)
        if video.problem or path.is_file():
          found.append(video)
  if not found:
    raise UserError(
      f"--videos={folder}: no videos in it; they go into a folder for each identity, as in "
      f"{folder / 'NAME' / 'VIDEO.mp4'}."
    )
  return sorted(found, key=lambda video: video.name)


def _video(root: Path, path: Path) -> Video:
  name = path.relative_to(root).as_posix()
  if path.is_symlink() and not path.resolve().is_relative_to(root):
    return Video(str(root), name, 0, f"a link that leads out of the folder, to {path.resolve()}")
  try:
    return Video(str(root), name, path.stat().st_size)
  except OSError as error:
    return Video(str(root), name, 0, f"cannot be opened ({error.strerror})")


def read_genders(folder: Path) -> dict[str, str]:
  """Genders by identity, as `identities.csv` has them; empty where there is no such file.

  Raises:
    UserError: a file that is not a table with Name and Gender.
  """
  path = folder / IDENTITIES
  if not path.exists():
    return {}
  return {row[NAME].strip(): row[GENDER].strip() for row in read_table(path, (NAME, GENDER))}


def write_genders(folder: Path, genders: dict[str, str]) -> None:
  """Writes `identities.csv`, keeping who else is in it.

  Raises:
    UserError: as `read_genders`; or it cannot be written.
  """
  rows = [{NAME: name, GENDER: of} for name, of in (read_genders(folder) | genders).items()]
  write_whole(folder / IDENTITIES, table((NAME, GENDER), rows))


def read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
  """Rows of a CSV file with a header, in UTF-8, with or without a byte order mark.

  Raises:
    UserError: it cannot be read, or lacks columns; they are named.
  """
  try:
    text = path.read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines(), skipinitialspace=True, restval="", strict=True))
    header = next(csv.reader(text.splitlines()), [])
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"{path}: not a CSV file in UTF-8 that can be read ({error}).") from error
  missing = [column for column in columns if column not in (name.strip() for name in header)]
  if missing:
    raise UserError(
      f"{path}: no column {', '.join(missing)}; its first line must have {','.join(columns)}, and "
      f"has {','.join(header) or 'nothing'}."
    )
  return [{(key or "").strip(): str(value) for key, value in row.items()} for row in rows]


def table(columns: tuple[str, ...], rows: Iterable[dict[str, str]]) -> str:
  """A CSV file's text."""
  lines = [columns, *(tuple(row[column] for column in columns) for row in rows)]
  return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def _quoted(cell: str) -> str:
  return '"' + cell.replace('"', '""') + '"' if set(cell) & set('",\r\n') else cell


def folder_problem(name: str) -> str:
  """Why a name cannot be that of an identity's folder; empty where it can."""
  if not name:
    return "no name"
  if name.startswith(".") or set(name) & set("/\\"):
    return f"the name {name!r} would lead out of the folder"
  if any(unicodedata.category(letter) == "Cc" for letter in name):
    return f"the name {name!r} has control characters"
  if len(name.encode()) > 200:
    return f"the name {name[:20]!r}... is longer than 200 bytes"
  return ""
