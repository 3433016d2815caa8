"""Variables of networks that measure: they ship, or are taught once, and are then read from a file.

Those of the dataset of `configs/demo.py` ship with the project (see `pretrained/judges`), so that
its first run does not have to wait for them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax
import jax
import safetensors.numpy

from data_builders.builder import PairsBuilder
from wav2pix_jax.common.files import make_once

SHIPPED = Path(__file__).parents[1] / "pretrained" / "judges"


def taught(builder: PairsBuilder, name: str, teach: Callable[[], dict[str, Any]]) -> dict[str, Any]:
  """Returns what `teach` returns, a tree of arrays; from a `.safetensors` file if there is one.

  Args:
    builder: The prepared dataset that `teach` learns from.
    name: The file's name without `.safetensors`. It changes with whatever changes the result, but
      for the dataset and its version.
    teach: Called if the file neither ships nor lies beside the dataset, where it is written then.

  Raises:
    UserError: The file cannot be written.
  """

  def make(incomplete: Path) -> None:
    tensors = flax.traverse_util.flatten_dict(jax.device_get(teach()), sep="/")
    safetensors.numpy.save_file(tensors, incomplete)

  path = SHIPPED / builder.info.full_name / f"{name}.safetensors"
  if not path.exists():
    path = Path(builder.data_dir) / "judges" / path.name
    make_once(path, make)
  return flax.traverse_util.unflatten_dict(safetensors.numpy.load_file(path), sep="/")
