"""Weights and inputs that anyone can make again: what the numbers in data/release_*.npz rest on."""

import zlib
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"


def tensor(name, shape, salt, mean_shift):
  """One tensor of a release checkpoint in PyTorch's layout; `name` begins with "G." or "D."."""
  draw = np.random.RandomState(zlib.crc32(f"{salt}:{name}".encode()))
  leaf = name.rsplit(".", 1)[-1]
  if leaf == "num_batches_tracked":
    return np.zeros(shape)
  if leaf == "running_mean":
    return 0.05 * draw.standard_normal(shape)
  if leaf == "running_var":
    return 1 + 0.2 * draw.uniform(size=shape)
  if leaf == "weight" and ".bn." in name:
    return 1 + 0.05 * draw.standard_normal(shape)
  if leaf == "bias":
    return 0.05 * draw.standard_normal(shape)
  if leaf == "weight_bar":
    return 0.02 * (draw.standard_normal(shape) + mean_shift)
  fan = np.prod(shape[1:]) if len(shape) > 1 else shape[0]
  scale = 30 if name == "G.audio_embedding.fc.4.weight" else 1
  return scale / np.sqrt(fan) * draw.standard_normal(shape)


def inputs(image_size, audio_samples, salt, batch=4):
  """Speech [B, T], real and mismatched faces [B, S, S, 3], labels [B]."""
  draw = np.random.RandomState(zlib.crc32(f"{salt}:inputs".encode()))
  speech = draw.standard_normal((batch, audio_samples)).astype("f4") * 0.3
  face = draw.uniform(-1, 1, (batch, 3, image_size, image_size)).astype("f4")
  mismatched = draw.uniform(-1, 1, (batch, 3, image_size, image_size)).astype("f4")
  faces = (np.moveaxis(images, 1, -1) for images in (face, mismatched))
  return speech, *faces, draw.randint(0, 10, batch)


def load(image_size):
  """The release's numbers, and the state dicts of its two networks."""
  numbers = dict(np.load(DATA / f"release_{image_size}.npz"))
  salt, mean_shift = str(numbers["salt"]), float(numbers["mean_shift"])
  state_dicts = {"G": {}, "D": {}}
  for line in (DATA / "release_state_dict.txt").read_text().splitlines():
    size, network, key, dims = line.split()
    if int(size) == image_size:
      shape = () if dims == "scalar" else tuple(map(int, dims.split("x")))
      name = f"{network}.{key}"
      value = numbers[name] if name in numbers else tensor(name, shape, salt, mean_shift)
      state_dicts[network][key] = value
  return numbers, state_dicts["G"], state_dicts["D"]
