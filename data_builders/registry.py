"""The datasets by name: the only module that knows all of them.

A new dataset is a builder (see `builder.py`) and an entry here; fields that only it needs stand
under `config.dataset.<its name>`.
"""

from typing import Any

from data_builders.builder import PairsBuilder
from data_builders.clips.clips_dataset_builder import Builder as Clips
from data_builders.pairs.pairs_dataset_builder import Builder as Pairs
from data_builders.synthetic.synthetic_dataset_builder import Builder as Synthetic
from data_builders.youtubers.youtubers_dataset_builder import Builder as Youtubers
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import expanded

DATASETS: dict[str, type[PairsBuilder]] = {
  "synthetic": Synthetic,
  "clips": Clips,
  "pairs": Pairs,
  "released": Youtubers,
  "clean": Youtubers,
}


def check(dataset: Any, image_size: int | None) -> None:
  """Refuses a `config.dataset` that no dataset can be built from.

  Raises:
    UserError: An unknown name, or a field with a value that it may not have.
  """
  _class_of(dataset).check(dataset, image_size)


def builder(dataset: Any) -> PairsBuilder:
  """Returns the builder of a `config.dataset`, which may not be prepared yet.

  Raises:
    UserError: An unknown name, or a source that cannot be read.
  """
  dataset_class = _class_of(dataset)
  config = dataset_class.config(dataset)
  return dataset_class(
    config=dataset_class.builder_configs.get(config.name, config),  # TFDS insists on its own
    data_dir=str(expanded(dataset.data_dir)),
    file_format="array_record",
  )


def size(dataset: Any) -> tuple[int, int]:
  """Returns the `size` of a `config.dataset`; raises UserError as `builder`."""
  return _class_of(dataset).size(dataset)


def _class_of(dataset: Any) -> type[PairsBuilder]:
  if dataset.name not in DATASETS:
    raise UserError(f"dataset.name is {dataset.name!r}; choose from {', '.join(DATASETS)}.")
  return DATASETS[dataset.name]
