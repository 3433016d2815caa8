"""How far each face is from the others of its identity: who does not belong."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_builders.prepare.manifest import Clip
from wav2pix_jax.common import dlib_faces, images
from wav2pix_jax.common.files import writing

KNOWN = ".embeddings"  # the folder, beside the manifest, that keeps what was computed
SIDE = 128  # pixels


def distances(folder: Path, clips: Sequence[Clip]) -> dict[str, float]:
  """By id: the median distance of a face's dlib embedding to those of its identity's others.

  Below 0.6, dlib's own threshold, two faces are one person's. An identity of one clip has none.
  Embeddings are kept beside the manifest, an identity at a time.

  Raises:
    UnavailableError: the extra `eval` is not installed.
    UserError: the folder cannot be written.
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
  """Float32 [N, 128], those of faces that were seen before from the last time."""
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
    incomplete = path.with_suffix(".incomplete.npz")
    with writing(path):
      path.parent.mkdir(exist_ok=True)
      ids, checksums = zip(*keys, strict=True)
      np.savez(incomplete, ids=ids, checksums=checksums, embeddings=[known[key] for key in keys])
      incomplete.rename(path)
  return np.stack([known[key] for key in keys])
