"""The base class of every dataset's builder."""

import io
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data_builders import large_splits
from wav2pix_jax.common import schema

large_splits.install()


class PairsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
  """A TFDS builder of records as `schema.py` defines them: array_record, no TensorFlow.

  A dataset is a subclass in a folder of its own, and an entry in `registry.py`. Besides what TFDS
  asks for (`VERSION`, `_split_generators`, `_generate_examples`), a subclass defines the class
  methods `check`, `config` and `size`.
  """

  # Whether the builder downloads its source where `dataset.source` is empty.
  DOWNLOADS: ClassVar[bool] = False
  HOMEPAGE: ClassVar[str | None] = None  # the address of the source

  @classmethod
  def check(cls, dataset: Any, image_size: int | None) -> None:
    """Refuses a `config.dataset` that this dataset cannot be built from.

    Raises:
      UserError: A field has a value that it may not have; the message names both.
    """

  @classmethod
  def config(cls, dataset: Any) -> tfds.core.BuilderConfig:
    """Returns the TFDS config of a `config.dataset`.

    TFDS takes a dataset as prepared when there is one of the same name, so the config's name
    changes whenever the content would.

    Raises:
      UserError: The source cannot be read.
    """
    raise NotImplementedError

  @classmethod
  def size(cls, dataset: Any) -> tuple[int, int]:
    """Returns the number of identities and of training records, without preparing the dataset."""
    raise NotImplementedError

  @property
  def any_face(self) -> bool:
    """Whether any face of an identity goes with any speech of it, not only that of its record."""
    return False

  def genders(self) -> dict[str, str]:
    """Returns the gender of each identity, "" or no entry where it is unknown."""
    return {}

  def _log_download_bytes(self) -> None:
    """TFDS says what it downloads, which is nothing where the source is made or lies here."""
    if self.DOWNLOADS:
      super()._log_download_bytes()
    else:
      print(f"Preparing dataset {self.info.full_name} in {self.data_dir} ...")

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
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
      ),
      homepage=self.HOMEPAGE,
      supervised_keys=None,
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
  """Returns a record and its key, with the fields of `schema.py`: `face` is a JPEG file.

  By default the speech, int16 [T], is a whole clip around the face.
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
