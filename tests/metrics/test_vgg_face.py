"""The paper's way to tell who is in a picture, on a made-up file of the published structure."""

import numpy as np
import pytest
import scipy.io
from scipy import signal

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.metrics import vgg_face

WIDTHS = ((2, 3), (4, 4), (5, 5, 6), (6, 6, 6), (7, 7, 7))
HIDDEN = (16, 12)
SPATIAL = 2  # of fc6: 64 px; 7 in the published file


def _cell(parts):
  cell = np.empty((1, len(parts)), object)
  for i, part in enumerate(parts):
    cell[0, i] = part
  return cell


def _file(path, released_as="net", **changes):
  """As MatConvNet saves it: layers are cells of structs, kernels [h, w, in, out]."""
  rng = np.random.default_rng(0)
  layers, inputs, weights = [], 3, {}
  names = [(f"conv{i}_{j}", 3, w) for i, b in enumerate(WIDTHS, 1) for j, w in enumerate(b, 1)]
  names += [("fc6", SPATIAL, HIDDEN[0]), ("fc7", 1, HIDDEN[1]), ("fc8", 1, 9)]
  for name, side, out in names:
    kernel = rng.standard_normal((side, side, inputs, out)).astype(np.float32)
    weights[name] = kernel / np.sqrt(side * side * inputs), rng.standard_normal((out, 1)) / 9
    of = changes.get(name, weights[name])
    layers.append({"type": "conv", "name": name, "weights": _cell(of), "pad": 1, "stride": 1})
    layers.append({"type": "relu", "name": f"relu{name[4:]}"})
    inputs = out
  mean = np.broadcast_to(np.float32([129, 105, 94]), (224, 224, 3))
  normalization = {"averageImage": mean, "imageSize": [224, 224, 3]}
  if released_as == "net":
    content = {"net": {"layers": _cell(layers), "normalization": normalization}}
  else:
    content = {"layers": _cell(layers), "meta": {"normalization": normalization}}
  scipy.io.savemat(path, content)
  return weights


def _by_hand(weights, face):
  """The descriptor with SciPy's correlations; the face has the network's size."""
  x = face.astype(np.float64) - [129, 105, 94]
  for i, block in enumerate(WIDTHS, 1):
    for j, _ in enumerate(block, 1):
      kernel, bias = weights[f"conv{i}_{j}"]
      x = np.stack(
        [
          sum(signal.correlate2d(x[..., c], kernel[..., c, o], "same") for c in range(x.shape[-1]))
          for o in range(kernel.shape[-1])
        ],
        -1,
      )
      x = np.maximum(x + bias[:, 0], 0)
    x = x.reshape(len(x) // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
  for name in ("fc6", "fc7"):
    kernel, bias = weights[name]
    x = np.maximum(x.reshape(-1) @ kernel.reshape(-1, len(bias)) + bias[:, 0], 0)
  return x / np.linalg.norm(x)


@pytest.mark.parametrize("released_as", ["net", "layers and meta"])
def test_the_network_computes_what_the_file_says(tmp_path, released_as):
  weights = _file(tmp_path / "vgg_face.mat", released_as)
  faces = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
  described = vgg_face.descriptor(tmp_path / "vgg_face.mat")(faces, "Faces")
  for face, features in zip(faces, described, strict=True):
    np.testing.assert_allclose(features, _by_hand(weights, face), atol=1e-5)


def test_the_new_last_layer_learns_who_is_who(tmp_path):
  _file(tmp_path / "vgg_face.mat")
  rng = np.random.default_rng(2)
  people = rng.integers(0, 256, (3, 32, 32, 3))
  identity = np.repeat(np.arange(3, dtype=np.int32), 12)
  faces = (people[identity] + rng.integers(-8, 8, (36, 32, 32, 3))).clip(0, 255).astype(np.uint8)
  name = vgg_face.fine_tuned(tmp_path / "vgg_face.mat", faces[::2], identity[::2])
  assert (name(faces[1::2], "Faces") == identity[1::2]).mean() > 0.9  # of a network so narrow


def test_other_files_are_refused_in_one_line(tmp_path):
  path = tmp_path / "vgg_face.mat"
  with pytest.raises(UserError, match="No such file"):
    vgg_face.read(path)
  path.write_bytes(b"no weights" * 100)
  with pytest.raises(UserError, match="not VGG-Face's weights"):
    vgg_face.read(path)
  scipy.io.savemat(path, {"x": 1})
  with pytest.raises(UserError, match="not VGG-Face's weights"):
    vgg_face.read(path)
  _file(path, conv2_1=(np.zeros((3, 3, 9, 4), np.float32), np.zeros((4, 1))))
  with pytest.raises(UserError, match="conv2_1 kernel is"):
    vgg_face.read(path)
