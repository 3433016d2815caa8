"""The face encoder, which matches faces with speech in training (ours; sampling does without)."""

import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from wav2pix_jax import ops
from wav2pix_jax.models import layers


def levels(image_size: int) -> int:
  """Returns how often faces are halved down to 4x4."""
  return image_size.bit_length() - 3


class FaceEncoder(nn.Module):
  """Strided convolutions over the mouth of a face, and projections of face and speech.

  It sees the middle of the face's lower half in gray, at one brightness and contrast. Light, shirt
  and background belong to a recording: with them, it would learn records rather than mouths. The
  picture is averaged down so that the convolutions end with 2x2 maps: three of them see 16 px,
  which are enough for a mouth, and cheap at any image size.
  """

  # Channels of each convolution; at most as many as halve the faces down to 4x4.
  widths: tuple[int, ...]
  embedding: int  # size of the vectors that are compared
  devices: layers.Devices | None = None  # those that share a batch; None for one

  def setup(self):  # noqa: D102, flax calls it
    def dense():
      return nn.Dense(self.embedding, kernel_init=layers.RELEASE_INIT)

    self.down = [
      layers.Conv(ops.conv_4x4_stride_2, (4, 4, *channels))
      for channels in itertools.pairwise((1, *self.widths))
    ]
    self.norm = [layers.BatchNorm(self.devices) for _ in self.widths]
    self.face, self.speech = dense(), dense()
    self.log_scale = self.param("log_scale", nn.initializers.constant(math.log(10)), ())

  def __call__(
    self, faces: jax.Array, speech: jax.Array, train: bool
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns unit vectors of faces [N, C] and of speech [B, C], and the scale of their products.

    The scale is float32 [], and starts at 10. For the arguments see `see` and `hear`.
    """
    return self.see(faces, train), self.hear(speech), jnp.exp(self.log_scale)

  def see(self, faces: jax.Array, train: bool) -> jax.Array:
    """Returns unit vectors float32 [N, C] of faces, float32 [N, S, S, 3] in [-1, 1].

    In training they are normalised by the batch, and the running statistics are updated.
    """
    # fmt: off
    count, size = faces.shape[:2]
    side = 2 * 2 ** len(self.widths)
    times = size // 2 // side
    x = faces[:, size // 2:, size // 4:-size // 4].mean(-1) # [N, S / 2, S / 2]
    x = x.reshape(count, side, times, side, times, 1).mean((2, 4))
    x = (x - x.mean((1, 2), keepdims=True)) / (x.std((1, 2), keepdims=True) + 1e-3)
    for down, norm in zip(self.down, self.norm, strict=True):
      x = nn.relu(norm(down(x, train), train))              # [N, 8, 8, 32], 4x4, 2x2
    return _unit(self.face(x.reshape(count, -1)))           # [N, C]
    # fmt: on

  def hear(self, speech: jax.Array) -> jax.Array:
    """Returns unit vectors float32 [B, C] of embeddings of speech, float32 [B, E]."""
    return _unit(self.speech(speech))


def _unit(x: jax.Array) -> jax.Array:
  return x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + 1e-6)
