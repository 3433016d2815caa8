"""The speech encoder, from samples to an embedding (paper, section 4.1; PyTorch release)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from wav2pix_jax import ops
from wav2pix_jax.models import layers

LEAKY_SLOPE = 0.3  # release


def output_length(samples: int, blocks: int) -> int:
  """Returns the length of a window after the strided convolutions; 0 or less means none is left."""
  for _ in range(blocks):
    samples = (samples - 2) // 4 + 1
  return samples


class SpeechEncoder(nn.Module):
  """Six convolutions with kernel 15 and stride 4, then three dense layers."""

  widths: tuple[int, ...]  # channels of each convolution
  hidden: int  # width of the first dense layer
  embedding: int  # width of the second dense layer and of the embedding
  batch_norm: bool  # whether batch norm follows every convolution (release; the paper names none)
  # Whether to divide the embedding by its root mean square. Generator and discriminator then
  # receive it at full scale from the first step; with the release's initialisation it is about 1/30
  # (measured).
  normalise: bool
  devices: layers.Devices | None = None  # those that share a batch; None for one

  @nn.compact
  def __call__(self, speech: jax.Array, train: bool) -> jax.Array:
    """Returns embeddings float32 [B, embedding]; convolutions have the dtype of speech [B, T]."""
    # fmt: off
    x = speech[..., None]                                   # [B, T, 1]
    for i, width in enumerate(self.widths):
      shape = (15, x.shape[-1], width)
      x = layers.Conv(ops.conv_15_stride_4, shape, use_bias=True, name=f"conv{i}")(x, train)
      if self.batch_norm:
        x = layers.BatchNorm(self.devices, name=f"norm{i}")(x, train)
      x = nn.leaky_relu(x, LEAKY_SLOPE)                     # [B, (T - 2) // 4 + 1, width]
    x = x.reshape(len(x), -1).astype(jnp.float32)           # [B, 4096] for 16,000 samples
    x = nn.relu(nn.Dense(self.hidden, kernel_init=layers.RELEASE_INIT, name="dense0")(x))
    x = nn.relu(nn.Dense(self.embedding, kernel_init=layers.RELEASE_INIT, name="dense1")(x))
    x = nn.Dense(self.embedding, kernel_init=layers.RELEASE_INIT, name="dense2")(x)
    if self.normalise:
      x = layers.rms_normalise(x)
    return x                                                # [B, embedding]
    # fmt: on
