"""The networks, built from a config."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from wav2pix_jax.common import schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.models import layers
from wav2pix_jax.models.discriminator import Discriminator
from wav2pix_jax.models.face_encoder import FaceEncoder, levels
from wav2pix_jax.models.generator import AuxiliaryClassifier, Generator, Upsampler
from wav2pix_jax.models.log_mel_encoder import FRAME, LogMelEncoder
from wav2pix_jax.models.speech_encoder import SpeechEncoder, output_length


@dataclasses.dataclass(frozen=True)
class Networks:
  """The networks of a config."""

  generator: Generator  # the generator, with the speech encoder and the auxiliary classifier
  discriminator: Discriminator  # the spectral-normalised discriminator
  face_encoder: FaceEncoder | None = (
    None  # what matches faces with speech; None without `loss.matching`
  )


# Widths double towards 4x4 up to this one, which the paper has at 128 px. A network for 256 px then
# has as many parameters in its widest layer, not four times as many.
LARGEST_WIDTH = 1024
WAVEFORM, LOG_MEL = ENCODERS = ("waveform", "log_mel")
PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
MAY_BE_ZERO = ("noise", "dropout_layers", "batch_norm_devices", "classifier_hidden")


def check(config: Any) -> None:
  """Refuses a config whose networks cannot be built.

  Raises:
    UserError: A width, size or share is out of range, the image size is not a power of two from 8
      on, the window is too short for the encoder's strides, the precision is unknown, or fields
      exclude each other.
  """
  for name, value in config.model.items():
    if isinstance(value, tuple | list) and (not value or min(value) < 1):
      raise UserError(f"model.{name} is {value}; it must have numbers of at least 1.")
    least = 0 if name in MAY_BE_ZERO else 1
    if type(value) is int and value < least:
      raise UserError(f"model.{name} is {value}; it must be at least {least}.")
  if not 0 <= config.model.dropout < 1:
    raise UserError(f"model.dropout is {config.model.dropout}; it must be from 0 to below 1.")
  if config.model.prototypes and (config.model.classifier_hidden or config.loss.matching):
    raise UserError(
      "model.prototypes are of a classifier of one layer, and do not tell what is said; set "
      "model.classifier_hidden and loss.matching to 0, or model.prototypes to False."
    )
  size, window = config.image_size, config.dataset.window_samples
  if size < 8 or size & (size - 1):
    raise UserError(f"image_size is {size}; it must be a power of two, such as 64 or 128.")
  if config.model.encoder not in ENCODERS:
    raise UserError(
      f"model.encoder is {config.model.encoder!r}; choose from {', '.join(ENCODERS)}."
    )
  blocks = len(config.model.encoder_widths)
  left = output_length(window, blocks) if config.model.encoder == WAVEFORM else window - FRAME + 1
  if left < 1:
    raise UserError(
      f"dataset.window_samples is {window}, of which the strides of the speech encoder leave "
      "nothing; use a longer window."
    )
  if config.precision not in PRECISIONS:
    raise UserError(f"precision is {config.precision!r}; choose from {', '.join(PRECISIONS)}.")


def build(config: Any, identities: int, axis_name: str | None = None) -> Networks:
  """Returns the networks of a config, with an auxiliary classifier of this many identities.

  Of the config it reads `image_size`, `precision`, `dataset.window_samples`,
  `dataset.window_offset`, `model`, and whether there is `loss.matching`. In training batch norm
  averages over the devices of the axis; without one, over a single device.

  Raises:
    UserError: As `check`.
  """
  check(config)
  model, dtype = config.model, PRECISIONS[config.precision]
  devices = layers.Devices(axis_name, model.batch_norm_devices) if axis_name else None
  return Networks(
    Generator(
      _encoder(config, devices),
      AuxiliaryClassifier(
        hidden=model.classifier_hidden,
        identities=identities,
        batch_norm=model.classifier_batch_norm,
        devices=devices,
      ),
      Upsampler(
        widths=level_widths(model.generator_width, config.image_size)[::-1],
        batch_norm=model.generator_batch_norm,
        spectral_norm=model.generator_spectral_norm,
        noise=model.noise,
        dropout=model.dropout,
        dropout_embedding=model.dropout_embedding,
        dropout_layers=model.dropout_layers,
        devices=devices,
      ),
      prototypes=model.prototypes,
      dtype=dtype,
    ),
    Discriminator(
      widths=level_widths(model.discriminator_width, config.image_size),
      spectral_norm=model.discriminator_spectral_norm,
      last_spectral_norm=model.discriminator_last_spectral_norm,
      projection=model.discriminator_projection,
      dtype=dtype,
    ),
    FaceEncoder(
      widths=tuple(model.face_encoder_widths)[: levels(config.image_size)],
      embedding=model.embedding,
      devices=devices,
    )
    if config.loss.matching
    else None,
  )


def _encoder(config: Any, devices: layers.Devices | None) -> SpeechEncoder | LogMelEncoder:
  model = config.model
  if model.encoder == LOG_MEL:
    return LogMelEncoder(
      middle=config.dataset.window_offset == schema.CENTRED,
      embedding=model.embedding,
      normalise=model.normalise_embedding,
      devices=devices,
    )
  return SpeechEncoder(
    widths=tuple(model.encoder_widths),
    hidden=model.encoder_hidden,
    embedding=model.embedding,
    batch_norm=model.encoder_batch_norm,
    normalise=model.normalise_embedding,
    devices=devices,
  )


def level_widths(width: int, image_size: int) -> tuple[int, ...]:
  """Returns the channels of the maps from half the image size down to 4x4: 4 at 64 px, 5 at 128."""
  return tuple(min(width * 2**i, max(width, LARGEST_WIDTH)) for i in range(levels(image_size)))
