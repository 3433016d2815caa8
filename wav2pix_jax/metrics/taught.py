"""Variables of networks that measure: taught once, then read from a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax
import jax
import safetensors.numpy

from wav2pix_jax.common.files import make_once


def taught(path: Path, teach: Callable[[], dict[str, Any]]) -> dict[str, Any]:
  """Returns what `teach` returns, a tree of arrays; from a `.safetensors` file if there is one.

  Raises UserError if the file cannot be written.
  """

  def make(incomplete: Path) -> None:
    tensors = flax.traverse_util.flatten_dict(jax.device_get(teach()), sep="/")
    safetensors.numpy.save_file(tensors, incomplete)

  make_once(path, make)
  return flax.traverse_util.unflatten_dict(safetensors.numpy.load_file(path), sep="/")
