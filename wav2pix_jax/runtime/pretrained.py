"""Weights to give away: a folder with a config and a generator, which is read like a workdir."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import write_whole
from wav2pix_jax.runtime import run_config

WEIGHTS, STEP = "generator.safetensors", "step"
SHIPPED = Path(__file__).parents[1] / "pretrained" / "ten_speakers_64px"


def write(
  folder: Path, config: ConfigDict, speakers: list[str], variables: dict[str, Any], step: int
) -> None:
  """Writes the weights of a generator with their config and the names of the speakers.

  `config.json` is as in a workdir, without paths. `generator.safetensors` has the generator's
  variables by their names in the network: kernels in float16, everything else in float32.

  Raises UserError if the folder cannot be written.
  """
  config = config.copy_and_resolve_references()
  config.update({"dataset": {"data_dir": "data", "source": ""}})
  flat = flatten_dict(jax.device_get(variables), sep="/")
  tensors = {name: x.astype(np.float16 if x.ndim > 1 else np.float32) for name, x in flat.items()}
  content = safetensors.numpy.save(tensors, metadata={STEP: str(step)})
  run_config.write(folder, config, speakers, records={})
  write_whole(folder / WEIGHTS, content)


def read(folder: Path, abstract: dict[str, Any]) -> tuple[dict[str, Any], int]:
  """Returns the variables of a generator in float32, and the step of training they are of.

  Args:
    folder: As `write` made it.
    abstract: The names and shapes of the variables of the network that the config describes.

  Raises:
    UserError: The file is damaged, or of another network.
  """
  path = folder / WEIGHTS
  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
      step = int((file.metadata() or {}).get(STEP, 0))
  except (safetensors.SafetensorError, OSError, ValueError) as error:
    raise UserError(f"{path}: damaged ({error}); copy it anew.") from error
  expected = {name: x.shape for name, x in flatten_dict(abstract, sep="/").items()}
  found = {name: x.shape for name, x in tensors.items()}
  if found != expected:
    name = min(n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n))
    raise UserError(
      f"{path}: of another network than {folder / 'config.json'} says: {name} is "
      f"{found.get(name, 'missing')}, not {expected.get(name, 'in it')}."
    )
  return jax.device_put(unflatten_dict(tensors, sep="/")), step
