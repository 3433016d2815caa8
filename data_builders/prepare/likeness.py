"""Computes the distance of each face from the other faces of its identity, to find strangers."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_builders.prepare.manifest import Clip
from wav2pix_jax.common import dlib_faces, images
from wav2pix_jax.common.files import atomically

KNOWN = ".embeddings"  # the folder beside the manifest that caches embeddings
SIDE = 128  # pixels


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
  for identity in dict.fromkeys(clip.identity for clip in clips):
    own = [clip for clip in clips if clip.identity == identity]
    embedding = _embeddings(folder, identity, own, describe)
    for i, clip in enumerate(own):
      others = np.linalg.norm(np.delete(embedding, i, 0) - embedding[i], axis=1)
      if len(others):
        found[clip.id] = round(float(np.median(others)), 4)
  return found


def _embeddings(
  folder: Path, identity: str, clips: Sequence[Clip], describe: dlib_faces.Describe
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
  if new:
    small = np.stack([images.resize(images.decode(faces[i]), SIDE) for i in new])
    described = describe(small, f"Comparing faces of {identity}")
    known |= dict(zip((keys[i] for i in new), described.embedding, strict=True))
  embeddings = np.stack([known[key] for key in keys])
  if new:
    ids, checksums = zip(*keys, strict=True)
    with atomically(path) as incomplete, incomplete.open("wb") as file:
      np.savez(file, ids=ids, checksums=checksums, embeddings=embeddings)
  return embeddings
