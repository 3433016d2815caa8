"""Conversion between checkpoints of the PyTorch release and flax variables.

The release names its tensors by their position in PyTorch containers. Two tables, one per network,
map its names to our variables. Our kernels have PyTorch's axes in another order; nothing else
differs. Layers that the release does not have (batch norm in the generator, spectral norm on the
discriminator's last layer) have names in the same style.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from wav2pix_jax.common.errors import UserError, listed
from wav2pix_jax.models import Networks
from wav2pix_jax.models.discriminator import Discriminator
from wav2pix_jax.models.generator import AuxiliaryClassifier, Generator, Upsampler
from wav2pix_jax.models.speech_encoder import SpeechEncoder, output_length

StateDict = Mapping[str, np.ndarray]
VariablePath = tuple[str, ...]
ENCODER, CLASSIFIER = "audio_embedding", "aux_classifier.net"
KERNEL, U, V = ".module.weight_bar", ".module.weight_u", ".module.weight_v"
BATCHES = ".num_batches_tracked"
WINDOWS = (16_000, 11_200, 4_800)  # samples, the lengths the release trains on: 1, 0.7, 0.3 s
LISTED = 12  # names that an error shows


def import_generator(state_dict: StateDict) -> dict[str, Any]:
  """Returns the release's generator as variables of `models.generator.Generator`.

  From arrays by the release's names, such as "audio_embedding.disc.0.conv.weight", to the
  collections "params", "batch_stats" and "spectral", float32.

  Raises:
    UserError: Tensors are missing, have a wrong shape or are unknown; the message lists them.
  """
  generator = _generator(state_dict)
  window = _shortest_window(_encoded_steps(state_dict), len(generator.encoder.widths))
  return read_generator(state_dict, generator, window)


def import_discriminator(state_dict: StateDict) -> dict[str, Any]:
  """Returns the release's discriminator as variables of `models.discriminator.Discriminator`.

  From arrays by the release's names, such as "netD_1.0.module.weight_bar", to the collections
  "params" and "spectral", float32.

  Raises:
    UserError: Tensors are missing, have a wrong shape or are unknown; the message lists them.
  """
  discriminator = _discriminator(state_dict)
  joined = _size(state_dict, "netD_2.weight", 1, discriminator.widths[-1] + 128)
  return read_discriminator(state_dict, discriminator, max(joined - discriminator.widths[-1], 1))


def networks(generator: StateDict, discriminator: StateDict, dropout: float = 0.5) -> Networks:
  """Returns the release's networks with the widths of a checkpoint, for one device."""
  return Networks(_generator(generator, dropout), _discriminator(discriminator))


def config_fields(generator: StateDict, discriminator: StateDict) -> dict[str, Any]:
  """Returns the fields of a config that checkpoints of the release determine, by dotted names.

  Raises:
    UserError: No window of the release is as long as the encoder expects.
  """
  nets, steps = networks(generator, discriminator), _encoded_steps(generator)
  encoder, upsampler = nets.generator.encoder, nets.generator.upsampler
  windows = [w for w in WINDOWS if output_length(w, len(encoder.widths)) == steps]
  if not windows:
    raise UserError(
      f"the checkpoint encodes speech into {steps} steps, which none of the release's windows "
      f"({', '.join(f'{window:,}' for window in WINDOWS)} samples) gives."
    )
  return {
    "image_size": 8 * 2 ** (len(upsampler.widths) - 1),
    "dataset.window_samples": windows[0],
    "model.encoder_widths": encoder.widths,
    "model.encoder_hidden": encoder.hidden,
    "model.embedding": encoder.embedding,
    "model.classifier_hidden": nets.generator.classifier.hidden,
    "model.generator_width": upsampler.widths[-1],
    "model.discriminator_width": nets.discriminator.widths[0],
  }


def identity_count(generator: StateDict) -> int:
  """Returns the number of speakers of a checkpoint."""
  return _generator(generator).classifier.identities


