"""The networks, built from a config."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.models.discriminator import Discriminator
from wav2pix_jax.models.generator import AuxiliaryClassifier, Generator, Upsampler
from wav2pix_jax.models.speech_encoder import SpeechEncoder, output_length


@dataclasses.dataclass(frozen=True)
class Networks:
  """The two players.

  Attributes:
    generator: with speech encoder and auxiliary classifier.
    discriminator: with spectral norm.
    batched_passes: real, generated and mismatched faces go through D together.
  """

  generator: Generator
  discriminator: Discriminator
  batched_passes: bool


PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def check(config: Any) -> None:
  """Refuses a config whose networks cannot be built.

  Raises:
    UserError: an image size that is no power of two from 8 on, a window too short for the encoder's
      strides, or an unknown precision.
  """
  size, window = config.image_size, config.dataset.window_samples
  if size < 8 or size & (size - 1):
    raise UserError(f"image_size is {size}; it must be a power of two, such as 64 or 128.")
  blocks = len(config.model.encoder_widths)
  if output_length(window, blocks) < 1:
    raise UserError(
      f"dataset.window_samples is {window}, of which the {blocks} strides of the speech encoder "
      "leave nothing; take a longer window."
    )
  if config.precision not in PRECISIONS:
    raise UserError(f"precision is {config.precision!r}; choose from {', '.join(PRECISIONS)}.")


def build(config: Any, identities: int, axis_name: str | None = None) -> Networks:
  """The networks of a config.

  Args:
    config: with `image_size`, `precision`, `dataset.window_samples` and `model.*` (see
      `configs/base.py`).
    identities: how many speakers the auxiliary classifier tells apart.
    axis_name: the devices over which batch norm averages in training; None for one device.

  Raises:
    UserError: as `check`.
  """
  check(config)
  model, dtype = config.model, PRECISIONS[config.precision]
  levels = config.image_size.bit_length() - 3  # 4x4 to half the image size: 4 at 64 px, 5 at 128 px
  return Networks(
    Generator(
      SpeechEncoder(
        widths=tuple(model.encoder_widths),
        hidden=model.encoder_hidden,
        embedding=model.embedding,
        batch_norm=model.encoder_batch_norm,
        normalise=model.normalise_embedding,
        axis_name=axis_name,
      ),
      AuxiliaryClassifier(
        hidden=model.classifier_hidden,
        identities=identities,
        batch_norm=model.classifier_batch_norm,
        axis_name=axis_name,
      ),
      Upsampler(
        widths=tuple(model.generator_width * 2**i for i in reversed(range(levels))),
        batch_norm=model.generator_batch_norm,
        spectral_norm=model.generator_spectral_norm,
        dropout=model.dropout,
        dropout_embedding=model.dropout_embedding,
        dropout_layers=model.dropout_layers,
        axis_name=axis_name,
      ),
      dtype,
    ),
    Discriminator(
      widths=tuple(model.discriminator_width * 2**i for i in range(levels)),
      spectral_norm=model.discriminator_spectral_norm,
      last_spectral_norm=model.discriminator_last_spectral_norm,
      projection=model.discriminator_projection,
      dtype=dtype,
    ),
    batched_passes=model.discriminator_batched_passes,
  )
