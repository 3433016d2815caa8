"""The generator as an ONNX graph, for runtimes without JAX.

It is written layer by layer with `onnx`: the converters from JAX on PyPI exclude the Orbax that
checkpoints need. Batch norm and spectral norm are constants in sampling, and become part of the
kernels. Maps are [B, C, H, W], as ONNX has them.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from jax import lax
from ml_collections import ConfigDict
from onnx import TensorProto, helper, numpy_helper

from wav2pix_jax.common import audio
from wav2pix_jax.models import log_mel_encoder
from wav2pix_jax.models.generator import Generator
from wav2pix_jax.models.log_mel_encoder import LogMelEncoder
from wav2pix_jax.models.speech_encoder import LEAKY_SLOPE, SpeechEncoder

OPSET, IR_VERSION = 18, 9  # what onnxruntime reads since 1.16
BATCH, NOISE = "B", "noise"

Variables = dict[str, Any]


def onnx_bytes(
  config: ConfigDict, speakers: list[str], generator: Generator, variables: Variables
) -> bytes:
  """Returns an ONNX file of a generator with its weights, for any batch size B.

  Inputs are `speech` float32 [B, T], windows of 16 kHz mono at any level, which the graph
  conditions; and `noise` float32 [B, N], uniform in [0, 1), by which faces vary. With the same
  row a face keeps its look, as all frames of a talking face should. N is `noise_size`.

  Outputs are `faces` uint8 [B, S, S, 3], `embedding` float32 [B, E], and `logits` float32
  [B, speakers]. The metadata has the speakers' names, one a line.
  """
  graph = _Graph()
  embedding = _encode(graph, config, generator, variables)
  logits = _classify(graph, generator, variables, embedding)
  if generator.prototypes:
    columns = np.asarray(variables["params"]["classifier"]["dense1"]["kernel"])
    mean = graph.add("MatMul", graph.add("Softmax", logits, axis=1), columns.T)
    embedding = _rms_normalise(graph, mean)
  outputs = {
    "faces": _draw(graph, generator, variables, embedding),
    "embedding": embedding,
    "logits": logits,
  }
  for name, value in outputs.items():
    graph.nodes.append(helper.make_node("Identity", [value], [name]))
  size, embedding_size = config.image_size, config.model.embedding
  inputs = {"speech": [config.dataset.window_samples], NOISE: [noise_size(generator)]}
  shapes = {"faces": [size, size, 3], "embedding": [embedding_size], "logits": [len(speakers)]}
  model = helper.make_model(
    helper.make_graph(
      graph.nodes,
      "wav2pix",
      [_value(name, shape) for name, shape in inputs.items()],
      [_value(name, shape) for name, shape in shapes.items()],
      graph.constants,
    ),
    opset_imports=[helper.make_opsetid("", OPSET)],
    ir_version=IR_VERSION,
    producer_name="wav2pix_jax",
  )
  helper.set_model_props(model, {"speakers": "\n".join(speakers)})
  onnx.checker.check_model(model, full_check=True)
  return model.SerializeToString()


def noise_size(generator: Generator) -> int:
  """Returns how many uniform numbers one face takes; at least 1, as an input."""
  return max(sum(int(np.prod(shape)) for shape in _varied(generator).values()), 1)


def _varied(generator: Generator) -> dict[str, tuple[int, ...]]:
  """Returns what is dropped out or noise, and its shape without the batch, in order."""
  up = generator.upsampler
  shapes: dict[str, tuple[int, ...]] = {}
  if up.dropout and up.dropout_embedding:
    shapes["embedding"] = (generator.encoder.embedding,)
  if up.noise:
    shapes[NOISE] = (up.noise,)
  for i, width in enumerate(up.widths[: up.dropout_layers if up.dropout else 0]):
    shapes[f"up{i}"] = (width, 4 * 2**i, 4 * 2**i)
  return shapes


class _Graph:
  """Nodes and constants, in the order in which they were added."""

  def __init__(self):
    self.nodes: list[onnx.NodeProto] = []
    self.constants: list[onnx.TensorProto] = []
    self._number = itertools.count()

  def add(self, operator: str, *inputs: str | np.ndarray | float, **attributes: Any) -> str:
    """Adds a node, with arrays among its inputs as constants; returns the name of its output."""
    names = [x if isinstance(x, str) else self._constant(np.asarray(x)) for x in inputs]
    out = f"{operator}_{next(self._number)}"
    self.nodes.append(helper.make_node(operator, names, [out], name=out, **attributes))
    return out

  def _constant(self, value: np.ndarray) -> str:
    name = f"constant_{next(self._number)}"
    array = value.astype(np.float32) if value.dtype.kind == "f" else value
    self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name


def _encode(graph: _Graph, config: ConfigDict, generator: Generator, variables: Variables) -> str:
  """Adds the speech encoder."""
  steps: dict[str, Callable[[_Graph, str], str]] = {
    audio.PEAK: _normalise_peak,
    audio.PREEMPHASIS: _pre_emphasise,
  }
  x = "speech"
  for step in config.dataset.audio_steps:
    x = steps[step](graph, x)
  x = graph.add("Unsqueeze", x, np.array([1]))
  encoder = generator.encoder
  if isinstance(encoder, LogMelEncoder):
    length = config.dataset.window_samples
    x = _encode_spectra(graph, encoder, variables, x, length)
  else:
    x = _encode_samples(graph, encoder, variables, x)
  return _rms_normalise(graph, x) if encoder.normalise else x


def _encode_samples(graph: _Graph, encoder: SpeechEncoder, variables: Variables, x: str) -> str:
  """Adds the paper's encoder, of speech [B, 1, T]."""
  for i in range(len(encoder.widths)):
    norm = f"norm{i}" if encoder.batch_norm else None
    kernel, bias = _folded(variables, "encoder", f"conv{i}", norm)
    x = graph.add("Conv", x, kernel.transpose(2, 1, 0), bias, strides=[4], pads=[6, 7])
    x = graph.add("LeakyRelu", x, alpha=LEAKY_SLOPE)
  x = graph.add("Transpose", x, perm=[0, 2, 1])  # our dense layer reads time first
  x = graph.add("Flatten", x)
  params = variables["params"]["encoder"]
  for i in range(3):
    x = _dense(graph, x, params[f"dense{i}"])
    x = graph.add("Relu", x) if i < 2 else x
  return x


