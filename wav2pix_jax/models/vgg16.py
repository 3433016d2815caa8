"""VGG-Face (Parkhi, Vedaldi and Zisserman 2015), with which the paper names the person."""

import flax.linen as nn
import jax


class VggFace(nn.Module):
  """VGG-16 up to its second fully connected layer."""

  # Channels of each convolution, by block; a block ends with a pooling.
  widths: tuple[tuple[int, ...], ...]
  hidden: tuple[int, int]  # widths of both fully connected layers

  @nn.compact
  def __call__(self, faces: jax.Array) -> jax.Array:
    """Returns features float32 [B, hidden[1]] of faces float32 [B, S, S, 3].

    Faces are RGB, 0 to 255 minus the mean. S is always the same for one set of weights: 224 for the
    published ones.
    """
    x = faces
    for i, block in enumerate(self.widths, 1):
      for j, width in enumerate(block, 1):
        x = nn.relu(nn.Conv(width, (3, 3), name=f"conv{i}_{j}")(x))
      x = nn.max_pool(x, (2, 2), (2, 2))
    x = x.reshape(len(x), -1)
    for i, width in enumerate(self.hidden, 6):
      x = nn.relu(nn.Dense(width, name=f"fc{i}")(x))
    return x
