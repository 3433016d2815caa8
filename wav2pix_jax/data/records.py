"""A prepared dataset, and each of its splits decoded once into memory-mapped arrays."""

import dataclasses
import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from data_builders import registry
from data_builders.builder import PairsBuilder
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import INCOMPLETE, exclusively, writing

UNIFORM, CENTRED = "uniform", "centred"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EIO)

Example = dict[str, np.ndarray]


def check(dataset: Any, image_size: int | None = None) -> None:
  """Refuses a `config.dataset` that cannot be built, or read with faces of `image_size` pixels.

  Raises:
    UserError: A field has a value that it may not have.
  """
  registry.check(dataset, image_size)
  _check_choice("window_offset", dataset.window_offset, (UNIFORM, CENTRED))
  for step in dataset.audio_steps:
    _check_choice("audio_steps", step, tuple(audio.STEPS))


def _check_choice(field: str, value: str, choices: Sequence[str]) -> None:
  if value not in choices:
    raise UserError(f"dataset.{field} is {value!r}; choose from {', '.join(choices)}.")


def prepare(dataset: Any) -> PairsBuilder:
  """Returns the builder of a `config.dataset`, after writing its records if they are missing.

  One process writes while others wait; a dataset appears whole or not at all.

  Raises:
    UserError: As `check`, or the source cannot be read, a download failed, or the folder cannot be
      written.
  """
  check(dataset)
  builder = registry.builder(dataset)
  if Path(builder.data_dir).exists():
    return builder
  try:
    with exclusively(Path(builder.data_dir).parent):
      builder = registry.builder(dataset)  # another process may have prepared it meanwhile
      downloads = builder.DOWNLOADS and not dataset.source
      if not downloads:
        tfds.disable_progress_bar()  # the builders that read local files have their own
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
          register_checksums=downloads and not builder.url_infos
        )
      )
  except (tfds.download.DownloadError, NonMatchingChecksumError, OSError, RuntimeError) as error:
    reason = str(error).partition("\n")[0]
    if isinstance(error, RuntimeError) and not _cannot_write(reason):
      raise
    advice = (
      "if the download failed, name a copy with --config.dataset.source=PATH"
      if builder.DOWNLOADS
      else "make room there, or name another --config.dataset.data_dir"
    )
    raise UserError(
      f"dataset {builder.info.full_name} could not be prepared in {dataset.data_dir} ({reason}); "
      f"{advice}."
    ) from error
  return builder


def _cannot_write(reason: str) -> bool:
  """Whether array_record's RuntimeError, which has no error number, is about the disk."""
  return any(os.strerror(number) in reason for number in _DISK_ERRORS)


def everyone(builder: PairsBuilder) -> list[str]:
  """Returns all identities in the order of their labels: those to learn, then the unseen."""
  return list(builder.info.features[schema.IDENTITY].names)


def identity_names(builder: PairsBuilder) -> list[str]:
  """Returns the identities to learn, in the order of their labels."""
  unseen = getattr(builder.builder_config, "unseen", ())
  return everyone(builder)[: -len(unseen) or None]


def genders(builder: PairsBuilder) -> list[str]:
  """Returns the gender of everyone, in the order of labels; "" where it is not known."""
  known = builder.genders()
  return [known.get(name, "") for name in everyone(builder)]


def held_out_split(builder: PairsBuilder) -> str:
  """Where training may look at speech it does not learn from; `test` only without `validation`.

  Raises:
    UserError: there is none.
  """
  for split in (schema.VALIDATION, schema.TEST):
    if split in builder.info.splits:
      return split
  raise UserError(
    f"dataset {builder.info.full_name} has no held-out split: there is too little of each identity."
  )


@dataclasses.dataclass(frozen=True)
class Records:
  """A split at one image size, in memory-mapped arrays; a Grain data source.

  Attributes:
    faces: uint8 [N, S, S, 3].
    speech: int16, all records' end to end.
    stops: int64 [N], where in `speech` each record ends.
    identity: int32 [N].
    instant: int32 [N], as `schema.py` says.
    digest: 16 hex digits, others where any of these arrays differ.
  """

  faces: np.ndarray
  speech: np.ndarray
  stops: np.ndarray
  identity: np.ndarray
  instant: np.ndarray
  digest: str

  def __len__(self) -> int:
    return len(self.stops)

  def __getitem__(self, i: int) -> Example:
    start = self.stops[i - 1] if i else 0
    return {
      schema.FACE: self.faces[i],
      schema.SPEECH: self.speech[start : self.stops[i]],
      schema.IDENTITY: self.identity[i],
      schema.INSTANT: self.instant[i],
    }


def load(builder: PairsBuilder, split: str, image_size: int) -> Records:
  """A split with its faces decoded and resized: once per image size, then read from the cache.

  The cache lies beside the dataset and appears whole or not at all.
  """
  folder = Path(builder.data_dir) / "arrays" / f"{split}_{image_size}px"
  if not folder.exists():
    with exclusively(folder.parent), writing(folder):
      if not folder.exists():  # else another process has just been here
        _write_arrays(builder, split, image_size, folder)
  stops, identity, instant = np.load(folder / "table.npy").T
  return Records(
    faces=np.memmap(folder / "faces.u8", np.uint8, "r").reshape(-1, image_size, image_size, 3),
    speech=np.memmap(folder / "speech.i16", np.int16, "r"),
    stops=stops,
    identity=identity.astype(np.int32),
    instant=instant.astype(np.int32),
    digest=(folder / "digest").read_text(),
  )


def _write_arrays(builder: PairsBuilder, split: str, image_size: int, folder: Path) -> None:
  """One pass over the records, in constant memory, into a folder that is renamed when complete."""
  source = builder.as_data_source(split=split, decoders={schema.FACE: tfds.decode.SkipDecoding()})
  incomplete = folder.with_name(f"{folder.name}.{INCOMPLETE}")
  incomplete.mkdir()
  stop, table, digest = 0, [], hashlib.sha256()
  with (
    (incomplete / "faces.u8").open("wb") as faces,
    (incomplete / "speech.i16").open("wb") as speech,
  ):
    title = f"Resizing {split} faces to {image_size} px"
    for record in tqdm.tqdm(source, title, unit=" faces"):
      face = images.resize(images.decode(record[schema.FACE]), image_size)
      stop += len(record[schema.SPEECH])
      table.append((stop, record[schema.IDENTITY], record[schema.INSTANT]))
      for file, array in ((faces, face), (speech, record[schema.SPEECH])):
        file.write(array.tobytes())
        digest.update(array.tobytes())
  digest.update(np.array(table, np.int64).tobytes())
  np.save(incomplete / "table.npy", np.array(table, np.int64))
  (incomplete / "digest").write_text(digest.hexdigest()[:16])
  incomplete.rename(folder)


def evenly(records: Records, count: int, without: np.ndarray | None = None) -> np.ndarray:
  """Indices of up to `count` records spread evenly over the split, in the order of identities.

  Args:
    records: to choose from.
    count: at most as many.
    without: indices not to choose.
  """
  free = np.setdiff1d(np.arange(len(records)), [] if without is None else without)
  chosen = free[np.unique(np.linspace(0, len(free) - 1, min(count, len(free))).round().astype(int))]
  return chosen[np.argsort(records.identity[chosen], kind="stable")]