def _encode_spectra(
  graph: _Graph, encoder: LogMelEncoder, variables: Variables, x: str, length: int
) -> str:
  """Adds the log-mel encoder, of speech [B, 1, T]; `length` is T. Maps are [B, C, frames]."""
  params, time = variables["params"]["encoder"], np.array([2])
  waves = log_mel_encoder.waves()  # [2, samples of a frame, frequencies]
  parts = [
    graph.add("Conv", x, wave.T[:, None], strides=[log_mel_encoder.STRIDE]) for wave in waves
  ]
  squares = [graph.add("Mul", part, part) for part in parts]
  filters = log_mel_encoder.filters() / log_mel_encoder.FLOOR
  x = graph.add("Conv", graph.add("Add", *squares), filters.T[..., None])
  x = graph.add("Log", graph.add("Add", x, 1.0))
  x = graph.add("Sub", x, graph.add("ReduceMean", x, np.array([1, 2])))
  scale, shift = _batch_norm(variables, "encoder", "norm")
  x = graph.add("Add", graph.add("Mul", x, scale[:, None]), shift[:, None])
  frames = (length - log_mel_encoder.FRAME) // log_mel_encoder.STRIDE + 1
  for i, (size, stride) in enumerate(log_mel_encoder.LAYERS):
    kernel, bias = _folded(variables, "encoder", f"conv{i}", f"norm{i}")
    (pads,) = lax.padtype_to_pads((frames,), (size,), (stride,), "SAME")
    x = graph.add("Conv", x, kernel.transpose(2, 1, 0), bias, strides=[stride], pads=pads)
    x, frames = graph.add("Relu", x), -(-frames // stride)
  attend, weigh = (np.asarray(params[name]["kernel"]).T[..., None] for name in ("attend", "weight"))
  hidden = graph.add("Tanh", graph.add("Conv", x, attend, np.asarray(params["attend"]["bias"])))
  weight = graph.add("Softmax", graph.add("Conv", hidden, weigh), axis=2)
  mean = graph.add("ReduceSum", graph.add("Mul", weight, x), time)
  apart = graph.add("Sub", x, mean)
  square = graph.add("Mul", weight, graph.add("Mul", apart, apart))
  variance = graph.add("ReduceSum", square, time, keepdims=0)
  pooled = [
    graph.add("Squeeze", mean, time),
    graph.add("Sqrt", graph.add("Max", variance, log_mel_encoder.LEAST_VARIANCE)),
  ]
  if encoder.middle:
    first = max(frames - log_mel_encoder.MIDDLE, 0) // 2
    end = np.array([first + log_mel_encoder.MIDDLE])
    middle = graph.add("Slice", x, np.array([first]), end, time)
    pooled.append(graph.add("Flatten", graph.add("Transpose", middle, perm=[0, 2, 1])))
  x = graph.add("Concat", *pooled, axis=1)
  scale, shift = _batch_norm(variables, "encoder", "norm_pooled")
  return _dense(graph, graph.add("Add", graph.add("Mul", x, scale), shift), params["dense"])


def _rms_normalise(graph: _Graph, x: str) -> str:
  square = graph.add("ReduceMean", graph.add("Mul", x, x), np.array([1]))
  return graph.add("Div", x, graph.add("Sqrt", graph.add("Add", square, 1e-8)))


def _normalise_peak(graph: _Graph, speech: str) -> str:
  peak = graph.add("ReduceMax", graph.add("Abs", speech), np.array([1]))
  silent = graph.add("Equal", peak, 0.0)
  return graph.add("Div", speech, graph.add("Where", silent, 1.0, peak))


def _pre_emphasise(graph: _Graph, speech: str) -> str:
  kernel = np.array([[[-audio.PRE_EMPHASIS, 1.0]]])
  column = graph.add("Unsqueeze", speech, np.array([1]))
  return graph.add("Squeeze", graph.add("Conv", column, kernel, pads=[1, 0]), np.array([1]))


def _classify(graph: _Graph, generator: Generator, variables: Variables, embedding: str) -> str:
  """Adds the auxiliary classifier."""
  params, x = variables["params"]["classifier"], embedding
  for i in range(2) if generator.classifier.hidden else (1,):
    x = _dense(graph, x, params[f"dense{i}"])
    if generator.classifier.batch_norm:
      scale, shift = _batch_norm(variables, "classifier", f"norm{i}")
      x = graph.add("Add", graph.add("Mul", x, scale), shift)
    x = graph.add("LeakyRelu", x, alpha=0.2) if i < 1 else x
  return x


def _draw(graph: _Graph, generator: Generator, variables: Variables, embedding: str) -> str:
  """Adds the upsampler, up to uint8 pictures."""
  up = generator.upsampler
  share = _shares(graph, generator)

  def drop(name: str, x: str) -> str:
    if name not in share:
      return x
    kept = graph.add("GreaterOrEqual", share[name], up.dropout)
    return graph.add("Where", kept, graph.add("Div", x, 1 - up.dropout), 0.0)

  x = drop("embedding", embedding)
  if up.noise:
    centred = graph.add("Mul", graph.add("Sub", share[NOISE], 0.5), np.sqrt(12.0))
    x = graph.add("Concat", x, centred, axis=1)
  x = graph.add("Unsqueeze", x, np.array([2, 3]))
  for i in range(len(up.widths)):
    norm = f"norm{i}" if up.batch_norm else None
    kernel, bias = _folded(variables, "upsampler", f"up{i}", norm)
    x = _up(graph, x, kernel, bias, first=not i)
    x = graph.add("Relu", drop(f"up{i}", x))
  x = graph.add("Tanh", _up(graph, x, *_folded(variables, "upsampler", "rgb"), first=False))
  x = graph.add("Round", graph.add("Mul", graph.add("Add", x, 1.0), 127.5))
  x = graph.add("Cast", graph.add("Clip", x, 0.0, 255.0), to=TensorProto.UINT8)
  return graph.add("Transpose", x, perm=[0, 2, 3, 1])


def _up(graph: _Graph, x: str, kernel: np.ndarray, bias: np.ndarray, first: bool) -> str:
  shape = {"strides": [1, 1], "pads": [0] * 4} if first else {"strides": [2, 2], "pads": [1] * 4}
  return graph.add("ConvTranspose", x, kernel.transpose(3, 2, 0, 1), bias, **shape)


def _shares(graph: _Graph, generator: Generator) -> dict[str, str]:
  """Adds the division of the input `noise` among what varies, and returns each share by name."""
  share, begin = {}, 0
  for name, shape in _varied(generator).items():
    end = begin + int(np.prod(shape))
    part = graph.add("Slice", NOISE, np.array([begin]), np.array([end]), np.array([1]))
    share[name] = graph.add("Reshape", part, np.array([-1, *shape]))
    begin = end
  return share


def _dense(graph: _Graph, x: str, params: Variables) -> str:
  return graph.add("Gemm", x, np.asarray(params["kernel"]), np.asarray(params["bias"]))


def _folded(
  variables: Variables, network: str, layer: str, norm: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Returns kernel and bias [D] of a `layers.Conv`, with spectral norm and batch norm in them."""
  params = variables["params"][network][layer]
  kernel = np.asarray(params["kernel"], np.float64)
  # A transposed convolution's kernel has its outputs in the axis before the last.
  transposed = network == "upsampler"
  outputs = kernel.shape[-2 if transposed else -1]
  bias = np.asarray(params.get("bias", np.zeros(outputs)), np.float64)
  spectral = variables.get("spectral", {}).get(network, {}).get(layer)
  if spectral:
    matrix = kernel.reshape(-1, kernel.shape[-1])
    right = _unit(matrix @ np.asarray(spectral["u"], np.float64))
    kernel = kernel / (right @ matrix @ _unit(right @ matrix))
  if norm:
    scale, shift = _batch_norm(variables, network, norm)
    kernel, bias = kernel * (scale[:, None] if transposed else scale), bias * scale + shift
  return kernel, bias


def _batch_norm(variables: Variables, network: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
  """Returns scale and shift [C] of a `layers.BatchNorm` with its running statistics."""
  params, stats = variables["params"][network][norm], variables["batch_stats"][network][norm]
  mean, var = (np.asarray(stats[name], np.float64) for name in ("mean", "var"))
  scale = np.asarray(params["scale"], np.float64) / np.sqrt(var + 1e-5)
  return scale, np.asarray(params["bias"], np.float64) - mean * scale


def _unit(vector: np.ndarray) -> np.ndarray:
  return vector / np.linalg.norm(vector)


def _value(name: str, shape: list[int]) -> onnx.ValueInfoProto:
  kind = TensorProto.UINT8 if name == "faces" else TensorProto.FLOAT
  return helper.make_tensor_value_info(name, kind, [BATCH, *shape])