def evaluate_imported(
  generator_state_dict: StateDict,
  discriminator_state_dict: StateDict,
  speech: np.ndarray,
  faces: np.ndarray,
) -> dict[str, np.ndarray]:
  """Evaluates the imported networks with running statistics and without dropout.

  Args:
    generator_state_dict: As for `import_generator`.
    discriminator_state_dict: As for `import_discriminator`.
    speech: Conditioned speech, float32 [B, T].
    faces: Faces float32 [B, S, S, 3] in [-1, 1]; S is the checkpoint's image size.

  Returns:
    `fake` [B, S, S, 3], `embedding` [B, E], `class_logits` [B, identities], and the
    discriminator's scores of the generated and of the given faces, `D_fake_score` [B] and
    `D_real_score` [B]; all float32.
  """
  generator = import_generator(generator_state_dict)
  discriminator = import_discriminator(discriminator_state_dict)
  nets = networks(generator_state_dict, discriminator_state_dict)

  @jax.jit
  def evaluate(generator, discriminator, speech, faces):
    fake, embedding, logits = nets.generator.apply(generator, speech, False, True)  # type: ignore[misc]
    fake_score, _ = nets.discriminator.apply(discriminator, fake, embedding, False)
    real_score, _ = nets.discriminator.apply(discriminator, faces, embedding, False)
    return {
      "fake": fake,
      "embedding": embedding,
      "class_logits": logits,
      "D_fake_score": fake_score,
      "D_real_score": real_score,
    }

  with jax.default_matmul_precision("highest"):  # a GPU's TF32 would be too coarse to compare
    out = evaluate(generator, discriminator, np.float32(speech), np.float32(faces))
  return jax.tree.map(np.asarray, out)


def read_generator(state_dict: StateDict, generator: Generator, window: int) -> dict[str, Any]:
  """Works as `import_generator`, for a given network with windows of `window` samples."""
  shapes = jax.eval_shape(
    lambda: generator.init(jax.random.key(0), jnp.zeros((1, window)), False, True)
  )
  return _variables("generator", state_dict, list(_generator_table(generator)), shapes)


def read_discriminator(
  state_dict: StateDict, discriminator: Discriminator, embedding: int
) -> dict[str, Any]:
  """Works as `import_discriminator`, for a given network and width of the embedding."""
  size = 4 * 2 ** len(discriminator.widths)
  faces, embeddings = jnp.zeros((1, size, size, 3)), jnp.zeros((1, embedding))
  shapes = jax.eval_shape(lambda: discriminator.init(jax.random.key(0), faces, embeddings, False))
  return _variables("discriminator", state_dict, list(_discriminator_table(discriminator)), shapes)


def has_names(generator: Generator) -> bool:
  """Whether the release has these layers: the paper's encoder, two of the classifier, no noise."""
  encoder, classifier, upsampler = generator.encoder, generator.classifier, generator.upsampler
  return isinstance(encoder, SpeechEncoder) and classifier.hidden > 0 and not upsampler.noise


