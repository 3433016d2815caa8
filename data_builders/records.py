"""What every builder writes: the record of `schema.py` as TFDS features."""

import numpy as np
import tensorflow_datasets as tfds

from wav2pix_jax.common import schema


def features() -> tfds.features.FeaturesDict:
  """Of a record; none of them needs TensorFlow."""
  return tfds.features.FeaturesDict(
    {
      schema.ID: tfds.features.Text(),
      schema.FACE: tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
      schema.SPEECH: tfds.features.Tensor(shape=(None,), dtype=np.int16),
      schema.IDENTITY: tfds.features.ClassLabel(),
      schema.OFFSET: np.int32,
      schema.INSTANT: np.int32,
      schema.INSTANT_ERROR: np.int32,
      schema.UNIT: np.int32,
    }
  )
