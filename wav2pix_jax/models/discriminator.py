"""The spectral-normalised discriminator: does this face go with this speech? (paper 4.1)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from wav2pix_jax import ops
from wav2pix_jax.models import layers


class Discriminator(nn.Module):
  """Strided convolutions to 4x4, where the embedding joins, then one score.

  Attributes:
    widths: channels at half the image size, a quarter, ... down to 4x4.
    spectral_norm: on all kernels but that of the last convolution.
    last_spectral_norm: on that one.
    projection: the embedding meets the last features in an inner product (Miyato and Koyama 2018).
      Else it is concatenated to them (paper), right before the last convolution, which is linear:
      the score is then one term of the face plus one of the speech, and cannot tell whether the two
      belong together.
    dtype: of the convolutions to 4x4; parameters, features and scores are float32.
  """

  widths: tuple[int, ...]
  spectral_norm: bool
  last_spectral_norm: bool
  projection: bool
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, faces: jax.Array, embedding: jax.Array, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Scores float32 [B] and last features float32 [B, 4, 4, C].

    Args:
      faces: float32 [B, S, S, 3] in [-1, 1].
      embedding: float32 [B, E], of the speech that is said to go with them.
      train: keep the power iterations of the spectral norms.
    """
    # fmt: off
    norm = self.spectral_norm
    x = faces.astype(self.dtype)                            # [B, S, S, 3]
    for i, width in enumerate(self.widths):
      shape = (4, 4, x.shape[-1], width)
      conv = layers.Conv(ops.conv_4x4_stride_2, shape, spectral_norm=norm, name=f"down{i}")
      x = nn.leaky_relu(conv(x, train), 0.2)
    features = x = x.astype(jnp.float32)                    # [B, 4, 4, C]
    if not self.projection:
      tiled = jnp.broadcast_to(embedding[:, None, None], (*x.shape[:3], embedding.shape[-1]))
      x = jnp.concatenate([x, tiled], -1)                   # [B, 4, 4, C + E]
    shape, last = (4, 4, x.shape[-1], 1), self.last_spectral_norm
    conv = layers.Conv(ops.conv_4x4_to_point, shape, spectral_norm=last, name="score")
    score = conv(x, train)[:, 0, 0, 0]                      # [B]
    if self.projection:
      sides = (embedding.shape[-1], features.shape[-1])
      project = layers.Conv(ops.product, sides, spectral_norm=norm, name="projection")
      match = (project(embedding, train) * features.sum((1, 2))).sum(-1)
      score += match / math.sqrt(16 * embedding.shape[-1])
    return score, features
    # fmt: on
