"""Splits that do not fit into memory, without TensorFlow.

TFDS sorts the records of a split by their keys. Above 1 GB, about 2,700 clips of 4 s, it does so in
a thousand files on disk, which it opens with TensorFlow's `tf.io.gfile`: all that it needs
TensorFlow for. `install` gives it ordinary files instead. The order of the records is the same.
"""

import os
import types
from typing import Any

from tensorflow_datasets.core import shuffle


class _Bucket:
  """A file to append to, which is open only while it is written: a thousand may be too many."""

  def __init__(self, path: os.PathLike[str]):
    self._path = path

  def write(self, data: bytes) -> None:
    with open(self._path, "ab") as file:
      file.write(data)

  def flush(self) -> None:
    """Does nothing, as everything has been written."""

  def close(self) -> None:
    """Does nothing, as the file is closed."""


class _NeverRaisedError(Exception):
  """In the place of an error of TensorFlow's."""


def _open(path: os.PathLike[str], mode: str) -> Any:
  return _Bucket(path) if mode == "wb" else open(path, mode)


def install() -> None:
  """Lets TFDS sort large splits with ordinary files, in this process."""
  gfile = types.SimpleNamespace(GFile=_open, exists=os.path.exists, remove=os.remove)
  errors = types.SimpleNamespace(ResourceExhaustedError=_NeverRaisedError)
  shuffle.tf = types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile), errors=errors)
