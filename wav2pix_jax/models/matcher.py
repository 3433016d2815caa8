"""A network that tells whether a face goes with speech, to measure generated faces."""

import flax.linen as nn
import jax

from wav2pix_jax.models.face_encoder import FaceEncoder, levels
from wav2pix_jax.models.speech_encoder import SpeechEncoder


class Matcher(nn.Module):
  """A speech encoder and a face encoder of the kinds that the generator is trained with.

  Its windows of speech are shorter than the generator's: one convolution less leaves six moments of
  0.4 s.
  """

  image_size: int  # pixels

  def setup(self):  # noqa: D102, flax calls it
    self.speech_encoder = SpeechEncoder(
      widths=(16, 32, 64, 128, 256), hidden=256, embedding=128, batch_norm=True, normalise=True
    )
    self.face_encoder = FaceEncoder((32, 64, 128)[: levels(self.image_size)], embedding=64)

  def __call__(self, faces: jax.Array, speech: jax.Array, train: bool) -> tuple[jax.Array, ...]:
    """See `FaceEncoder`; speech is conditioned, float32 [B, T]."""
    return self.face_encoder(faces, self.speech_encoder(speech, train), train)

  def see(self, faces: jax.Array) -> jax.Array:
    """Returns unit vectors of faces."""
    return self.face_encoder.see(faces, False)

  def hear(self, speech: jax.Array) -> jax.Array:
    """Returns unit vectors of speech."""
    return self.face_encoder.hear(self.speech_encoder(speech, False))
