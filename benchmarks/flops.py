"""Operations of Wav2Pix, counted by hand: two for each multiplication of a kernel.

Products with a convolution's padding are counted, as is usual. Norms, activations, losses and
optimizers are not.
"""

import dataclasses
import itertools
import math
from typing import Any

from wav2pix_jax.common import schema
from wav2pix_jax.models import LOG_MEL, level_widths, levels, log_mel_encoder, output_length


@dataclasses.dataclass(frozen=True)
class Forward:
  """Operations of a forward pass, for one face."""

  generator: int  # of the speech encoder, the auxiliary classifier and the upsampler
  speech: int  # what the backward pass of the speech encoder does not need of twice the forward's
  discriminator: int  # without the embedding's share, which is a thousandth
  faces: int  # the part of the first convolution
  face_encoder: int  # without the projections; 0 without matching
  mouths: int  # the part of the first convolution


def forward(config: Any, identities: int) -> Forward:
  """Returns the operations of a config's networks."""
  model, size = config.model, config.image_size
  speech, encoder = (_log_mel if model.encoder == LOG_MEL else _waveform)(config)
  classifier = _dense(*filter(None, (model.embedding, model.classifier_hidden, identities)))
  ups = (model.embedding + model.noise, *level_widths(model.generator_width, size)[::-1], 3)
  # The kernel makes a stamp of 4x4 for each pixel of the smaller map.
  maps = (1, *(4 * 2**i for i in range(len(ups) - 2)))
  up = [16 * a * b * s * s for (a, b), s in zip(itertools.pairwise(ups), maps, strict=True)]
  downs = (3, *level_widths(model.discriminator_width, size))
  down = [
    16 * a * b * s * s
    for (a, b), s in zip(itertools.pairwise(downs), reversed(maps[1:]), strict=True)
  ]
  halvings = (1, *model.face_encoder_widths[: levels(size)])
  halved = (4**i for i in range(len(halvings) - 1, 0, -1))  # pixels of each map, to 2x2
  seen = [16 * a * b * s for (a, b), s in zip(itertools.pairwise(halvings), halved, strict=True)]
  return Forward(
    2 * (encoder + classifier + sum(up)),
    2 * speech,
    2 * sum(down),
    2 * down[0],
    2 * sum(seen) if config.loss.matching else 0,
    2 * seen[0],
  )


def train_step(config: Any, identities: int) -> int:
  """Returns the operations of a training step per face of the batch.

  D's half draws, judges real, generated and mismatched faces (half of each kind if there are two),
  and goes back through all three to D's kernels. G's half draws again, judges generated and real
  faces, and goes back through the generated ones, not to D's kernels, and through all that drew
  them. Matching looks at each face and at further ones, and goes back through all of them.
  """
  cost, loss = forward(config, identities), config.loss
  groups = 2 + (bool(loss.mismatched) or bool(loss.mismatched_moment))
  d_half = cost.generator + groups * (3 * cost.discriminator - cost.faces)
  g_half = 3 * cost.generator - cost.speech + 3 * cost.discriminator
  if loss.matching:
    g_half += (1 + loss.matching_faces) * (3 * cost.face_encoder - cost.mouths)
  return d_half + g_half


def _waveform(config: Any) -> tuple[int, int]:
  """Returns the products of the paper's encoder: of its first convolution, and of all of it."""
  model, window = config.model, config.dataset.window_samples
  widths = (1, *model.encoder_widths)
  lengths = [output_length(window, i + 1) for i in range(len(model.encoder_widths))]
  convolutions = [
    15 * before * after * length
    for (before, after), length in zip(itertools.pairwise(widths), lengths, strict=True)
  ]
  dense = _dense(widths[-1] * lengths[-1], model.encoder_hidden, model.embedding, model.embedding)
  return convolutions[0], sum(convolutions) + dense


def _log_mel(config: Any) -> tuple[int, int]:
  """Returns the products of the log-mel encoder: twice the spectrum's, and of all of it."""
  of, middle = log_mel_encoder, config.dataset.window_offset == schema.CENTRED
  length = (config.dataset.window_samples - of.FRAME) // of.STRIDE + 1
  spectrum = length * _dense(of.FRAME, of.FRAME + 2, of.BANDS)
  spectrum -= length * (of.FRAME // 2 + 1) * of.BANDS  # real and imaginary parts are one power
  products, before = spectrum, of.BANDS
  for kernel, stride in of.LAYERS:
    length = math.ceil(length / stride)
    products += length * kernel * before * of.WIDTH
    before = of.WIDTH
  products += length * _dense(of.WIDTH, of.ATTENTION, 1)
  pooled = (2 + middle * of.MIDDLE) * of.WIDTH
  return 2 * spectrum, products + _dense(pooled, config.model.embedding)


def _dense(*widths: int) -> int:
  """Returns the products of dense layers."""
  return sum(before * after for before, after in itertools.pairwise(widths))
