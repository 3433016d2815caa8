"""The generator with the speech encoder and the auxiliary classifier, which train together."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from wav2pix_jax import ops
from wav2pix_jax.models import layers
from wav2pix_jax.models.log_mel_encoder import LogMelEncoder
from wav2pix_jax.models.speech_encoder import SpeechEncoder


class AuxiliaryClassifier(nn.Module):
  """Names the speaker from the embedding (paper, section 4.2; layers of the PyTorch release)."""

  hidden: int  # width of the hidden layer; 0 for none (ours)
  identities: int  # number of speakers
  batch_norm: bool  # whether batch norm follows all layers, including the logits (release)
  devices: layers.Devices | None = None  # those that share a batch; None for one

  @nn.compact
  def __call__(self, embedding: jax.Array, train: bool) -> jax.Array:
    """Returns logits float32 [B, identities] for embeddings float32 [B, E]."""
    x = embedding
    if self.hidden:
      x = nn.Dense(self.hidden, kernel_init=layers.RELEASE_INIT, name="dense0")(x)
      if self.batch_norm:
        x = layers.BatchNorm(self.devices, name="norm0")(x, train)
      x = nn.leaky_relu(x, 0.2)
    x = nn.Dense(self.identities, kernel_init=layers.RELEASE_INIT, name="dense1")(x)
    if self.batch_norm:
      x = layers.BatchNorm(self.devices, name="norm1")(x, train)
    return x

  def prototype(self, logits: jax.Array) -> jax.Array:
    """Returns the mean of the speakers' prototypes, weighted by their probabilities.

    A prototype is the column of the only layer's kernel that gives a speaker's logit. The mean,
    float32 [B, E] for logits [B, identities], is divided by its root mean square.
    """
    prototypes = self.variables["params"]["dense1"]["kernel"].T
    return layers.rms_normalise(nn.softmax(logits) @ prototypes)


class Upsampler(nn.Module):
  """Transposed convolutions from an embedding to a face, which noise or dropout varies.

  Noise beside the embedding leaves the embedding as it is. In the paper dropout takes its place: on
  the embedding it varies the face as a whole, and in later layers smaller patches. Maps have the
  embedding's dtype.
  """

  # Channels at 4x4, 8x8, ... up to half the image size.
  widths: tuple[int, ...]
  batch_norm: bool  # whether batch norm follows each of these layers
  spectral_norm: bool  # whether all kernels have spectral norm (release)
  noise: int  # how many numbers of uniform noise, of variance 1, stand beside the embedding
  dropout: float  # rate of all dropout
  dropout_embedding: bool  # whether there is dropout on the embedding
  dropout_layers: int  # number of layers, from the first, with dropout before the ReLU
  devices: layers.Devices | None = None  # those that share a batch; None for one

  @nn.compact
  def __call__(self, embedding: jax.Array, train: bool, deterministic: bool) -> jax.Array:
    """Returns faces float32 [B, S, S, 3] in [-1, 1] for embeddings [B, E].

    Unless deterministic, it takes keys named "dropout"; otherwise the noise is 0.
    """

    def up(convolve, x, width, name):
      shape = (4, 4, width, x.shape[-1])
      return layers.Conv(convolve, shape, spectral_norm=self.spectral_norm, name=name)(x, train)

    # fmt: off
    x = embedding                                           # [B, E]
    if self.dropout_embedding:
      x = nn.Dropout(self.dropout)(x, deterministic)
    if self.noise:
      x = jnp.concatenate([x, self.uniform_noise(x, deterministic)], -1)
    for i, width in enumerate(self.widths):
      convolve = ops.conv_transpose_4x4_stride_2 if i else ops.conv_transpose_4x4_from_point
      x = up(convolve, x, width, f"up{i}")                  # [B, 4 * 2**i, 4 * 2**i, width]
      if self.batch_norm:
        x = layers.BatchNorm(self.devices, name=f"norm{i}")(x, train)
      if i < self.dropout_layers:
        x = nn.Dropout(self.dropout)(x, deterministic)
      x = nn.relu(x)
    x = up(ops.conv_transpose_4x4_stride_2, x, 3, "rgb")
    return nn.tanh(x.astype(jnp.float32))                   # [B, S, S, 3]
    # fmt: on

  def uniform_noise(self, x: jax.Array, deterministic: bool) -> jax.Array:
    """Returns noise [B, noise] for embeddings [B, E], of their dtype."""
    shape = (len(x), self.noise)
    if deterministic:
      return jnp.zeros(shape, x.dtype)
    uniform = jax.random.uniform(self.make_rng("dropout"), shape, minval=-1, maxval=1)
    return (math.sqrt(3) * uniform).astype(x.dtype)


class Generator(nn.Module):
  """From speech to a face and the speaker's name: everything that the generator's loss trains."""

  encoder: SpeechEncoder | LogMelEncoder  # from speech to embedding
  classifier: AuxiliaryClassifier  # from embedding to speaker, always in float32
  upsampler: Upsampler  # from embedding to face
  # Whether the embedding is the mean of the speakers' prototypes instead of the encoder's output
  # (ours). All that the face can then depend on is how probable each speaker is.
  prototypes: bool = False
  # The dtype of the convolutions; parameters, statistics, norms and outputs are float32.
  dtype: DTypeLike = jnp.float32

  def __call__(
    self, speech: jax.Array, train: bool, deterministic: bool, detached: bool = False
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns faces [B, S, S, 3] in [-1, 1], embeddings [B, E] and logits [B, identities], float32.

    Args:
      speech: Conditioned speech, float32 [B, T]. T is always the same for one set of weights, and
        `output_length` of it is at least 1.
      train: Whether to normalise by the batch and update the running statistics.
      deterministic: Whether to disable noise and dropout. In sampling both are on: samples differ
        by them.
      detached: Whether faces and embeddings are constants to the speech encoder.
    """
    embedding, logits = self.listen(speech, train)
    embedding = lax.stop_gradient(embedding) if detached else embedding
    return self.draw(embedding, train, deterministic), embedding, logits

  def listen(self, speech: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
    """Returns embeddings and logits, the first half of `__call__`."""
    embedding = self.encoder(speech.astype(self.dtype), train)
    logits = self.classifier(embedding, train)
    if self.prototypes:
      embedding = self.classifier.prototype(logits)
    return embedding, logits

  def draw(self, embedding: jax.Array, train: bool, deterministic: bool) -> jax.Array:
    """Returns faces for embeddings, the second half of `__call__`."""
    return self.upsampler(embedding.astype(self.dtype), train, deterministic)
