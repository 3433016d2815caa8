"""Computes the distance of each face from the other faces of its identity, to find strangers."""

import collections
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


def distances(folder: Path, clips: Sequence[Clip]) -> dict[str, float]:
  """Returns the median distance of each face's dlib embedding to its identity's other faces.

  Below 0.6, dlib's own threshold, two faces show one person. An identity with a single clip has no
  distance. Embeddings are cached beside the manifest, in one file per identity.

  Returns:
    The distances by clip id.

  Raises:
    UnavailableError: The extra `eval` is not installed.
    UserError: The folder cannot be written.
  """
  describe = dlib_faces.describer()
  found: dict[str, float] = {}
  by_identity: dict[str, list[Clip]] = collections.defaultdict(list)
  for clip in clips:
    by_identity[clip.identity].append(clip)
  with tqdm.tqdm(desc="Comparing faces", total=len(clips), unit=" faces") as bar:
    for identity, own in by_identity.items():
      embedding = _embeddings(folder, identity, own, describe, bar)
      for i, clip in enumerate(own):
        others = np.linalg.norm(np.delete(embedding, i, 0) - embedding[i], axis=1)
        if len(others):
          found[clip.id] = round(float(np.median(others)), 4)
  return found


def _embeddings(
  folder: Path, identity: str, clips: Sequence[Clip], describe: dlib_faces.Describe, bar: tqdm.tqdm
) -> np.ndarray:
  """Returns the faces' embeddings, float32 [N, 128], and computes only those of new faces."""
  path = folder / KNOWN / f"{identity}.npz"
  known: dict[tuple[str, int], np.ndarray] = {}
  if path.exists():
    with np.load(path) as kept:
      before = zip(kept["ids"].tolist(), kept["checksums"].tolist(), strict=True)
      known = dict(zip(before, kept["embeddings"], strict=True))
  faces = [(folder / clip.face).read_bytes() for clip in clips]
  keys = [(clip.id, zlib.crc32(face)) for clip, face in zip(clips, faces, strict=True)]
  new = [i for i, key in enumerate(keys) if key not in known]
  bar.update(len(clips) - len(new))
  for i in range(0, len(new), CHUNK):
    chunk = new[i : i + CHUNK]
    small = np.stack([images.resize(images.decode(faces[i]), SIDE) for i in chunk])
    known |= dict(zip((keys[i] for i in chunk), describe(small, "").embedding, strict=True))
    bar.update(len(chunk))
  embeddings = np.stack([known[key] for key in keys])
  if new:
    ids, checksums = zip(*keys, strict=True)
    with atomically(path) as incomplete, incomplete.open("wb") as file:
      np.savez(file, ids=ids, checksums=checksums, embeddings=embeddings)
  return embeddings
