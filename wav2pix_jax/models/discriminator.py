"""The spectral-normalised discriminator, which scores a face with speech (paper, section 4.1)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from wav2pix_jax import ops
from wav2pix_jax.models import layers


class Discriminator(nn.Module):
  """Strided convolutions to 4x4, where the speech embedding is added, and a score."""

  # Channels at half the image size, a quarter, ... down to 4x4.
  widths: tuple[int, ...]
  spectral_norm: bool  # whether all kernels but that of the last convolution have spectral norm
  last_spectral_norm: bool  # whether that one has
  # Whether the score contains an inner product of the embedding and the last features (Miyato and
  # Koyama 2018). If not, the embedding is concatenated to the features (paper) before the last
  # convolution, which is linear. The score is then a term of the face plus a term of the speech,
  # and does not depend on whether the two belong together.
  projection: bool
  # The dtype of the convolutions to 4x4; parameters, features and scores are float32.
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, faces: jax.Array, embedding: jax.Array, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Returns scores float32 [B] and the last features float32 [B, 4, 4, C].

    From faces float32 [B, S, S, 3] in [-1, 1] and embeddings of speech, float32 [B, E]. In training
    the power iterations of the spectral norms are updated.
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
