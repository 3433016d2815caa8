"""Checkpoints of the published PyTorch release, in our variables.

The release names its tensors by their place in PyTorch containers. Two tables, one per network,
say which of them is which of ours; every kernel of ours has PyTorch's axes in another order, and
nothing else differs.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import flax
import jax
import numpy as np

from wav2pix_jax.errors import UserError
from wav2pix_jax.models import Networks
from wav2pix_jax.models.discriminator import Discriminator
from wav2pix_jax.models.generator import AuxiliaryClassifier, Generator, Upsampler
from wav2pix_jax.models.speech_encoder import SpeechEncoder

StateDict = Mapping[str, np.ndarray]
Path = tuple[str, ...]
SPECTRAL_NORM = ".module.weight_bar"


def import_generator(state_dict: StateDict) -> dict[str, Any]:
  """The release's generator as variables of `models.generator.Generator`.

  Args:
    state_dict: release names (as in "audio_embedding.disc.0.conv.weight") to arrays.

  Returns:
    Collections "params", "batch_stats" and "spectral", float32.

  Raises:
    UserError: names that are missing, all of them listed.
  """
  return _variables(state_dict, _generator_table(state_dict))


def import_discriminator(state_dict: StateDict) -> dict[str, Any]:
  """The release's discriminator as variables of `models.discriminator.Discriminator`.

  Args:
    state_dict: release names (as in "netD_1.0.module.weight_bar") to arrays.

  Returns:
    Collections "params" and "spectral", float32.

  Raises:
    UserError: names that are missing, all of them listed.
  """
  return _variables(state_dict, _discriminator_table(state_dict))


def networks(generator: StateDict, discriminator: StateDict, dropout: float = 0.5) -> Networks:
  """The release's networks at the widths of a checkpoint, for one device."""
  blocks = [f"audio_embedding.disc.{i}.conv.weight" for i in range(_encoder_blocks(generator))]
  ups, downs = _spectral_layers(generator, "netG"), _spectral_layers(discriminator, "netD_1")
  return Networks(
    Generator(
      SpeechEncoder(
        widths=tuple(generator[name].shape[0] for name in blocks),
        hidden=generator["audio_embedding.fc.0.weight"].shape[0],
        embedding=generator["audio_embedding.fc.4.weight"].shape[0],
        batch_norm=True,
      ),
      AuxiliaryClassifier(
        hidden=generator["aux_classifier.net.0.weight"].shape[0],
        identities=generator["aux_classifier.net.3.weight"].shape[0],
        batch_norm=True,
      ),
      Upsampler(
        widths=tuple(generator[up + SPECTRAL_NORM].shape[1] for up in ups[:-1]),
        batch_norm=False,
        spectral_norm=True,
        dropout=dropout,
        dropout_layers=len(ups) - 1,
      ),
    ),
    Discriminator(
      widths=tuple(discriminator[down + SPECTRAL_NORM].shape[0] for down in downs),
      last_spectral_norm=False,
    ),
    batched_passes=False,
  )


