"""Finds the pieces of sound that were cut from the same recording, and their positions in it.

Overlapping pieces have identical samples. In each run of 16 windows of 48 samples, the window with
the lowest hash is kept (winnowing), so that two pieces keep the same windows where they overlap.
Equal hashes propose a relative position of two pieces, and all samples of the overlap must agree.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

WINDOW = 48  # samples
RUN = 16  # number of windows of which one is kept
SHORTEST = WINDOW + RUN - 1  # length from which every overlap is found, samples, except in silence
CHANGES = 24  # least number of differing neighbours in a window; silence is the same everywhere
NEVER = np.uint64(2**64 - 1)


@dataclasses.dataclass
class Timeline:
  """Sound that is recovered from overlapping pieces."""

  samples: np.ndarray  # int16 [L], 0 where unknown
  known: np.ndarray  # whether each sample is known, bool [L]
  pieces: dict[int, int]  # index of the first sample of each piece, by number of the piece


def lay_out(pieces: Sequence[np.ndarray]) -> tuple[list[Timeline], np.ndarray]:
  """Returns timelines that contain every piece once, and the pairs of pieces that share sound.

  The pieces are int16 [T] each. The timelines are in order of their lowest piece; the pairs are
  int64 [M, 2]. Recurring sound such as a jingle can lead to a pair whose relative position
  contradicts the others. Such a pair still shares sound, but its pieces are not merged.
  """
  timelines = {i: Timeline(p.copy(), np.ones(len(p), bool), {i: 0}) for i, p in enumerate(pieces)}
  home = np.arange(len(pieces))  # piece -> the timeline that holds it
  overlaps = _overlaps(pieces)
  for a, b, shift in overlaps:
    first, second = timelines[home[a]], timelines[home[b]]
    if first is second:
      continue
    shift += first.pieces[a] - second.pieces[b]  # from the first timeline's start to the second's
    if len(first.samples) < len(second.samples):
      first, second, shift = second, first, -shift
    if _merge(first, second, shift):
      target = home[next(iter(first.pieces))]
      gone = home[next(iter(second.pieces))]
      for piece in second.pieces:
        home[piece] = target
      del timelines[gone]
  ordered = sorted(timelines.values(), key=lambda timeline: min(timeline.pieces))
  return ordered, overlaps[:, :2]


def _merge(first: Timeline, second: Timeline, shift: int) -> bool:
  """Merges the second timeline into the first, `shift` samples later; False if they disagree."""
  start, stop = min(0, shift), max(len(first.samples), shift + len(second.samples))
  grow = (-start, stop - len(first.samples))
  samples, known = np.pad(first.samples, grow), np.pad(first.known, grow)
  place = slice(shift - start, shift - start + len(second.samples))
  both = known[place] & second.known
  if not np.array_equal(samples[place][both], second.samples[both]):
    return False
  samples[place][second.known] = second.samples[second.known]
  known[place] |= second.known
  first.samples, first.known = samples, known
  moved = {piece: position + shift - start for piece, position in second.pieces.items()}
  first.pieces = {p: position - start for p, position in first.pieces.items()} | moved
  return True


def _overlaps(pieces: Sequence[np.ndarray]) -> np.ndarray:
  """Returns verified overlaps, int64 [M, 3]: two pieces, and the second's start in the first.

  The longest and thus most certain overlaps come first. Of several pieces with a common window,
  only neighbours are paired, as the other pairs follow from them.
  """
  hashes, owners, positions = _fingerprints(pieces)
  order = np.lexsort((positions, owners, hashes))
  hashes, owners, positions = hashes[order], owners[order], positions[order]
  pairs = np.flatnonzero((hashes[1:] == hashes[:-1]) & (owners[1:] != owners[:-1]))
  proposed = np.unique(
    np.stack([owners[pairs], owners[pairs + 1], positions[pairs] - positions[pairs + 1]], 1), axis=0
  ).reshape(-1, 3)
  lengths = np.array([len(piece) for piece in pieces])
  a, b, shift = proposed.T
  starts, stops = np.maximum(shift, 0), np.minimum(lengths[a], shift + lengths[b])
  agrees = [
    np.array_equal(pieces[i][lo:hi], pieces[j][lo - d : hi - d])
    for i, j, d, lo, hi in zip(a, b, shift, starts, stops, strict=True)
  ]
  by_length = np.argsort(starts - stops, kind="stable")
  return proposed[by_length[np.array(agrees, bool)[by_length]]]


def _fingerprints(pieces: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the hash, piece and position of every window that is kept.

  This is a polynomial rolling hash modulo 2**64, computed from one cumulative sum per piece. With
  an odd base B and the cumulative sum S of x[t] B**t, the hash is (S[t + WINDOW] - S[t]) B**-t.
  """
  longest = max((len(piece) for piece in pieces), default=0)
  base = 0x9E3779B97F4A7C15
  powers = np.cumprod(np.full(longest, base, np.uint64))
  inverses = np.cumprod(np.full(longest, pow(base, -1, 2**64), np.uint64))
  hashes, owners, positions = [], [], []
  for i, piece in enumerate(pieces):
    if len(piece) < SHORTEST:
      continue
    count = len(piece) - WINDOW + 1
    sums = np.append(np.uint64(0), np.cumsum(piece.astype(np.uint64) * powers[: len(piece)]))
    window = (sums[WINDOW:] - sums[:-WINDOW]) * inverses[:count]
    window ^= window >> np.uint64(29)
    window *= np.uint64(0xBF58476D1CE4E5B9)
    window ^= window >> np.uint64(32)
    changes = np.append(0, np.cumsum(np.diff(piece) != 0))
    lively = changes[WINDOW - 1 :] - changes[:count] >= CHANGES
    window[~lively] = NEVER
    lowest = _sliding(np.minimum, window)  # hash in each run
    kept = _sliding(np.maximum, np.pad(lowest, RUN - 1))  # highest of the runs with it
    picked = np.flatnonzero((window == kept) & (window != NEVER))
    hashes.append(window[picked])
    owners.append(np.full(len(picked), i))
    positions.append(picked)
  if not hashes:
    return np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64)
  return np.concatenate(hashes), np.concatenate(owners), np.concatenate(positions)


def _sliding(fold: np.ufunc, values: np.ndarray) -> np.ndarray:
  """Returns the minimum or maximum (`fold`) of each run of `RUN` values, a power of two."""
  reach = 1
  while reach < RUN:
    values = fold(values[:-reach], values[reach:])
    reach *= 2
  return values
