"""A prepared dataset, and each of its splits decoded once into memory-mapped arrays."""

import dataclasses
import errno
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from google.protobuf.json_format import ParseError
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from data_builders import registry
from data_builders.builder import PairsBuilder
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, make_once
from wav2pix_jax.common.indices import spread_evenly

ARRAYS = "arrays_2"  # the cache's folder; another number for other content
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EIO)

# Errors of array_record's reader begin with one of these.
_UNREADABLE = ("Invalid Riegeli/records", "Corrupted Riegeli/records", "open() failed")


def check(dataset: Any, image_size: int | None = None) -> None:
  """Refuses a `config.dataset` that cannot be built, or read with faces of `image_size` pixels.

  Raises:
    UserError: A field has a value that it may not have.
  """
  registry.check(dataset, image_size)
  _check_choice("window_offset", dataset.window_offset, (schema.UNIFORM, schema.CENTRED))
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
  builder = _opened(dataset)
  if Path(builder.data_dir).exists():
    return builder
  try:
    with exclusively(Path(builder.data_dir).parent):
      builder = _opened(dataset)  # another process may have prepared it meanwhile
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


def _opened(dataset: Any) -> PairsBuilder:
  """Returns the builder; raises UserError where what was prepared is damaged."""
  try:
    builder = registry.builder(dataset)
  except (ParseError, UnicodeDecodeError) as error:
    reason = str(error).partition("\n")[0]
    raise UserError(
      f"a dataset in {dataset.data_dir} is damaged ({reason}); remove its folder, and it is "
      "prepared again."
    ) from error
  folder = Path(builder.data_dir)
  if folder.exists() and not (folder / "dataset_info.json").exists():
    raise UserError(f"{folder}: damaged; remove the folder, and it is prepared again.")
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
  """Returns the split that training may look at without learning from it: `validation`, or `test`.

  Raises UserError if the dataset has neither.
  """
  for split in (schema.VALIDATION, schema.TEST):
    if split in builder.info.splits:
      return split
  raise UserError(
    f"dataset {builder.info.full_name} has no held-out split: there is too little of each identity."
  )