def evaluate_imported(
  generator_state_dict: StateDict,
  discriminator_state_dict: StateDict,
  speech: np.ndarray,
  faces: np.ndarray,
) -> dict[str, np.ndarray]:
  """What the imported networks compute in evaluation mode: running statistics, no dropout.

  Args:
    generator_state_dict: as for `import_generator`.
    discriminator_state_dict: as for `import_discriminator`.
    speech: float32 [B, T], conditioned.
    faces: float32 [B, S, S, 3] in [-1, 1], S the checkpoint's image size.

  Returns:
    `fake` [B, S, S, 3], `embedding` [B, E], `class_logits` [B, identities], and D's scores of the
    generated and of the given faces, `D_fake_score` [B] and `D_real_score` [B]; all float32.
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


def _generator_table(state_dict: StateDict) -> Iterator[tuple[str, Path, str]]:
  """(release name, our path, how the axes go) of each tensor of the generator."""
  encoder, classifier = "audio_embedding", "aux_classifier.net"
  for i in range(_encoder_blocks(state_dict)):
    yield from _dense(f"{encoder}.disc.{i}.conv", ("encoder", f"conv{i}"), "kernel")
    yield from _batch_norm(f"{encoder}.disc.{i}.bn", ("encoder", f"norm{i}"))
  for i, kind in enumerate(("kernel of flattened", "kernel", "kernel")):
    yield from _dense(f"{encoder}.fc.{2 * i}", ("encoder", f"dense{i}"), kind)
  for i, layer in enumerate((0, 3)):
    yield from _dense(f"{classifier}.{layer}", ("classifier", f"dense{i}"), "kernel")
    yield from _batch_norm(f"{classifier}.{layer + 1}", ("classifier", f"norm{i}"))
  *ups, rgb = _spectral_layers(state_dict, "netG")
  for i, up in enumerate(ups):
    yield from _spectral(up, ("upsampler",), f"up{i}")
  yield from _spectral(rgb, ("upsampler",), "rgb")


def _discriminator_table(state_dict: StateDict) -> Iterator[tuple[str, Path, str]]:
  """(release name, our path, how the axes go) of each tensor of the discriminator."""
  for i, down in enumerate(_spectral_layers(state_dict, "netD_1")):
    yield from _spectral(down, (), f"down{i}")
  yield "netD_2.weight", ("params", "score", "kernel"), "kernel"


def _dense(name: str, path: Path, kind: str) -> Iterator[tuple[str, Path, str]]:
  yield f"{name}.weight", ("params", *path, "kernel"), kind
  yield f"{name}.bias", ("params", *path, "bias"), "vector"


def _batch_norm(name: str, path: Path) -> Iterator[tuple[str, Path, str]]:
  yield f"{name}.weight", ("params", *path, "scale"), "vector"
  yield f"{name}.bias", ("params", *path, "bias"), "vector"
  yield f"{name}.running_mean", ("batch_stats", *path, "mean"), "vector"
  yield f"{name}.running_var", ("batch_stats", *path, "var"), "vector"


def _spectral(name: str, path: Path, layer: str) -> Iterator[tuple[str, Path, str]]:
  yield name + SPECTRAL_NORM, ("params", *path, layer, "kernel"), "kernel"
  yield f"{name}.module.weight_u", ("spectral", *path, layer, "u"), "vector"


def _variables(state_dict: StateDict, table: Iterator[tuple[str, Path, str]]) -> dict[str, Any]:
  rows = list(table)
  missing = sorted({name for name, _, _ in rows} - set(state_dict))
  if missing:
    raise UserError(f"the release checkpoint lacks {', '.join(missing)}.")
  flat = {path: _convert(state_dict, name, kind) for name, path, kind in rows}
  return flax.traverse_util.unflatten_dict(flat)


def _convert(state_dict: StateDict, name: str, kind: str) -> np.ndarray:
  tensor = np.asarray(state_dict[name], np.float32)
  match kind:
    case "kernel":  # PyTorch: (first axis, second, space); ours: (space, second, first)
      return np.moveaxis(tensor, (0, 1), (-1, -2))
    case "kernel of flattened":  # PyTorch flattens channel by channel, we step by step
      last = f"audio_embedding.disc.{_encoder_blocks(state_dict) - 1}.conv.weight"
      channels = state_dict[last].shape[0]
      tensor = tensor.reshape(len(tensor), channels, -1).transpose(0, 2, 1)
      return tensor.reshape(len(tensor), -1).T
  return tensor


def _encoder_blocks(state_dict: StateDict) -> int:
  return len([name for name in state_dict if re.fullmatch(r".*\.disc\.\d+\.conv\.weight", name)])


def _spectral_layers(state_dict: StateDict, prefix: str) -> list[str]:
  """Spectrally normalised layers under a prefix ("netG.3.6"), in the order data goes through."""
  names = [
    name.removesuffix(SPECTRAL_NORM)
    for name in state_dict
    if name.startswith(prefix + ".") and name.endswith(SPECTRAL_NORM)
  ]
  if not names:
    raise UserError(f"the release checkpoint lacks {prefix}.*{SPECTRAL_NORM}.")
  return sorted(names, key=lambda name: [int(part) for part in name.split(".")[1:]])
