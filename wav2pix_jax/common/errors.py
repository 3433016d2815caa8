"""The exception for errors that the user can correct."""


class UserError(Exception):
  """An error whose message is one line: what was found, what was expected, and what to do.

  The command line prints it without a traceback and exits with `status`.
  """

  status = 2


class IncompleteError(UserError):
  """Some of what was asked for could not be done; everything else is done."""

  status = 1
