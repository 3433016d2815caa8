"""The one exception that is the user's to mend, not the programmer's."""


class UserError(Exception):
  """One line that says what came, what was expected and what to do.

  `main.py` prints it without a traceback and leaves with exit status 2.
  """
