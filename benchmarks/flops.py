"""Operations of Wav2Pix, counted by hand: two for each multiplication of a kernel.

Products with a convolution's padding are counted, as is usual. Norms, activations, losses and
optimizers are not.
"""

import dataclasses
import itertools
from typing import Any

from wav2pix_jax.models import level_widths, levels, output_length


@dataclasses.dataclass(frozen=True)
class Forward:
  """Operations of a forward pass, for one face."""

  generator: int  # of the speech encoder, the auxiliary classifier and the upsampler
  speech: int  # the part of the first convolution, which needs no gradient of its input
  discriminator: int  # without the embedding's share, which is a thousandth
  faces: int  # the part of the first convolution
  face_encoder: int  # without the projections; 0 without matching
  mouths: int  # the part of the first convolution


def forward(config: Any, identities: int) -> Forward:
  """Returns the operations of a config's networks."""
  model, window, size = config.model, config.dataset.window_samples, config.image_size
  widths = (1, *model.encoder_widths)
  lengths = [output_length(window, i + 1) for i in range(len(model.encoder_widths))]
  encoder = [
    15 * before * after * length
    for (before, after), length in zip(itertools.pairwise(widths), lengths, strict=True)
  ]
  dense = (widths[-1] * lengths[-1], model.encoder_hidden, model.embedding, model.embedding)
  classifier = (model.embedding, model.classifier_hidden, identities)
  products = sum(a * b for layers in (dense, classifier) for a, b in itertools.pairwise(layers))
  ups = (model.embedding, *level_widths(model.generator_width, size)[::-1], 3)
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
    2 * (sum(encoder) + products + sum(up)),
    2 * encoder[0],
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
