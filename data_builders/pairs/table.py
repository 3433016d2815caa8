"""Reads the table of pairs, and assigns its lines to splits."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data_builders import splits
from data_builders.prepare.videos import folder_problem
from data_builders.tables import read_table
from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import listed

COLUMNS = ("identity", "face", "speech")
OPTIONAL = ("gender", "video", "split", "time")
SPLITS = (*splits.SHARES, schema.UNSEEN)
LINE, IDENTITY = "line", "identity"  # how faces and speech are matched
SHOWN = 3  # problems in an error


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of the table."""

  number: int  # its number in the file
  identity: str
  face: str  # path of a picture, relative to the table; may be empty where `speech` is not
  speech: str  # path of a recording, relative to the table; may be empty where `face` is not
  gender: str  # empty where it is unknown
  video: str  # what the face and the speech are from; empty where it is unknown
  split: str  # one of `SPLITS`; empty where the table does not give it
  time: float | None  # time of the picture in the recording, seconds; None where it is unknown

  @property
  def item(self) -> splits.Item:
    """The line as `splits` takes it. The unit is the video, or else the recording or picture."""
    file = self.speech or self.face
    unit = f"{self.identity}\n{self.video or file}"
    return splits.Item(self.identity, unit, file, self.time or 0)


@dataclasses.dataclass
class Group:
  """The faces and the speech of an identity in a split."""

  faces: list[Line] = dataclasses.field(default_factory=list)
  speech: list[tuple[Line, int]] = dataclasses.field(default_factory=list)  # with its unit's number

  def __len__(self) -> int:
    """The number of pairs, in which each face and each recording appears."""
    return max(len(self.faces), len(self.speech)) if self.faces and self.speech else 0

  def add(self, line: Line, unit: int) -> None:
    """Adds a line's face and speech, whichever it has."""
    if line.face:
      self.faces.append(line)
    if line.speech:
      self.speech.append((line, unit))


Groups = dict[str, dict[str, Group]]  # by split and identity


@dataclasses.dataclass(frozen=True)
class Table:
  """What a table lists."""

  learned: list[str]  # names of the identities to learn, in the order of their labels
  unseen: list[str]  # names of the identities that are in no split but `unseen`
  groups: Groups  # those that have pairs
  genders: dict[str, str]  # by identity, where they are known
  problems: list[str]  # what is left out and why, a line each


def read(path: Path, match: str, unseen: Iterable[str]) -> Table:
  """Reads a table whose faces and speech are matched by `LINE` or by `IDENTITY`.

  Lines are assigned to splits by their column `split`. If no line of an identity to learn says
  `validation`, or `test`, that split is taken from the lines for training, see `splits.divide`.

  Args:
    path: The CSV file, with the columns `COLUMNS` and any of `OPTIONAL`.
    match: "line", where each line has a face and a recording, or "identity", where a line may have
      only one of them.
    unseen: Names of further identities that are in no split but `unseen`.

  Raises:
    UserError: The file cannot be read, lacks a column, or has fewer than two identities with pairs
      for training; or the unseen are not in it.
  """
  lines, problems = [], []
  for number, row in read_table(path, COLUMNS, OPTIONAL):
    try:
      lines.append(_line(path.parent, number, row, match))
    except ValueError as error:
      problems.append(f"line {number}: {error}")
  known = {line.identity for line in lines if line.split != schema.UNSEEN} - set(unseen)
  units = {unit: i for i, unit in enumerate(sorted({line.item.unit for line in lines}))}
  groups = _divided(
    [line for line in lines if line.identity in known and line.split != schema.UNSEEN], units
  )
  groups[schema.UNSEEN] = {line.identity: Group() for line in lines if line.identity not in known}
  for line in lines:
    if line.identity not in known:
      groups[schema.UNSEEN][line.identity].add(line, units[line.item.unit])
    elif line.split == schema.UNSEEN:
      problems.append(f"line {line.number}: {line.identity} is unseen here, and not elsewhere")
  problems += _pair(groups)
  hidden = sorted(groups[schema.UNSEEN])
  where = f"{path} ({listed(problems, SHOWN)})" if problems else str(path)
  learned = splits.learned(sorted([*groups[schema.TRAIN], *hidden]), {*hidden, *unseen}, where)
  genders = {line.identity: line.gender for line in reversed(lines) if line.gender}
  return Table(learned, hidden, groups, genders, problems)


