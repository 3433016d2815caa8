"""Leak-free clips: the published chunks put back into the recordings they were cut from.

The release cut, once a second, a face and the 4 s of speech around it, and published of each face
five chunks of 1 s, cut at random from its 4 s. Clips of neighbouring seconds overlap, so chunks of
one recording lie on both sides of the published split. Here the chunks find their place again, and
each distinct face gets the speech that can be recovered of its 4 s.
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
  """A distinct face with the contiguous speech around it.

  Attributes:
    published_split: of the first pair that shows this face.
    identity: who.
    number: of that pair.
    face: the image file, as published.
    speech: int16 [T], at most 4 s.
    offset: samples from the (estimated) start of the 4 s clip to `speech[0]`; -1 when unknown.
    instant: index into `speech` of the middle of the 4 s clip.
    instant_error: the true middle is at most so many samples away.
    unit: what the splits keep together: clips of two audio groups never share a sample.
  """

  published_split: str
  identity: str
  number: int
  face: bytes
  speech: np.ndarray
  offset: int
  instant: int
  instant_error: int
  unit: int


@dataclasses.dataclass(frozen=True)
class Recovery:
  """What the published pairs are once put back in place.

  Attributes:
    clips: one per distinct face, in the order of their first pairs.
    seconds: of distinct sound.
    leaking: share of the published test chunks that share sound with published training chunks.
  """

  clips: list[RecoveredClip]
  seconds: float
  leaking: float


def recover(pairs: Sequence[Pair]) -> Recovery:
  """The leak-free clips, by exact matching of every chunk."""
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
    pair = pairs[members[0]]
    candidates = [
      _speech_around(timelines[t], *spans[t][f], phases[t])
      for t in sorted({home[m] for m in members})
    ]
    speech, offset, error = max(candidates, key=lambda found: (len(found[0]), -found[2]))
    clips.append(
      RecoveredClip(
        published_split=pair.split,
        identity=pair.identity,
        number=pair.number,
        face=pair.face,
        speech=speech,
        offset=offset,
        instant=schema.CLIP_SAMPLES // 2 - offset,
        instant_error=error,
        unit=int(groups[members[0]]),
      )
    )
  known = sum(int(timeline.known.sum()) for timeline in timelines)
  return Recovery(clips, known / schema.SAMPLE_RATE, _leaking(pairs, timelines))


def as_published(pairs: Sequence[Pair]) -> dict[str, list[RecoveredClip]]:
  """Every pair as a clip of its own, by published split; its place in its 4 s is not known.

  The split is the release's, so `unit` only says which pairs show the same face.
  """
  faces = _grouped((pair.identity, pair.face) for pair in pairs)
  face_of = {i: f for f, members in enumerate(faces) for i in members}
  published = collections.defaultdict(list)
  for i, pair in enumerate(pairs):
    spare = max(schema.CLIP_SAMPLES - len(pair.speech), 0)  # the chunk began somewhere in it
    published[pair.split].append(
      RecoveredClip(
        published_split=pair.split,
        identity=pair.identity,
        number=pair.number,
        face=pair.face,
        speech=pair.speech,
        offset=-1,
        instant=(schema.CLIP_SAMPLES - spare) // 2,
        instant_error=spare // 2,
        unit=face_of[i],
      )
    )
  return dict(sorted(published.items(), reverse=True))  # train first


def _grouped(keys: Iterable[Hashable]) -> list[list[int]]:
  """Indices of equal keys, by first appearance."""
  members = collections.defaultdict(list)
  for i, key in enumerate(keys):
    members[key].append(i)
  return list(members.values())


def _groups(count: int, links: Sequence[tuple[int, int]]) -> np.ndarray:
  """A group number for every pair, from what links pairs: int32 [count], by first appearance."""
  a, b = np.array(links, np.int64).reshape(-1, 2).T
  graph = coo_array((np.ones(len(a)), (a, b)), shape=(count, count))
  return csgraph.connected_components(graph, directed=False)[1]


def _leaking(pairs: Sequence[Pair], timelines: Sequence[matching.Timeline]) -> float:
  """Share of the published test chunks that overlap a published training chunk."""
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
  """First and last place on a timeline where a 4 s clip that holds all these chunks can start.

  First lies after last where no clip can hold them: one image that was published for two instants.
  """
  begin = min(timeline.pieces[m] for m in members)
  end = max(timeline.pieces[m] + len(pairs[m].speech) for m in members)
  return end - schema.CLIP_SAMPLES, begin


def _grid_phases(spans: Iterable[tuple[int, int]]) -> np.ndarray:
  """Which phases of the one-second grid let every clip of a timeline start on it.

  Clips of one recording start whole seconds apart. bool [SAMPLE_RATE]; all true where none fits.
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
  """The longest contiguous speech of a clip, its offset in the clip, and how unsure that is."""
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