@dataclasses.dataclass(frozen=True)
class Records:
  """A split at one image size, in memory-mapped arrays."""

  faces: np.ndarray  # uint8 [N, S, S, 3]
  speech: np.ndarray  # the speech of all records end to end, int16
  stops: np.ndarray  # where in `speech` each record ends, int64 [N]
  identity: np.ndarray  # labels, int32 [N]
  # Index into each record's speech at which the face was filmed, int32 [N]; see `schema.py`.
  instant: np.ndarray
  digest: str  # 16 hex digits, which change if any of these arrays does
  instant_error: np.ndarray  # bound of the error of `instant`, samples, int32 [N]
  any_face: bool = False  # whether any face of the speaker goes with the speech of a record

  def __len__(self) -> int:
    return len(self.stops)

  @functools.cached_property
  def lengths(self) -> np.ndarray:
    """Samples of speech in each record, int64 [N]."""
    return np.diff(self.stops, prepend=0)

  def speech_of(self, record: int) -> np.ndarray:
    """Returns the speech of a record, int16 [T]."""
    stop = self.stops[record]
    return self.speech[stop - self.lengths[record] : stop]

  def exact(self, error: int) -> "Records":
    """Returns the records whose instant is known up to an error in samples; itself if all are."""
    chosen = np.flatnonzero(self.instant_error <= error)
    if len(chosen) == len(self):
      return self
    speech = [self.speech_of(int(i)) for i in chosen]
    return dataclasses.replace(
      self,
      faces=self.faces[chosen],
      speech=np.concatenate([np.zeros(0, np.int16), *speech]),
      stops=np.cumsum(self.lengths[chosen]),
      identity=self.identity[chosen],
      instant=self.instant[chosen],
      instant_error=self.instant_error[chosen],
    )

  def spread(self, count: int, without: np.ndarray | None = None, each: int = 1) -> np.ndarray:
    """Returns up to `count` indices spread evenly over the split, in the order of identities.

    Indices in `without` are not chosen. Where there are too many identities for `each` records of
    every one, only those with most records are chosen from.
    """
    free = np.setdiff1d(np.arange(len(self)), [] if without is None else without)
    labels, counts = np.unique(self.identity[free], return_counts=True)
    if each > 1 and len(labels) > count // each:
      most = labels[np.argsort(-counts, kind="stable")[: count // each]]
      free = free[np.isin(self.identity[free], most)]
      free = free[np.argsort(self.identity[free], kind="stable")]
    chosen = spread_evenly(free, count)
    return chosen[np.argsort(self.identity[chosen], kind="stable")]

  def centred_windows(self, chosen: np.ndarray, window_samples: int) -> np.ndarray:
    """Returns the speech of chosen records around their instants, int16 [N, window_samples]."""
    starts = centred_start(self.lengths[chosen], window_samples, self.instant[chosen])
    return np.stack(
      [
        audio.cut(self.speech_of(i), int(start), window_samples)
        for i, start in zip(chosen, starts, strict=True)
      ]
    )


def centred_start(length: Any, window_samples: int, instant: Any) -> Any:
  """Returns where a window around an instant starts, moved to lie within the speech if it can.

  `length` and `instant` are the speech's length and an index into it, in samples, int [...].
  """
  return np.clip(instant - window_samples // 2, 0, np.maximum(length - window_samples, 0))


def load(
  builder: PairsBuilder, split: str, image_size: int, largest_error: int = schema.CLIP_SAMPLES
) -> Records:
  """Returns a split with faces decoded and resized: once per image size, then from the cache.

  The cache lies beside the dataset, and appears whole or not at all. Records whose instant may be
  wrong by more than `largest_error` samples are left out.

  Raises:
    UserError: That leaves no record, or the cache cannot be written.
  """
  folder = Path(builder.data_dir) / ARRAYS / f"{split}_{image_size}px"
  try:
    make_once(folder, functools.partial(_write_arrays, builder, split, image_size))
  except RuntimeError as error:  # of array_record
    reason = str(error).partition("\n")[0]
    if not reason.startswith(_UNREADABLE):
      raise
    raise UserError(
      f"{builder.data_dir}: damaged ({reason}); remove the folder, and it is prepared again."
    ) from error
  try:
    records = _read_arrays(folder, image_size)
    records = dataclasses.replace(records, any_face=builder.any_face).exact(largest_error)
  except (OSError, ValueError) as error:
    reason = str(error).partition("\n")[0]
    raise UserError(
      f"{folder}: damaged ({reason}); remove the folder, and it is made again."
    ) from error
  if not len(records):
    raise UserError(
      f"dataset.largest_instant_error is {largest_error} samples, which leaves none of the {split} "
      f"records of {builder.info.full_name}; set it to a larger number."
    )
  return records


def _read_arrays(folder: Path, image_size: int) -> Records:
  """Returns what `_write_arrays` wrote; raises OSError or ValueError if it is not whole."""
  stops, identity, instant, instant_error = np.load(folder / "table.npy").T
  faces = np.memmap(folder / "faces.u8", np.uint8, "r").reshape(-1, image_size, image_size, 3)
  speech = np.memmap(folder / "speech.i16", np.int16, "r")
  if (len(faces), len(speech)) != (len(stops), stops[-1]):
    raise ValueError(f"{len(faces)} faces and {len(speech)} samples of {len(stops)} records")
  return Records(
    faces=faces,
    speech=speech,
    stops=stops,
    identity=identity.astype(np.int32),
    instant=instant.astype(np.int32),
    digest=(folder / "digest").read_text(),
    instant_error=instant_error.astype(np.int32),
  )


def _write_arrays(builder: PairsBuilder, split: str, image_size: int, folder: Path) -> None:
  """Writes a split's arrays in one pass over the records, in constant memory."""
  source = builder.as_data_source(split=split, decoders={schema.FACE: tfds.decode.SkipDecoding()})
  folder.mkdir()
  stop, table, digest = 0, [], hashlib.sha256()
  with (folder / "faces.u8").open("wb") as faces, (folder / "speech.i16").open("wb") as speech:
    title = f"Resizing {split} faces to {image_size} px"
    for record in tqdm.tqdm(source, title, unit=" faces"):
      face = images.resize(images.decode(record[schema.FACE]), image_size)
      stop += len(record[schema.SPEECH])
      about = record[schema.IDENTITY], record[schema.INSTANT], record[schema.INSTANT_ERROR]
      table.append((stop, *about))
      for file, array in ((faces, face), (speech, record[schema.SPEECH])):
        file.write(array.tobytes())
        digest.update(array.tobytes())
  digest.update(np.array(table, np.int64)[:, :3].tobytes())
  np.save(folder / "table.npy", np.array(table, np.int64))
  (folder / "digest").write_text(digest.hexdigest()[:16])
