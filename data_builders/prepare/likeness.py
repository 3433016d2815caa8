"""Computes the distance of each face from the other faces of its identity, to find strangers."""

import collections
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tqdm

from data_builders.prepare.manifest import Clip
from wav2pix_jax.common import dlib_faces, images
from wav2pix_jax.common.files import atomically

KNOWN = ".embeddings"  # the folder beside the manifest that caches embeddings
SIDE = 128  # pixels
CHUNK = 32  # faces between two movements of the progress bar


def distances(folder: Path, clips: Sequence[Clip]) -> tuple[dict[str, float], list[Clip]]:
  """Returns the median distance of each face's dlib embedding to its identity's other faces.

  Below 0.6, dlib's own threshold, two faces show one person. An identity with a single clip has no
  distance. Embeddings are cached beside the manifest, in one file per identity.

  Returns:
    The distances by clip id, and the clips whose faces cannot be read.

  Raises:
    UnavailableError: The extra `eval` is not installed.
    UserError: The folder cannot be written.
  """
  describe = dlib_faces.describer()
  found: dict[str, float] = {}
  unreadable: list[Clip] = []
  by_identity: dict[str, list[Clip]] = collections.defaultdict(list)
  for clip in clips:
    by_identity[clip.identity].append(clip)
  with tqdm.tqdm(desc="Comparing faces", total=len(clips), unit=" faces") as bar:
    for identity, own in by_identity.items():
      described = _embeddings(folder, identity, own, describe, bar)
      unreadable += [clip for clip in own if clip.id not in described]
      ids, embedding = list(described), np.array(list(described.values()))
      for i, name in enumerate(ids):
        others = np.linalg.norm(np.delete(embedding, i, 0) - embedding[i], axis=1)
        if len(others):
          found[name] = round(float(np.median(others)), 4)
  return found, unreadable


def _embeddings(
  folder: Path, identity: str, clips: Sequence[Clip], describe: dlib_faces.Describe, bar: tqdm.tqdm
) -> dict[str, np.ndarray]:
  """Returns embeddings, float32 [128], by clip id, of readable faces; computes only new ones."""
  path = folder / KNOWN / f"{identity}.npz"
  known = _known(path)
  keys, new = {}, {}
  for clip in clips:
    try:
      face = (folder / clip.face).read_bytes()
      key = clip.id, zlib.crc32(face)
      if key not in known:
        new[key] = images.resize(images.decode(face), SIDE)
      keys[clip.id] = key
    except (OSError, ValueError):  # not there, or no picture
      pass
  bar.update(len(clips) - len(new))
  waiting = list(new)
  for first in range(0, len(waiting), CHUNK):
    chunk = waiting[first : first + CHUNK]
    small = np.stack([new[key] for key in chunk])
    known |= dict(zip(chunk, describe(small, "").embedding, strict=True))
    bar.update(len(chunk))
  described = {name: known[key] for name, key in keys.items()}
  if new:
    ids, checksums = zip(*keys.values(), strict=True)
    with atomically(path) as incomplete, incomplete.open("wb") as file:
      embeddings = np.stack(list(described.values()))
      np.savez(file, ids=ids, checksums=checksums, embeddings=embeddings)
  return described


def _known(path: Path) -> dict[tuple[str, int], np.ndarray]:
  """Returns the embeddings of a cache by clip and checksum; none if it is damaged."""
  try:
    with np.load(path) as kept:
      before = zip(kept["ids"].tolist(), kept["checksums"].tolist(), strict=True)
      return dict(zip(before, kept["embeddings"], strict=True))
  except (OSError, ValueError, KeyError, zipfile.BadZipFile):
    return {}
