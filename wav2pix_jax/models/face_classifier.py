"""A small network that names the person in a picture, to measure generated faces."""

import flax.linen as nn
import jax

from wav2pix_jax import ops
from wav2pix_jax.models import layers

WIDTHS = (32, 64, 128, 128)  # channels of the first blocks; larger sizes repeat the last


class FaceClassifier(nn.Module):
  """Strided convolutions with batch norm to 4x4, average pooling, and a linear layer."""

  identities: int  # number of people

  @nn.compact
  def __call__(self, faces: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
    """Returns logits float32 [B, identities] and features float32 [B, C].

    From faces float32 [B, S, S, 3] in [-1, 1]; S is a power of two, at least 8. In training they
    are normalised by the batch, and the running statistics are updated.
    """
    # fmt: off
    x = faces                                               # [B, S, S, 3]
    for i in range(faces.shape[1].bit_length() - 3):
      width = WIDTHS[min(i, len(WIDTHS) - 1)]
      conv = layers.Conv(ops.conv_4x4_stride_2, (4, 4, x.shape[-1], width), name=f"down{i}")
      x = nn.relu(layers.BatchNorm(name=f"norm{i}")(conv(x, train), train))
    features = x.mean((1, 2))                               # [B, C]
    return nn.Dense(self.identities, name="logits")(features), features
    # fmt: on
