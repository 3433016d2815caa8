"""Recovers leak-free clips by putting the published chunks back into their recordings.

The authors of the release cut a face and the 4 s of speech around it once per second, and published
five chunks of 1 s per face, cut at random from its 4 s. Clips of neighbouring seconds overlap, so
chunks of one recording are on both sides of the published split. Here, the chunks are located in
their recordings, and each distinct face gets as much of its 4 s of speech as can be recovered.
"""

import collections
import dataclasses
import itertools
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array, csgraph

from data_builders.youtubers import matching
from data_builders.youtubers.release_files import Pair
from wav2pix_jax.common import schema


@dataclasses.dataclass(frozen=True)
class RecoveredClip:
  """A face with contiguous speech around it."""

  pair: Pair  # the first published pair that shows the face
  speech: np.ndarray  # int16 [T], at most 4 s
  offset: int  # number of samples from the estimated start of the 4 s to `speech[0]`; -1 if unknown
  instant: int  # index into `speech` of the middle of the 4 s
  instant_error: int  # largest error of `instant`, samples
  # Number of the audio group. Clips of different groups never share a sample.
  unit: int


@dataclasses.dataclass(frozen=True)
class Recovery:
  """The clips that are recovered from the published pairs."""

  clips: list[RecoveredClip]  # one clip per distinct face, in the order of their first pairs
  seconds: float  # length of the distinct sound, seconds
  # Fraction of the published test chunks that share sound with published training chunks.
  leaking: float


def recover(pairs: Sequence[Pair]) -> Recovery:
  """Returns the leak-free clips, from exact matches of all chunks."""
  timelines, sharing = matching.lay_out([pair.speech for pair in pairs])
  home = {piece: t for t, timeline in enumerate(timelines) for piece in timeline.pieces}
  faces = _grouped((pair.identity, pair.face) for pair in pairs)
  images = _grouped(pair.face for pair in pairs)
  same_image = [link for members in images for link in itertools.pairwise(members)]
  groups = _groups(len(pairs), [*map(tuple, sharing), *same_image])

  spans: dict[int, dict[int, tuple[int, int]]] = collections.defaultdict(dict)
  for f, members in enumerate(faces):
    for t in {home[m] for m in members}:
      spans[t][f] = _possible_starts(pairs, timelines[t], [m for m in members if home[m] == t])
  phases = {t: _grid_phases(spans[t].values()) for t in spans}

  clips = []
  for f, members in enumerate(faces):
    candidates = [
      _speech_around(timelines[t], *spans[t][f], phases[t])
      for t in sorted({home[m] for m in members})
    ]
    speech, offset, error = max(candidates, key=lambda found: (len(found[0]), -found[2]))
    instant, unit = schema.CLIP_SAMPLES // 2 - offset, int(groups[members[0]])
    clips.append(RecoveredClip(pairs[members[0]], speech, offset, instant, error, unit))
  known = sum(int(timeline.known.sum()) for timeline in timelines)
  return Recovery(clips, known / schema.SAMPLE_RATE, _leaking(pairs, timelines))


def as_published(pairs: Sequence[Pair]) -> dict[str, list[RecoveredClip]]:
  """Returns every pair as a clip, by published split. Its position in the 4 s is unknown.

  `unit` is the number of the distinct face, as the splits are those of the release.
  """
  faces = _grouped((pair.identity, pair.face) for pair in pairs)
  face_of = {i: f for f, members in enumerate(faces) for i in members}
  published = collections.defaultdict(list)
  for i, pair in enumerate(pairs):
    spare = max(schema.CLIP_SAMPLES - len(pair.speech), 0)  # range of the chunk's start
    instant = (schema.CLIP_SAMPLES - spare) // 2
    clip = RecoveredClip(pair, pair.speech, -1, instant, spare // 2, unit=face_of[i])
    published[pair.split].append(clip)
  return dict(sorted(published.items(), reverse=True))  # train first


def _grouped(keys: Iterable[Hashable]) -> list[list[int]]:
  """Returns the indices of equal keys, in order of first appearance."""
  members = collections.defaultdict(list)
  for i, key in enumerate(keys):
    members[key].append(i)
  return list(members.values())


def _groups(count: int, links: Sequence[tuple[int, int]]) -> np.ndarray:
  """Returns the connected component of every pair: int32 [count], by first appearance."""
  a, b = np.array(links, np.int64).reshape(-1, 2).T
  graph = coo_array((np.ones(len(a)), (a, b)), shape=(count, count))
  return csgraph.connected_components(graph, directed=False)[1]


def _leaking(pairs: Sequence[Pair], timelines: Sequence[matching.Timeline]) -> float:
  """Returns the fraction of published test chunks that overlap a published training chunk."""
  leaks = []
  for timeline in timelines:
    trained = np.zeros(len(timeline.samples), bool)
    spans = {i: slice(at, at + len(pairs[i].speech)) for i, at in timeline.pieces.items()}
    for i, span in spans.items():
      trained[span] |= pairs[i].split == schema.TRAIN
    leaks += [trained[span].any() for i, span in spans.items() if pairs[i].split == schema.TEST]
  return float(np.mean(leaks)) if leaks else 0.0


def _possible_starts(
  pairs: Sequence[Pair], timeline: matching.Timeline, members: Sequence[int]
) -> tuple[int, int]:
  """Returns the first and last sample at which a 4 s clip with all these chunks can start.

  The first is after the last if there is no such clip: one image was published for two instants.
  """
  begin = min(timeline.pieces[m] for m in members)
  end = max(timeline.pieces[m] + len(pairs[m].speech) for m in members)
  return end - schema.CLIP_SAMPLES, begin


def _grid_phases(spans: Iterable[tuple[int, int]]) -> np.ndarray:
  """Returns the phases of a one-second grid on which all clips of a timeline can start.

  Clips of one recording start whole seconds apart. Returns bool [SAMPLE_RATE], all true if no phase
  is possible.
  """
  rate = schema.SAMPLE_RATE
  phases = np.arange(rate)
  fits = np.ones(rate, bool)
  for first, last in spans:
    if first <= last:
      fits &= (last - phases) // rate * rate + phases >= first
  return fits if fits.any() else np.ones(rate, bool)


def _speech_around(
  timeline: matching.Timeline, first: int, last: int, phases: np.ndarray
) -> tuple[np.ndarray, int, int]:
  """Returns the longest contiguous speech of a clip, its offset in the clip, and its error."""
  starts = np.arange(min(first, last), max(first, last) + 1)
  on_grid = starts[phases[starts % schema.SAMPLE_RATE]]
  starts = on_grid if len(on_grid) else starts
  start = int(starts[0] + starts[-1]) // 2
  error = int(starts[-1] - start)
  low, high = max(start, 0), min(start + schema.CLIP_SAMPLES, len(timeline.samples))
  edges = np.flatnonzero(np.diff(timeline.known[low:high], prepend=False, append=False))
  runs = edges.reshape(-1, 2) + low
  begin, end = runs[np.argmax(runs[:, 1] - runs[:, 0])]
  return timeline.samples[begin:end], int(begin) - start, error
