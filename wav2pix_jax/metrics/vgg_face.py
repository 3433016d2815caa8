"""The paper's judge of identity: VGG-Face, fine-tuned on real faces (section 5).

`vgg_face.mat` is published by Oxford's Visual Geometry Group for MatConvNet, and is not part of
this project. Its structure is known from code that reads it; it was never tried on the file itself.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.io

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.indices import in_batches
from wav2pix_jax.models.vgg16 import VggFace

BATCH = 16
STEPS, RATE = 500, 1e-2  # for the new last layer
_CONVOLUTION = re.compile(r"conv(\d)_(\d)")

Name = Callable[[np.ndarray, str], np.ndarray]


def fine_tuned(path: Path, faces: np.ndarray, identity: np.ndarray) -> Name:
  """Returns VGG-Face with a new last layer, trained on real faces; other layers stay as published.

  Args:
    path: The file `vgg_face.mat`.
    faces: Faces of everybody whom it shall distinguish, uint8 [N, S, S, 3].
    identity: Their labels, int32 [N].

  Returns:
    A function of faces, uint8 [M, S, S, 3], and a title for its progress bar, that returns labels,
    int32 [M].

  Raises:
    UserError: It is not such a file.
  """
  describe = descriptor(path)
  described = describe(faces, "Real faces for VGG-Face")
  mean, deviation = described.mean(0), described.std(0)
  deviation = deviation.clip(0.1 * deviation.mean())  # some are nearly always 0

  def seen(described: np.ndarray) -> np.ndarray:
    return (described - mean) / deviation

  features = seen(described)
  optimizer = optax.adam(RATE)
  kernel = jnp.zeros((features.shape[1], int(identity.max()) + 1))

  def loss(kernel):
    logits = features @ kernel
    return optax.softmax_cross_entropy_with_integer_labels(logits, identity).mean()

  @jax.jit
  def learn(kernel):
    def step(carry, _):
      kernel, opt_state = carry
      updates, opt_state = optimizer.update(jax.grad(loss)(kernel), opt_state)
      return (optax.apply_updates(kernel, updates), opt_state), None

    (kernel, _), _ = jax.lax.scan(step, (kernel, optimizer.init(kernel)), length=STEPS)
    return kernel

  learned = np.asarray(learn(kernel))
  return lambda faces, title: (seen(describe(faces, title)) @ learned).argmax(-1).astype(np.int32)


def descriptor(path: Path) -> Callable[[np.ndarray, str], np.ndarray]:
  """Returns VGG-Face as a function of faces and a title: float32 [N, C], norm 1; see `read`."""
  net, params, mean, size = read(path)

  @jax.jit
  def forward(faces):
    shape = (len(faces), size, size, 3)
    larger = jax.image.resize(faces.astype(jnp.float32), shape, "cubic").clip(0, 255)
    features: Any = net.apply({"params": params}, larger - mean)
    return [features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + 1e-12)]

  def describe(faces: np.ndarray, title: str) -> np.ndarray:
    return in_batches(lambda chosen: forward(faces[chosen]), len(faces), BATCH, title)[0]

  return describe


def read(path: Path) -> tuple[VggFace, dict[str, Any], np.ndarray, int]:
  """Returns network, parameters, mean colour [3] and image size of a `vgg_face.mat`.

  Raises UserError if it is not such a file.
  """
  try:
    return _read(path)
  except OSError as error:
    raise UserError(f"{path}: {error.strerror or error}; name a vgg_face.mat.") from error
  except (ValueError, AttributeError, KeyError, TypeError, NotImplementedError) as error:
    reason = str(error).partition("\n")[0]
    raise UserError(f"{path}: not VGG-Face's weights as published ({reason}).") from error


def _read(path: Path) -> tuple[VggFace, dict[str, Any], np.ndarray, int]:
  with path.open("rb") as file:
    content = scipy.io.loadmat(file, squeeze_me=True, struct_as_record=False)
  top = content.get("net", None)
  # There are two releases of the same weights.
  layers = content["layers"] if top is None else top.layers
  normalization = (content["meta"] if top is None else top).normalization
  params: dict[str, Any] = {}
  widths: dict[int, dict[int, int]] = {}
  size = 0
  for layer in layers:
    name = str(layer.name)
    convolution = _CONVOLUTION.fullmatch(name)
    if convolution or name in ("fc6", "fc7"):
      kernel, bias = (np.asarray(part, np.float32) for part in layer.weights)
      if convolution:
        block, place = map(int, convolution.groups())
        widths.setdefault(block, {})[place] = bias.size
      elif name == "fc6":
        size = len(kernel) * 2 ** len(widths)  # the kernel covers what the poolings leave
      if not convolution:
        kernel = kernel.reshape(-1, bias.size)
      params[name] = {"kernel": kernel, "bias": bias.reshape(-1)}
  net = VggFace(
    tuple(tuple(block[j] for j in sorted(block)) for _, block in sorted(widths.items())),
    (params["fc6"]["bias"].size, params["fc7"]["bias"].size),
  )
  faces = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  wanted: Any = jax.eval_shape(net.init, jax.random.key(0), faces)["params"]
  for name, layer in wanted.items():
    for part, leaf in layer.items():
      if params[name][part].shape != leaf.shape:
        raise ValueError(f"{name} {part} is {params[name][part].shape}, not {leaf.shape}")
  mean = np.asarray(normalization.averageImage, np.float32)
  return net, params, mean.reshape(-1, 3).mean(0), size