def generator_dict(generator: Generator, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Returns a generator's variables under the release's names, as PyTorch loads them."""
  return _state_dict(_generator_table(generator), variables)


def discriminator_dict(
  discriminator: Discriminator, variables: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """Returns a discriminator's variables under the release's names, as PyTorch loads them."""
  return _state_dict(_discriminator_table(discriminator), variables)


@dataclasses.dataclass(frozen=True)
class Layout:
  """The order of a tensor's axes."""

  ours: Callable[[np.ndarray], np.ndarray]  # converts the release's array to ours
  release: Callable[[np.ndarray], np.ndarray]  # converts our array to the release's


AS_IS = Layout(lambda x: x, lambda x: x)
# PyTorch: (first axis, second, space); ours: (space, second, first)
SWAPPED = Layout(
  lambda x: np.moveaxis(x, (0, 1), (-1, -2)), lambda x: np.moveaxis(x, (-1, -2), (0, 1))
)


def _flattened(channels: int) -> Layout:
  """Returns the layout after flattening: PyTorch flattens channel by channel, we step by step."""

  def transposed(x, inner):
    return x.reshape(len(x), inner, -1).transpose(0, 2, 1).reshape(len(x), -1)

  return Layout(
    lambda x: transposed(x, channels).T, lambda x: transposed(x.T, x.shape[0] // channels)
  )


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A tensor: its name in the release, its path in our variables, and the order of its axes."""

  name: str
  path: VariablePath
  layout: Layout


def _generator_table(generator: Generator) -> Iterator[Tensor]:
  encoder, classifier, upsampler = generator.encoder, generator.classifier, generator.upsampler
  for i in range(len(encoder.widths)):
    yield from _dense(f"{ENCODER}.disc.{i}.conv", ("encoder", f"conv{i}"))
    if encoder.batch_norm:
      yield from _batch_norm(f"{ENCODER}.disc.{i}.bn", ("encoder", f"norm{i}"))
  for i, layout in enumerate((_flattened(encoder.widths[-1]), SWAPPED, SWAPPED)):
    yield from _dense(f"{ENCODER}.fc.{2 * i}", ("encoder", f"dense{i}"), layout)
  for i, place in enumerate((0, 3)):
    yield from _dense(f"{CLASSIFIER}.{place}", ("classifier", f"dense{i}"))
    if classifier.batch_norm:
      yield from _batch_norm(f"{CLASSIFIER}.{place + 1}", ("classifier", f"norm{i}"))
  ups = len(upsampler.widths)
  for i, name in enumerate(_up_names(ups + 1)):
    layer = f"up{i}" if i < ups else "rgb"
    yield from _convolution(name, ("upsampler", layer), upsampler.spectral_norm)
    if upsampler.batch_norm and i < ups:
      yield from _batch_norm(f"{name}.bn", ("upsampler", f"norm{i}"))


def _discriminator_table(discriminator: Discriminator) -> Iterator[Tensor]:
  for i, name in enumerate(_down_names(len(discriminator.widths))):
    yield from _convolution(name, (f"down{i}",), discriminator.spectral_norm)
  yield from _convolution("netD_2", ("score",), discriminator.last_spectral_norm)
  if discriminator.projection:
    yield from _convolution("projection", ("projection",), discriminator.spectral_norm)


def _up_names(layers: int) -> list[str]:
  """Returns names, the last four nested: netG.0, netG.3.0 at 64 px; netG.0, netG.3, netG.6.0."""
  outer = max(layers - 4, 1)
  names = [f"netG.{3 * i}" for i in range(outer)]
  return names + [f"netG.{3 * outer}.{3 * i}" for i in range(layers - outer)]


def _down_names(layers: int) -> list[str]:
  """Returns names; the first four of more are nested: netD_1.0.0, ..., netD_1.1 at 128 px."""
  if layers <= 4:
    return [f"netD_1.{2 * i}" for i in range(layers)]
  return [f"netD_1.0.{2 * i}" for i in range(4)] + [f"netD_1.{i}" for i in range(1, layers - 3)]


def _dense(name: str, path: VariablePath, layout: Layout = SWAPPED) -> Iterator[Tensor]:
  yield Tensor(f"{name}.weight", ("params", *path, "kernel"), layout)
  yield Tensor(f"{name}.bias", ("params", *path, "bias"), AS_IS)


def _batch_norm(name: str, path: VariablePath) -> Iterator[Tensor]:
  yield Tensor(f"{name}.weight", ("params", *path, "scale"), AS_IS)
  yield Tensor(f"{name}.bias", ("params", *path, "bias"), AS_IS)
  yield Tensor(f"{name}.running_mean", ("batch_stats", *path, "mean"), AS_IS)
  yield Tensor(f"{name}.running_var", ("batch_stats", *path, "var"), AS_IS)


def _convolution(name: str, path: VariablePath, spectral_norm: bool) -> Iterator[Tensor]:
  kernel = name + (KERNEL if spectral_norm else ".weight")
  yield Tensor(kernel, ("params", *path, "kernel"), SWAPPED)
  if spectral_norm:
    yield Tensor(name + U, ("spectral", *path, "u"), AS_IS)


def _variables(
  network: str, state_dict: StateDict, rows: list[Tensor], shapes: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns our variables after checking that every tensor exists and has the right shape."""
  expected = flax.traverse_util.flatten_dict(shapes)
  missing, wrong, found = [], [], {}
  for row in rows:
    shape = row.layout.release(np.broadcast_to(np.float32(0), expected[row.path].shape)).shape
    if row.name not in state_dict:
      missing.append(row.name)
    elif state_dict[row.name].shape != shape:
      wrong.append(f"{row.name} {state_dict[row.name].shape} instead of {shape}")
    else:
      found[row.path] = row.layout.ours(np.asarray(state_dict[row.name], np.float32))
  known = {row.name for row in rows}
  unknown = [name for name in state_dict if name not in known and not name.endswith((V, BATCHES))]
  faults = [
    f"{what} {listed(names, LISTED)}"
    for what, names in (("lacks", missing), ("has wrong shapes:", wrong), ("has unknown", unknown))
    if names
  ]
  if faults:
    raise UserError(f"the {network}'s checkpoint {'; '.join(faults)}.")
  return flax.traverse_util.unflatten_dict(found)


def _state_dict(rows: Iterator[Tensor], variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
  flat = flax.traverse_util.flatten_dict(jax.device_get(variables))
  out = {
    row.name: np.ascontiguousarray(row.layout.release(np.asarray(flat[row.path]))) for row in rows
  }
  for name in list(out):  # what PyTorch keeps beside, and we compute anew
    if name.endswith(U):
      kernel = out[name.replace(U, KERNEL)]
      right = out[name] @ kernel.reshape(len(kernel), -1)
      out[name.replace(U, V)] = right / np.linalg.norm(right)
    if name.endswith(".running_var"):
      out[name.replace(".running_var", BATCHES)] = np.zeros((), np.int64)
  return out


def _generator(state_dict: StateDict, dropout: float = 0.5) -> Generator:
  """Returns the release's generator, with the published sizes where a tensor is missing."""
  widths = (16, 32, 128, 256, 512, 1024)
  blocks = _numbered(state_dict, rf"{ENCODER}\.disc\.(\d+)\..*") or len(widths)
  layers = max(len(_spectral_layers(state_dict, "netG")) or 6, 2)
  names = _up_names(layers)
  return Generator(
    SpeechEncoder(
      widths=tuple(
        _size(state_dict, f"{ENCODER}.disc.{i}.conv.weight", 0, widths[min(i, 5)])
        for i in range(blocks)
      ),
      hidden=_size(state_dict, f"{ENCODER}.fc.0.weight", 0, 256),
      embedding=_size(state_dict, f"{ENCODER}.fc.4.weight", 0, 128),
      batch_norm=True,
      normalise=False,
    ),
    AuxiliaryClassifier(
      hidden=_size(state_dict, f"{CLASSIFIER}.0.weight", 0, 200),
      identities=_size(state_dict, f"{CLASSIFIER}.3.weight", 0, 10),
      batch_norm=True,
    ),
    Upsampler(
      widths=tuple(
        _size(state_dict, name + KERNEL, 1, 64 * 2 ** (layers - 2 - i))
        for i, name in enumerate(names[:-1])
      ),
      batch_norm=False,
      spectral_norm=True,
      noise=0,
      dropout=dropout,
      dropout_embedding=False,
      dropout_layers=layers - 1,
    ),
  )


def _discriminator(state_dict: StateDict) -> Discriminator:
  """Returns the release's discriminator, with the published sizes where a tensor is missing."""
  names = _down_names(len(_spectral_layers(state_dict, "netD_1")) or 5)
  widths = tuple(_size(state_dict, name + KERNEL, 0, 64 * 2**i) for i, name in enumerate(names))
  return Discriminator(
    widths=widths, spectral_norm=True, last_spectral_norm=False, projection=False
  )


def _size(state_dict: StateDict, name: str, axis: int, default: int) -> int:
  tensor = state_dict.get(name)
  return tensor.shape[axis] if tensor is not None and tensor.ndim > axis else default


def _numbered(state_dict: StateDict, pattern: str) -> int:
  found = [int(match[1]) for name in state_dict if (match := re.fullmatch(pattern, name))]
  return max(found, default=-1) + 1


def _spectral_layers(state_dict: StateDict, prefix: str) -> set[str]:
  """Returns the layers under a prefix that have any tensor."""
  pattern = rf"({prefix}\.[\d.]+)\.module\..*"
  return {match[1] for name in state_dict if (match := re.fullmatch(pattern, name))}


def _encoded_steps(state_dict: StateDict) -> int:
  """Returns the length of an encoded window, from the size of the first dense layer."""
  blocks = _numbered(state_dict, rf"{ENCODER}\.disc\.(\d+)\..*") or 6
  channels = _size(state_dict, f"{ENCODER}.disc.{blocks - 1}.conv.weight", 0, 1024)
  return max(_size(state_dict, f"{ENCODER}.fc.0.weight", 1, 4 * channels) // channels, 1)


def _shortest_window(steps: int, blocks: int) -> int:
  for _ in range(blocks):
    steps = 4 * (steps - 1) + 2
  return steps