def _line(folder: Path, number: int, row: dict[str, str], match: str) -> Line:
  """Returns the line of a row; raises ValueError where it cannot be used."""
  if problem := folder_problem(row["identity"]):  # recordings are written by these names
    raise ValueError(f"identity: {problem}")
  if row["split"] and row["split"] not in SPLITS:
    raise ValueError(f"the split is {row['split']!r}; choose from {', '.join(SPLITS)}")
  missing = [column for column in ("face", "speech") if not row[column]]
  if len(missing) > (match == IDENTITY):
    advice = "" if len(missing) > 1 else "; dataset.pairs.match=identity takes such lines"
    raise ValueError(f"no {' and no '.join(missing)}{advice}")
  for column in {"face", "speech"} - set(missing):
    if "\0" in row[column] or not (folder / row[column]).is_file():
      raise ValueError(f"there is no {column} {row[column]!r}")
  try:
    time = float(row["time"]) if row["time"] else None
  except ValueError:
    time = math.nan
  if time is not None and not 0 <= time < math.inf:
    raise ValueError(f"the time is {row['time']!r}; expected seconds, or nothing")
  return Line(number, **{**row, "time": time})  # type: ignore[arg-type]


def _divided(lines: Sequence[Line], units: Mapping[str, int]) -> Groups:
  """Returns the lines of the identities to learn by split and identity."""
  given = {line.split for line in lines}
  into = [split for split in splits.SHARES if split == schema.TRAIN or split not in given]
  fixed = [line for line in lines if line.split not in ("", schema.TRAIN)]
  free = [line for line in lines if line.split in ("", schema.TRAIN)]
  # Speech decides. Faces of the same videos go with it, and others are divided as it is.
  places = _places([line for line in free if line.speech], into, sparing=True)
  split_of: dict[str, str] = {}
  heard: dict[str, set[str]] = {line.identity: {schema.TRAIN} for line in lines}
  for line, split in places:
    split_of.setdefault(line.item.unit, split)
    heard[line.identity].add(split)
  apart: dict[str, list[Line]] = {}
  for line in free:
    if not line.speech and line.item.unit in split_of:
      places.append((line, split_of[line.item.unit]))
    elif not line.speech:
      apart.setdefault(line.identity, []).append(line)
  for name, own in apart.items():
    places += _places(own, [split for split in into if split in heard[name]])
  groups: Groups = {split: {line.identity: Group() for line in lines} for split in splits.SHARES}
  for line in fixed:
    groups[line.split][line.identity].add(line, units[line.item.unit])
  for line, split in places:  # the parts of what is split by time are units of their own
    part = list(splits.SHARES).index(split) if split_of.get(line.item.unit, split) != split else 0
    groups[split][line.identity].add(line, units[line.item.unit] + part * len(units))
  return groups


def _places(
  lines: Sequence[Line], into: Sequence[str], sparing: bool = False
) -> list[tuple[Line, str]]:
  """Returns each line that is kept with its split; see `splits.divide`."""
  places = splits.divide([line.item for line in lines], into, sparing)
  return [(line, place[0]) for line, place in zip(lines, places, strict=True) if place]


def _pair(groups: Groups) -> list[str]:
  """Removes groups without pairs, and returns what was removed and why.

  Held-out speech without a face goes with the faces for training.
  """
  problems = []
  for split, by_identity in groups.items():
    for name, group in list(by_identity.items()):
      trained = groups[schema.TRAIN].get(name, Group())
      if group.speech and not group.faces and trained.faces:
        group.faces = trained.faces
        problems.append(f"{name}: no face in {split}; those in train are taken")
      if not len(group):
        del by_identity[name]
        if group.faces or group.speech or split == schema.TRAIN:
          what = [
            what for what, has in (("face", group.faces), ("speech", group.speech)) if not has
          ]
          problems.append(f"{name}: no {' and no '.join(what)} in {split}")
      elif split != schema.UNSEEN and name not in groups[schema.TRAIN]:
        del by_identity[name]
  return problems
