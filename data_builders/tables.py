"""Reads tables in CSV files, also as spreadsheets write them."""

import codecs
import csv
import re
from collections.abc import Sequence
from pathlib import Path

from wav2pix_jax.common.errors import UserError


def read_table(
  path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
  """Returns the rows of a CSV file with a header, by the names of columns, with their line numbers.

  It may be as spreadsheets write it: in UTF-8, UTF-16 or Windows-1252, with commas, semicolons or
  tabs, and with the names of columns in capitals or not, with spaces, hyphens or underscores. Cells
  are returned without the spaces around them; those of `optional` columns that are absent are "".

  Raises:
    UserError: The file cannot be read, or lacks some of `columns`, which are named.
  """
  try:
    text = _decoded(path.read_bytes())
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(text.splitlines(), delimiter=separator, skipinitialspace=True, strict=True)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"{path}: not a CSV file that can be read ({error}).") from error
  (_, found), *rows = [(number, row) for number, row in rows if any(row)] or [(1, [])]
  place = {_plain(name): i for i, name in enumerate(found)}
  missing = [column for column in columns if _plain(column) not in place]
  if missing:
    raise UserError(
      f"{path}: no column {', '.join(missing)}; the first line must contain {','.join(columns)}, "
      f"and is {','.join(found) or 'empty'}."
    )
  places = {column: place.get(_plain(column), len(found)) for column in (*columns, *optional)}
  return [
    (number, {name: row[i] if i < len(row) else "" for name, i in places.items()})
    for number, row in rows
  ]


def _decoded(content: bytes) -> str:
  """Returns a text file's text; raises UnicodeDecodeError."""
  if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
    return content.decode("utf-16")
  try:
    return content.decode("utf-8-sig")
  except UnicodeDecodeError:
    return content.decode("cp1252")


def _plain(name: str) -> str:
  return re.sub(r"[\s_-]+", "-", name.strip().casefold())
