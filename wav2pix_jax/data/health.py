"""Whether a prepared dataset is fit to train on: sizes, leaks between splits, silence, faces."""

import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

import cv2
import numpy as np
import tensorflow_datasets as tfds

from data_builders.builder import PairsBuilder
from wav2pix_jax.common import audio, dlib_faces, schema
from wav2pix_jax.common.errors import listed
from wav2pix_jax.common.finding import Finding
from wav2pix_jax.data import records as of_records
from wav2pix_jax.data.records import Records

HELD_OUT = (schema.VALIDATION, schema.TEST, schema.UNSEEN)
LEAST_MINUTES = 1.0  # of speech of a person to train on
MOST_UNEQUAL = 10.0  # most speech of a person over the least
MOST_SILENT = 0.05  # share of windows without speech
LEAST_FACES = 0.95  # share of crops in which dlib finds a face
LOOKED_AT = 30  # faces of each split in which dlib looks for one
THUMB = 16  # pixels of the side of what faces are compared by
SAME_FACE = 0.998  # correlation of two thumbs that are of one picture
SEED, SPAN = 2_654_435_761, 24  # of what recordings are compared by: samples, from chosen places
RARE = 256  # one place in so many is chosen
SAME_SPEECH = 8  # such spans that are the same in two recordings


def examine(
  builder: PairsBuilder, image_size: int, window: int, largest_error: int
) -> Iterator[Finding]:
  """Yields what is found about the splits of a prepared dataset.

  Args:
    builder: The dataset.
    image_size: Pixels of the faces to look at.
    window: Samples of speech that an example has.
    largest_error: `dataset.largest_instant_error`.
  """
  names = [name for name in (schema.TRAIN, *HELD_OUT) if name in builder.info.splits]
  splits = {name: of_records.load(builder, name, image_size, largest_error) for name in names}
  people = of_records.everyone(builder)
  yield _sizes(splits, people)
  yield _speech(splits, people)
  yield from _shared(splits, _units(builder, splits))
  yield _silence(splits, window)
  yield _faces(splits)


def _sizes(splits: Mapping[str, Records], people: list[str]) -> Finding:
  said = ", ".join(f"{len(found):,} of {name}" for name, found in splits.items())
  learned = {people[label] for label in np.unique(splits[schema.TRAIN].identity)}
  missing = {
    name: sorted(learned - {people[label] for label in np.unique(found.identity)})
    for name, found in splits.items()
    if name in (schema.VALIDATION, schema.TEST)
  }
  lacking = [f"{name} has nothing of {listed(who, 5)}" for name, who in missing.items() if who]
  if schema.VALIDATION not in splits:
    lacking.append("there is no validation split, so the best checkpoint cannot be chosen")
  said = f"{len(learned)} people; records: {said}"
  if not lacking:
    return Finding("splits", said)
  return Finding("splits", f"{said}; {'; '.join(lacking)}", "give each person three videos or more")


def _speech(splits: Mapping[str, Records], people: list[str]) -> Finding:
  train = splits[schema.TRAIN]
  seconds = np.zeros(len(people))
  np.add.at(seconds, train.identity, train.lengths / schema.SAMPLE_RATE)
  minutes = {people[label]: seconds[label] / 60 for label in np.unique(train.identity)}
  least, most = (f(minutes, key=minutes.__getitem__) for f in (min, max))
  said = f"{minutes[least]:.1f} ({least}) to {minutes[most]:.1f} minutes ({most}) to train on"
  few = [name for name, length in minutes.items() if length < LEAST_MINUTES]
  if few:
    who = listed(few, 5)
    remedy = f"less than {LEAST_MINUTES:g} minute is little; add videos of {who}, or leave them out"
    return Finding("speech", said, remedy)
  if minutes[most] > MOST_UNEQUAL * minutes[least]:
    return Finding("speech", said, f"{most} will be drawn too often; leave out some of their clips")
  return Finding("speech", said)


def _units(builder: PairsBuilder, splits: Mapping[str, Records]) -> dict[str, set[int]]:
  skip = {schema.FACE: tfds.decode.SkipDecoding()}
  return {
    name: {int(record[schema.UNIT]) for record in builder.as_data_source(split=name, decoders=skip)}
    for name in splits
  }


def _shared(splits: Mapping[str, Records], units: Mapping[str, set[int]]) -> Iterator[Finding]:
  """What two splits have in common: units, pictures, recordings."""
  pairs = list(itertools.combinations(splits, 2))
  leaks = {pair: len(units[pair[0]] & units[pair[1]]) for pair in pairs}
  yield _leak("units", "videos or recordings", leaks)
  thumbs = {name: _thumbs(found.faces) for name, found in splits.items()}
  yield _leak("faces", "pictures", {(a, b): _alike(thumbs[a], thumbs[b]) for a, b in pairs})
  spans = {name: _spans(found) for name, found in splits.items()}
  yield _leak("recordings", "records' speech", {(a, b): _overlaps(spans, a, b) for a, b in pairs})


