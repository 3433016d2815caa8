"""The face encoder, which matches faces with speech in training (ours; sampling does without)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from wav2pix_jax import ops
from wav2pix_jax.models import layers


class FaceEncoder(nn.Module):
  """Strided convolutions over the lower half of a face, and projections of face and speech.

  The lower half has the mouth, and enough of the face to recognise the speaker. It is averaged down
  so that the convolutions end with 2x4 maps: three of them see faces of 32 px, which are enough for
  both, and cheap at any image size.
  """

  # Channels of each convolution; at most as many as halve the faces down to 4x4.
  widths: tuple[int, ...]
  embedding: int  # size of the vectors that are compared
  axis_name: str | None = None  # the axis of the devices whose batch is normalised together

  @nn.compact
  def __call__(
    self, faces: jax.Array, speech: jax.Array, train: bool
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns unit vectors of faces [N, C] and of speech [B, C], and the scale of their products.

    From faces float32 [N, S, S, 3] in [-1, 1], and embeddings of speech float32 [B, E]. The scale
    is float32 [], and starts at 10.
    """

    def project(x, name):
      x = nn.Dense(self.embedding, kernel_init=layers.RELEASE_INIT, name=name)(x)
      return x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + 1e-6)

    # fmt: off
    count, size = faces.shape[:2]
    times = size // (4 * 2 ** len(self.widths))
    x = faces[:, size // 2:]                                # [N, S / 2, S, 3]
    x = x.reshape(count, size // times // 2, times, size // times, times, 3).mean((2, 4))
    for i, width in enumerate(self.widths):
      conv = layers.Conv(ops.conv_4x4_stride_2, (4, 4, x.shape[-1], width), name=f"down{i}")
      x = layers.BatchNorm(self.axis_name, name=f"norm{i}")(conv(x, train), train)
      x = nn.relu(x)
    x = x.reshape(count, -1)                                # [N, 8 * widths[-1]]
    scale = jnp.exp(self.param("log_scale", nn.initializers.constant(jnp.log(10.0)), ()))
    return project(x, "face"), project(speech, "speech"), scale
    # fmt: on
