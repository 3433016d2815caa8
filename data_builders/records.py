"""The record that every builder writes, see `schema.py`, as TFDS features."""

import io
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from wav2pix_jax.common import schema


def features() -> tfds.features.FeaturesDict:
  """Returns the features of a record. None of them needs TensorFlow."""
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


def record(
  name: str,
  face: bytes,
  speech: np.ndarray,
  identity: str,
  unit: int,
  offset: int = 0,
  instant: int = schema.CLIP_SAMPLES // 2,
  instant_error: int = 0,
) -> tuple[str, dict[str, Any]]:
  """Returns a record and its key. By default the speech is a whole clip around the face.

  Args:
    name: Id of the record.
    face: JPEG file of the face.
    speech: Speech, int16 [T].
    identity: Name of the speaker.
    unit: Number of the unit of the splits.
    offset: Number of samples from the start of the clip to `speech[0]`; -1 if it is unknown.
    instant: Index into `speech` at which the face was filmed.
    instant_error: Largest error of `instant`, samples.
  """
  return name, {
    schema.ID: name,
    schema.FACE: io.BytesIO(face),
    schema.SPEECH: speech,
    schema.IDENTITY: identity,
    schema.OFFSET: offset,
    schema.INSTANT: instant,
    schema.INSTANT_ERROR: instant_error,
    schema.UNIT: unit,
  }
