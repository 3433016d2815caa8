"""What `--mode=doctor` found: a line for the terminal."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
  """One thing that was looked at."""

  what: str  # a word or two
  said: str  # what it is like
  remedy: str = ""  # what to do; empty where nothing has to be done

  def line(self) -> str:
    """Returns the finding as a line of text."""
    mark = "look" if self.remedy else "ok"
    return f"{mark:5} {self.what:15} {self.said}" + (f": {self.remedy}" if self.remedy else "")
