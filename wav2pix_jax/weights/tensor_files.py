"""Files of named tensors: .npz, .safetensors and PyTorch's .pth."""

import pickle
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from wav2pix_jax.common.errors import UserError

Tensors = dict[str, np.ndarray]
Text = dict[str, str]


def read(path: Path) -> tuple[Tensors, Text]:
  """Returns the tensors of a file by name, and the text in a `.safetensors` file.

  The file is `.npz` or `.safetensors`, or with PyTorch `.pth` or `.pt`, of which only tensors are
  unpickled. A prefix "module." of all names (`torch.nn.DataParallel`) is removed.

  Raises:
    UserError: There is no such file, it has another extension or is damaged, or PyTorch is missing.
  """
  if not path.is_file():
    raise UserError(f"{path}: no such file; name a checkpoint ({', '.join(READERS)}).")
  if path.suffix not in READERS:
    raise UserError(f"{path}: unsupported file extension; expected {', '.join(READERS)}.")
  try:
    tensors, text = READERS[path.suffix](path)
  except UserError:
    raise
  except Exception as error:  # noqa: BLE001, each library has its own errors
    reason = (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
    raise UserError(f"{path}: cannot be read ({reason}).") from error
  if tensors and all(name.startswith("module.") for name in tensors):
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
  return tensors, text


def safetensors_bytes(tensors: Tensors, text: Text) -> bytes:
  """Returns a `.safetensors` file with text."""
  return safetensors.numpy.save(tensors, metadata=text)


def _read_npz(path: Path) -> tuple[Tensors, Text]:
  with np.load(path, allow_pickle=False) as file:
    return dict(file), {}


def _read_safetensors(path: Path) -> tuple[Tensors, Text]:
  with safetensors.safe_open(path, framework="numpy") as file:
    return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_pth(path: Path) -> tuple[Tensors, Text]:
  try:
    import torch
  except ImportError as error:
    raise UserError(
      f"{path}: PyTorch is needed to read it, but is not installed; .npz and .safetensors do not "
      "need it."
    ) from error
  try:
    loaded = torch.load(path, map_location="cpu", weights_only=True)
  except pickle.UnpicklingError as error:
    raise UserError(
      f"{path}: damaged, or contains more than tensors; nothing else is ever loaded."
    ) from error
  return {name: tensor.numpy() for name, tensor in loaded.items()}, {}


READERS = {
  ".npz": _read_npz,
  ".safetensors": _read_safetensors,
  ".pth": _read_pth,
  ".pt": _read_pth,
}
