"""A speech encoder of log-mel spectra (ours), which learns sooner who speaks, and what is said.

The paper's encoder learns its filters from the samples. A fixed filter bank leaves less to learn:
of few recordings of each person it learns the voice rather than the recordings (docs/recipe.md).
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from wav2pix_jax import ops
from wav2pix_jax.models import layers

FRAME, STRIDE = 400, 160  # samples, 25 and 10 ms
SPACING = 40  # Hz between frequencies of a frame, 1 / 25 ms
BANDS = 64
LOWEST, HIGHEST = 50, 7600  # Hz
FLOOR = 1e-5  # power, below the noise of a quiet recording whose peak is 1
WIDTH = 128  # channels of each convolution
MIDDLE = 3  # frames of the last convolution in the middle of a window, 40 ms each
DROPOUT = 0.3
LEAST_VARIANCE = 1e-4
ATTENTION = 64  # width of the layer that weighs frames
INIT = nn.initializers.lecun_normal()
LAYERS = ((5, 1), (3, 2), (3, 2))  # kernel and stride


class LogMelEncoder(nn.Module):
  """Three convolutions over the frames of a log-mel spectrum, then their mean and deviation.

  These tell who speaks. The frames in the middle tell what is said there.
  """

  middle: bool  # whether to use those frames: for windows around a face's instant
  embedding: int  # width of the embedding
  normalise: bool  # whether to divide the embedding by its root mean square
  devices: layers.Devices | None = None  # those that share a batch; None for one

  @nn.compact
  def __call__(self, speech: jax.Array, train: bool) -> jax.Array:
    """Returns embeddings float32 [B, embedding]; convolutions have the dtype of speech [B, T].

    T is at least `FRAME`. In training, dropout takes keys named "dropout".
    """
    dtype = speech.dtype
    # fmt: off
    x = log_mel(speech.astype(jnp.float32))                 # [B, F, 64], 98 frames a second
    x = layers.BatchNorm(self.devices, name="norm")(x, train).astype(dtype)
    for i, (size, stride) in enumerate(LAYERS):
      conv, shape = functools.partial(ops.conv_same, stride=stride), (size, x.shape[-1], WIDTH)
      x = layers.Conv(conv, shape, kernel_init=INIT, name=f"conv{i}")(x, train)
      x = nn.relu(layers.BatchNorm(self.devices, name=f"norm{i}")(x, train))
    x = x.astype(jnp.float32)                               # [B, F / 4, 128]
    hidden = nn.tanh(nn.Dense(ATTENTION, name="attend")(x))
    weight = nn.Dense(1, use_bias=False, name="weight")(hidden)
    weight = nn.softmax(weight, axis=1)                     # frames with a voice count more
    mean = (weight * x).sum(1, keepdims=True)
    variance = (weight * jnp.square(x - mean)).sum(1)
    pooled = [mean[:, 0], jnp.sqrt(jnp.maximum(variance, LEAST_VARIANCE))]
    if self.middle:
      first = max(x.shape[1] - MIDDLE, 0) // 2
      pooled.append(x[:, first : first + MIDDLE].reshape(len(x), -1))
    x = jnp.concatenate(pooled, -1)                         # [B, 640]; without middle 256
    x = layers.BatchNorm(self.devices, name="norm_pooled")(x, train)
    x = nn.Dropout(DROPOUT)(x, not train)
    x = nn.Dense(self.embedding, name="dense")(x)
    if self.normalise:
      x = layers.rms_normalise(x)
    return x                                                # [B, embedding]
    # fmt: on


def log_mel(speech: jax.Array) -> jax.Array:
  """Returns the log-mel spectrum of speech [B, T] around its mean: float32 [B, F, `BANDS`].

  The Fourier transform is a product with a matrix, for platforms and exports without one.
  """
  count = (speech.shape[-1] - FRAME) // STRIDE + 1
  frames = speech[:, np.arange(count)[:, None] * STRIDE + np.arange(FRAME)]
  real, imaginary = (frames @ wave.astype(np.float32) for wave in waves())
  power = jnp.square(real) + jnp.square(imaginary)
  mel = jnp.log1p(power @ (filters() / FLOOR).astype(np.float32))
  return mel - mel.mean((1, 2), keepdims=True)  # however loud it is


def waves() -> np.ndarray:
  """Returns cosines and sines under a Hann window, float64 [2, FRAME, FRAME / 2 + 1]."""
  angle = 2 * np.pi / FRAME * np.outer(np.arange(FRAME), np.arange(FRAME // 2 + 1))
  return np.hanning(FRAME)[:, None] * np.stack([np.cos(angle), np.sin(angle)])


def filters() -> np.ndarray:
  """Returns triangular filters on the mel scale, float64 [FRAME / 2 + 1, BANDS]."""

  def mel(hertz):
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)

  edges = 700 * (10 ** (np.linspace(mel(LOWEST), mel(HIGHEST), BANDS + 2) / 2595) - 1)
  hertz = SPACING * np.arange(FRAME // 2 + 1)[:, None]
  rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
  falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
  return np.maximum(0, np.minimum(rising, falling))
