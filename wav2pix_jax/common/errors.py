"""The exception for errors that the user can correct."""

from collections.abc import Sequence


class UserError(Exception):
  """An error whose message is one line: what was found, what was expected, and what to do.

  The command line prints it without a traceback and exits with `status`.
  """

  status = 2


class IncompleteError(UserError):
  """Some of what was asked for could not be done; everything else is done."""

  status = 1


def listed(names: Sequence[str], most: int = 20) -> str:
  """Returns names with commas, of which the first `most` are named and the others counted."""
  more = f" and {len(names) - most:,} more" if len(names) > most else ""
  return ", ".join(names[:most]) + more
