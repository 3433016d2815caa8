"""Argument types and exit statuses that the command lines of this package share."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import expanded

T = TypeVar("T")


def checked(
  convert: Callable[[str], T], accept: Callable[[T], bool], expected: str
) -> Callable[[str], T]:
  """Returns an argparse type that converts a text and refuses values out of range.

  `convert` and `accept` may raise ValueError or ZeroDivisionError, too. The error message says that
  the text is not what is expected.
  """

  def parse(text: str) -> T:
    try:
      value = convert(text)
      if accept(value):
        return value
    except (ValueError, ZeroDivisionError):
      pass
    raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")

  return parse


def path(text: str) -> Path:
  """Returns the path of an argument, with `~` expanded, as an argparse type."""
  try:
    return expanded(text)
  except UserError as error:
    raise argparse.ArgumentTypeError(str(error)) from error


count = checked(int, lambda number: number >= 1, "an integer of at least 1")


def exit_status(command: Callable[[], int]) -> int:
  """Runs a command and returns its exit status: 2 after a UserError, 130 after Ctrl-C."""
  try:
    return command()
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print("stopped; run the same command again to continue.", file=sys.stderr)
    return 130
