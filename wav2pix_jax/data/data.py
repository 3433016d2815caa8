"""From a prepared dataset to batches, with Grain.

What a record contributes to batch number i depends on the seed and i alone, not on how many
processes or threads read: a global batch is a function of (seed, step).
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grain
import numpy as np
import tensorflow_datasets as tfds
import tqdm
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from data_builders.clips import clips_dataset_builder as clips
from data_builders.synthetic import synthetic_dataset_builder as synthetic
from data_builders.youtubers import youtubers_dataset_builder as youtubers
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import INCOMPLETE, exclusively, writing

UNIFORM = "uniform"
CENTRED = "centred"
# Samples to either side of a centred window, in training; a mouth opens and shuts within 0.2 s.
JITTER = schema.SAMPLE_RATE // 50

_PUBLISHED = (youtubers.RELEASED, youtubers.CLEAN)
_LEAST = {"identities": 2, "clips_per_identity": 3, "face_pixels": 16, "seed": 0}

_FACES = (schema.FACE, schema.MISMATCHED_FACE)

Example = dict[str, np.ndarray]


def check(dataset: Any) -> None:
  """Refuses a `config.dataset` whose choices do not exist.

  Raises:
    UserError: naming the field, its value and the choices.
  """
  _check("name", dataset.name, (synthetic.SYNTHETIC, clips.CLIPS, *_PUBLISHED))
  if dataset.name == clips.CLIPS and not dataset.source:
    raise UserError(
      "dataset.source is empty; name the folder of clips that python -m data_builders.prepare made."
    )
  if dataset.unseen and dataset.name in _PUBLISHED:
    raise UserError(
      f"dataset.unseen is {tuple(dataset.unseen)!r}, but of the published speakers, who are two, "
      "both are needed to tell them apart."
    )
  if dataset.name == synthetic.SYNTHETIC:
    if dataset.source:
      raise UserError(
        f"dataset.source is {dataset.source!r}, but synthetic speakers have none; for the "
        "published faces take --config=configs/youtubers.py."
      )
    for field, least in _LEAST.items():
      if dataset[field] < least:
        raise UserError(f"dataset.{field} is {dataset[field]}; it must be at least {least}.")
  _check("window_offset", dataset.window_offset, (UNIFORM, CENTRED))
  for step in dataset.audio_steps:
    _check("audio_steps", step, tuple(audio.STEPS))


def prepare(dataset: Any) -> tfds.core.DatasetBuilder:
  """The builder of `config.dataset`, with its records on disk: written on first use, then kept.

  One process writes and others wait for it; a dataset appears whole or not at all.

  Raises:
    UserError: as `check`, a source that cannot be read, a download that failed, or a folder that
      cannot be written.
  """
  check(dataset)
  published = dataset.name in _PUBLISHED
  builder = _builder(dataset)
  if Path(builder.data_dir).exists():
    return builder
  try:
    with exclusively(Path(builder.data_dir).parent):
      builder = _builder(dataset)  # which another process may have prepared by now
      if not published:
        tfds.disable_progress_bar()  # these builders have better ones
      first_download = (
        published and not dataset.source and youtubers.URL not in (builder.url_infos or {})
      )
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(register_checksums=first_download)
      )
  except (
    tfds.download.DownloadError,
    NonMatchingChecksumError,
    OSError,
    RuntimeError,  # array_record's, where it cannot write
  ) as error:
    reason = str(error).partition("\n")[0]
    advice = (
      "where the download is what failed, name a copy with --config.dataset.source=PATH"
      if published
      else "make room there, or name another --config.dataset.data_dir"
    )
    raise UserError(
      f"dataset {builder.info.full_name} could not be prepared in {dataset.data_dir} ({reason}); "
      f"{advice}."
    ) from error
  return builder


def _builder(dataset: Any) -> tfds.core.DatasetBuilder:
  builder: type[tfds.core.DatasetBuilder]
  config: tfds.core.BuilderConfig
  if dataset.name == synthetic.SYNTHETIC:
    builder, config = synthetic.Builder, _synthetic_config(dataset)
  elif dataset.name == clips.CLIPS:
    builder, config = clips.Builder, clips.config(dataset.source, dataset.unseen)
  else:
    builder, config = youtubers.Builder, youtubers.config(dataset.name, dataset.source)
  return builder(
    config=config,
    data_dir=os.path.expanduser(dataset.data_dir),
    file_format="array_record",
  )


def _synthetic_config(dataset: Any) -> synthetic.SyntheticConfig:
  config = synthetic.config(
    dataset.identities,
    dataset.clips_per_identity,
    dataset.face_pixels,
    dataset.seed,
    dataset.unseen,
  )
  return synthetic.Builder.builder_configs.get(config.name, config)  # TFDS wants its own


def _check(field: str, value: str, choices: tuple[str, ...]) -> None:
  if value not in choices:
    raise UserError(f"dataset.{field} is {value!r}; choose from {', '.join(choices)}.")


def published_size(dataset: Any) -> tuple[int, int]:
  """Identities and training records of a dataset, of the published one without looking at a copy.

  Raises:
    UserError: as `check`, or a manifest of clips that cannot be read.
  """
  check(dataset)
  if dataset.name == synthetic.SYNTHETIC:
    drawn = synthetic.clips_of_splits(_synthetic_config(dataset))
    return dataset.identities - len(set(dataset.unseen)), len(drawn[schema.TRAIN])
  if dataset.name == clips.CLIPS:
    learned, cut = clips.clips_of_splits(clips.config(dataset.source, dataset.unseen))
    return len(learned), len(cut[schema.TRAIN])
  (builder_config,) = (c for c in youtubers.Builder.BUILDER_CONFIGS if c.name == dataset.name)
  return builder_config.identities, builder_config.train_records


def everyone(builder: tfds.core.DatasetBuilder) -> list[str]:
  """Who the labels stand for, in order: those to learn, then the unseen."""
  return list(builder.info.features[schema.IDENTITY].names)


def identity_names(builder: tfds.core.DatasetBuilder) -> list[str]:
  """Who is to be learned, in the order of labels."""
  unseen = getattr(builder.builder_config, "unseen", ())
  return everyone(builder)[: -len(unseen) or None]


def genders(builder: tfds.core.DatasetBuilder) -> list[str]:
  """Of everyone, in the order of labels; "" where it is not known."""
  known: dict[str, str] = {}
  if isinstance(builder, synthetic.Builder):
    known = synthetic.genders(builder.builder_config)
  elif isinstance(builder, clips.Builder):
    known = clips.genders(builder.builder_config)
  return [known.get(name, "") for name in everyone(builder)]


def held_out_split(builder: tfds.core.DatasetBuilder) -> str:
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


def load(builder: tfds.core.DatasetBuilder, split: str, image_size: int) -> Records:
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


def _write_arrays(
  builder: tfds.core.DatasetBuilder, split: str, image_size: int, folder: Path
) -> None:
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


def train_batches(
  records: Records,
  config: Any,
  batch_size: int,
  process_index: int = 0,
  process_count: int = 1,
  start: int = 0,
) -> grain.DatasetIterator:
  """Endless shuffled batches, as `schema.py` says, from that of step `start` on.

  Going on after any step on any number of processes takes the number of the step and nothing else.

  Args:
    records: to learn from.
    config: for `seed`, `dataset.*` and whether `loss.mismatched` has weight.
    batch_size: of this process; batch i of process p is part p of global batch i.
    process_index: which of the processes this is.
    process_count: how many share the global batch.
    start: steps done before the first batch.

  Raises:
    UserError: as `refuse_one_identity`.
  """
  refuse_one_identity(records, config)
  return iter(
    grain.MapDataset.source(records)
    .seed(config.seed)
    .shuffle()
    .repeat()
    .random_map(_Drawn(records, config))
    .batch(batch_size)[start * process_count + process_index :: process_count]
    .map(functools.partial(conditioned, steps=tuple(config.dataset.audio_steps)))
    # One thread is the fastest (measured): several wait for Python's lock, and for each other.
    .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=8))
  )


def refuse_one_identity(records: Records, config: Any) -> None:
  """Refuses records that leave no mismatched faces to draw, where the loss has that term.

  Raises:
    UserError: all show the same person.
  """
  if config.loss.mismatched and len(np.unique(records.identity)) < 2:
    raise UserError("the training records show one identity only; mismatched faces need two.")


class _Drawn(grain.transforms.RandomMap):
  """Of a record a window of its speech, its face, and (if used) somebody else's, as stored."""

  def __init__(self, records: Records, config: Any):
    self._records = records
    self._dataset = config.dataset
    self._mismatched = bool(config.loss.mismatched)
    self._others = [
      np.flatnonzero(records.identity != who) for who in range(records.identity.max() + 1)
    ]

  def random_map(self, element: Example, rng: np.random.Generator) -> Example:
    length, size = len(element[schema.SPEECH]), self._dataset.window_samples
    if self._dataset.window_offset == UNIFORM:
      start = rng.integers(max(length - size, 0), endpoint=True)
    else:
      jitter = int(rng.integers(-JITTER, JITTER, endpoint=True))
      start = centred_start(length, size, int(element[schema.INSTANT]) + jitter)
    speech = element[schema.SPEECH][start : start + size]
    if self._dataset.distort:
      speech = audio.distort(speech, rng)
    drawn = {
      schema.SPEECH: audio.cut(speech, 0, size),
      schema.FACE: self._flipped(element[schema.FACE], rng),
      schema.IDENTITY: element[schema.IDENTITY],
    }
    if self._mismatched:
      other = self._records.faces[rng.choice(self._others[element[schema.IDENTITY]])]
      drawn[schema.MISMATCHED_FACE] = self._flipped(other, rng)
    return drawn

  def _flipped(self, face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return face[:, ::-1] if self._dataset.flip and rng.random() < 0.5 else face


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


def centred_examples(records: Records, dataset: Any, chosen: np.ndarray) -> Example:
  """Centred examples of the chosen records as one batch, without mismatched faces."""
  batch = {
    schema.SPEECH: centred_windows(records, dataset.window_samples, chosen),
    schema.FACE: records.faces[chosen],
    schema.IDENTITY: records.identity[chosen],
  }
  return conditioned(batch, dataset.audio_steps)


def centred_windows(records: Records, size: int, chosen: np.ndarray) -> np.ndarray:
  """Speech of the chosen records around their instants, as stored: int16 [N, size]."""
  windows = []
  for record in map(records.__getitem__, chosen):
    start = centred_start(len(record[schema.SPEECH]), size, int(record[schema.INSTANT]))
    windows.append(audio.cut(record[schema.SPEECH][start : start + size], 0, size))
  return np.stack(windows)


def centred_start(length: int, window: int, instant: int) -> int:
  """Where a window around an instant starts, moved to lie within the speech if that is longer."""
  return int(np.clip(instant - window // 2, 0, max(length - window, 0)))


def conditioned(batch: dict[str, Any], steps: Sequence[str]) -> dict[str, Any]:
  """Windows and faces as stored, [B, ...], as the networks take them; of NumPy or JAX."""
  out = {schema.SPEECH: audio.condition(batch[schema.SPEECH], steps)}
  faces = {name: images.to_float(batch[name]) for name in _FACES if name in batch}
  return out | faces | {schema.IDENTITY: batch[schema.IDENTITY]}