def _leak(what: str, things: str, leaks: Mapping[tuple[str, str], int]) -> Finding:
  found = [f"{count:,} {things} of {b} are in {a}" for (a, b), count in leaks.items() if count]
  if not found:
    return Finding(what, f"no two splits share {things}")
  return Finding(what, "; ".join(found), "figures flatter; split by video, as prepare does")


def _thumbs(faces: np.ndarray) -> np.ndarray:
  """Returns faces as unit vectors without brightness and contrast, float32 [N, THUMB**2]."""
  gray = (cv2.cvtColor(face, cv2.COLOR_RGB2GRAY) for face in faces)
  small = np.stack([cv2.resize(one, (THUMB, THUMB), interpolation=cv2.INTER_AREA) for one in gray])
  flat = small.reshape(len(faces), -1).astype(np.float32)
  flat -= flat.mean(1, keepdims=True)
  return flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-6)


def _alike(a: np.ndarray, b: np.ndarray) -> int:
  """Returns how many of `b` have nearly the same picture in `a`."""
  parts = np.array_split(b, len(b) // 512 + 1)
  return sum(int((part @ a.T > SAME_FACE).any(1).sum()) for part in parts)


def _spans(found: Records) -> list[np.ndarray]:
  """Returns for each record hashes of short spans of its speech, uint64, sorted.

  The samples themselves choose where a span begins, so that the same speech has the same spans
  wherever a record starts.
  """
  rng = np.random.default_rng(SEED)
  choose, describe = (
    rng.integers(1 << 63, size=size, dtype=np.uint64) | np.uint64(1) for size in (4, SPAN)
  )
  return [_spans_of(found.speech_of(i), choose, describe) for i in range(len(found))]


def _spans_of(speech: np.ndarray, choose: np.ndarray, describe: np.ndarray) -> np.ndarray:
  samples = speech.astype(np.int64).astype(np.uint64)
  if len(samples) < 2 * SPAN:
    return np.zeros(0, np.uint64)
  windows = np.lib.stride_tricks.sliding_window_view(samples, SPAN)
  key = functools.reduce(np.add, (windows[:, i] * factor for i, factor in enumerate(choose)))
  places = np.flatnonzero((key >> np.uint64(40)) % np.uint64(RARE) == 0)
  loud = np.abs(np.lib.stride_tricks.sliding_window_view(speech, SPAN)[places].astype(int)).max(1)
  return np.unique((windows[places[loud > 100]] * describe).sum(1, dtype=np.uint64))


def _overlaps(spans: Mapping[str, list[np.ndarray]], a: str, b: str) -> int:
  """Returns how many records of `b` share speech with one of `a`."""
  known = np.unique(np.concatenate([np.zeros(1, np.uint64), *spans[a]]))

  def shared(own: np.ndarray) -> int:
    return int((known[np.searchsorted(known, own).clip(max=len(known) - 1)] == own).sum())

  return sum(shared(own) >= SAME_SPEECH for own in spans[b])


def _silence(splits: Mapping[str, Records], window: int) -> Finding:
  reasons, total = Counter[str](), 0
  for found in splits.values():
    chosen = found.spread(1_000)
    total += len(chosen)
    reasons.update(filter(None, map(audio.unlike_speech, found.centred_windows(chosen, window))))
  share = sum(reasons.values()) / total
  said = f"{share:.1%} of {total:,} windows are not speech"
  if reasons:
    said += f" ({', '.join(f'{reason} {count:,}' for reason, count in reasons.items())})"
  if share <= MOST_SILENT:
    return Finding("silence", said)
  return Finding("silence", said, "curate the clips with lower --limit=silence and higher speech")


def _faces(splits: Mapping[str, Records]) -> Finding:
  try:
    describe = dlib_faces.describer()
  except dlib_faces.UnavailableError as error:
    return Finding("faces seen", f"not looked at ({error})")
  shown = np.concatenate([found.faces[found.spread(LOOKED_AT)] for found in splits.values()])
  seen = describe(shown, "Looking for faces").found.mean()
  said = f"dlib finds one in {seen:.1%} of {len(shown):,} crops"
  if seen >= LEAST_FACES:
    return Finding("faces seen", said)
  return Finding("faces seen", said, "curate with --review, and reject what shows no face")
