"""All that draws: speech encoder, generator, and the auxiliary classifier that trains with them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from wav2pix_jax import ops
from wav2pix_jax.models import layers
from wav2pix_jax.models.speech_encoder import SpeechEncoder


class AuxiliaryClassifier(nn.Module):
  """Names the speaker from the embedding (paper section 4.2; release for the layers).

  Attributes:
    hidden: width of the hidden layer.
    identities: how many speakers there are.
    batch_norm: after both layers, the logits too (release).
    axis_name: the devices whose batch is normalised together.
  """

  hidden: int
  identities: int
  batch_norm: bool
  axis_name: str | None = None

  @nn.compact
  def __call__(self, embedding: jax.Array, train: bool) -> jax.Array:
    """Logits float32 [B, identities] of embeddings float32 [B, E]."""
    x = nn.Dense(self.hidden, kernel_init=layers.RELEASE_INIT, name="dense0")(embedding)
    if self.batch_norm:
      x = layers.BatchNorm(self.axis_name, name="norm0")(x, train)
    x = nn.leaky_relu(x, 0.2)
    x = nn.Dense(self.identities, kernel_init=layers.RELEASE_INIT, name="dense1")(x)
    if self.batch_norm:
      x = layers.BatchNorm(self.axis_name, name="norm1")(x, train)
    return x


class Upsampler(nn.Module):
  """Transposed convolutions from an embedding to a face; dropout takes the place of a noise input.

  On the embedding it varies the face as a whole; in later layers, ever smaller patches of it. Maps
  have the embedding's dtype.

  Attributes:
    widths: channels at 4x4, 8x8, ... up to half the image size.
    batch_norm: after each of them.
    spectral_norm: on every kernel (release).
    dropout: rate, wherever there is dropout.
    dropout_embedding: on the embedding.
    dropout_layers: before the ReLU of as many layers, from the first (at most all of them).
    axis_name: the devices whose batch is normalised together.
  """

  widths: tuple[int, ...]
  batch_norm: bool
  spectral_norm: bool
  dropout: float
  dropout_embedding: bool
  dropout_layers: int
  axis_name: str | None = None

  @nn.compact
  def __call__(self, embedding: jax.Array, train: bool, deterministic: bool) -> jax.Array:
    """Faces float32 [B, S, S, 3] in [-1, 1] of embeddings [B, E]."""

    def up(convolve, x, width, name):
      shape = (4, 4, width, x.shape[-1])
      return layers.Conv(convolve, shape, spectral_norm=self.spectral_norm, name=name)(x, train)

    # fmt: off
    x = embedding                                           # [B, E]
    if self.dropout_embedding:
      x = nn.Dropout(self.dropout)(x, deterministic)
    for i, width in enumerate(self.widths):
      convolve = ops.conv_transpose_4x4_stride_2 if i else ops.conv_transpose_4x4_from_point
      x = up(convolve, x, width, f"up{i}")                  # [B, 4 * 2**i, 4 * 2**i, width]
      if self.batch_norm:
        x = layers.BatchNorm(self.axis_name, name=f"norm{i}")(x, train)
      if i < self.dropout_layers:
        x = nn.Dropout(self.dropout)(x, deterministic)
      x = nn.relu(x)
    x = up(ops.conv_transpose_4x4_stride_2, x, 3, "rgb")
    return nn.tanh(x.astype(jnp.float32))                   # [B, S, S, 3]
    # fmt: on


class Generator(nn.Module):
  """Speech to face, with the speaker's name on the side: everything the generator's loss trains.

  Attributes:
    encoder: speech to embedding.
    classifier: embedding to speaker, always in float32.
    upsampler: embedding to face.
    dtype: of the convolutions; parameters, statistics, norms and what comes out are float32.
  """

  encoder: SpeechEncoder
  classifier: AuxiliaryClassifier
  upsampler: Upsampler
  dtype: DTypeLike = jnp.float32

  def __call__(
    self, speech: jax.Array, train: bool, deterministic: bool
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Faces [B, S, S, 3] in [-1, 1], embeddings [B, E] and logits [B, identities], float32.

    Args:
      speech: float32 [B, T], conditioned; T as long as `output_length` leaves a step of it, and
        always the same for one set of weights.
      train: normalise by the batch and move the running statistics.
      deterministic: leave dropout out. Drawing keeps it in: it is where variety comes from.
    """
    embedding = self.encoder(speech.astype(self.dtype), train)
    logits = self.classifier(embedding, train)
    faces = self.upsampler(embedding.astype(self.dtype), train, deterministic)
    return faces, embedding, logits
