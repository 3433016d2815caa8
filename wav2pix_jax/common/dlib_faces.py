"""What dlib makes of faces: are they faces, and whose (here alone the package uses dlib).

dlib-bin and face_recognition_models are the extra `eval`; the second is only its data files, and
importing it fails without the vanished `pkg_resources`.
"""

import dataclasses
import hashlib
import importlib.util
import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tqdm

from wav2pix_jax.common.files import write_whole

RECIPE = (
  1  # to be raised with any change to how faces are described: what is kept is of no use then
)
MODELS = "face_recognition_models"
LANDMARKS = "shape_predictor_68_face_landmarks.dat"
EMBEDDING = "dlib_face_recognition_resnet_model_v1.dat"
UPPER_LIP, LOWER_LIP = [61, 62, 63], [67, 66, 65]  # of the 68 landmarks, the inner edges
EYE_CORNERS = 36, 45
SAME_PERSON = 0.6  # embeddings nearer than this are one person's; dlib's own threshold


class UnavailableError(Exception):
  """Why there is no dlib, and what to do, in one line."""


@dataclasses.dataclass(frozen=True)
class Described:
  """What dlib made of N faces.

  Attributes:
    found: bool [N], a face and its 68 landmarks were found.
    found_strictly: bool [N], also in the picture as it is.
    embedding: float32 [N, 128], of the face found, or of the whole picture; one person's lie
      within `SAME_PERSON` of each other.
    landmarks: float32 [N, 68, 2], x and y in pixels, from the same place.
  """

  found: np.ndarray
  found_strictly: np.ndarray
  embedding: np.ndarray
  landmarks: np.ndarray

  @property
  def mouth(self) -> np.ndarray:
    """Float32 [N], the gap between the inner lips over the distance of the eyes' outer corners."""
    upper, lower = self.landmarks[:, UPPER_LIP], self.landmarks[:, LOWER_LIP]
    left, right = (self.landmarks[:, corner] for corner in EYE_CORNERS)
    gaps = np.linalg.norm(upper - lower, axis=-1).mean(-1)
    return gaps / np.linalg.norm(left - right, axis=-1)

  def __getitem__(self, chosen: np.ndarray) -> "Described":
    parts = (getattr(self, field.name) for field in dataclasses.fields(self))
    return Described(*(part[chosen] for part in parts))


Describe = Callable[[np.ndarray, str], Described]


def describer() -> Describe:
  """A function of faces, uint8 [N, S, S, 3], and a title for its bar, that describes them.

  dlib's frontal detector and Kazemi-Sullivan's landmarks, as in the paper (section 5). Crops are
  tight, and the detector was made for faces with some room around them and of at least 80 pixels:
  a border of a quarter repeats the edge, the detector looks at twice the size, and takes any score
  from 0 on; the best one counts. Strictly: none of this.

  Raises:
    UnavailableError: the extra `eval` is not installed.
  """
  spec = importlib.util.find_spec(MODELS)
  if spec is None or importlib.util.find_spec("dlib") is None:
    raise UnavailableError("dlib is not installed; pip install -e '.[eval]'")
  import dlib

  (package,) = spec.submodule_search_locations or [""]
  landmarks = dlib.shape_predictor(str(Path(package, "models", LANDMARKS)))
  own = threading.local()  # detector and network keep notes while they look

  def prepare_thread() -> None:
    own.detector = dlib.get_frontal_face_detector()
    own.network = dlib.face_recognition_model_v1(str(Path(package, "models", EMBEDDING)))

  def one(face: np.ndarray) -> tuple[bool, bool, np.ndarray, np.ndarray]:
    size = len(face)
    room = size // 4
    padded = np.pad(face, ((room, room), (room, room), (0, 0)), "edge")
    boxes, *_ = own.detector.run(padded, 1, 0.0)  # the best one first
    box = boxes[0] if boxes else dlib.rectangle(room, room, room + size - 1, room + size - 1)
    strict, *_ = own.detector.run(np.ascontiguousarray(face), 0, 0.0)
    shape = landmarks(padded, box)
    embedding = own.network.compute_face_descriptor(padded, shape)
    points = np.array([(point.x, point.y) for point in shape.parts()], np.float32) - room
    return bool(boxes), bool(strict), np.array(embedding, np.float32), points

  def describe(faces: np.ndarray, title: str) -> Described:
    with ThreadPoolExecutor(os.cpu_count(), initializer=prepare_thread) as threads:
      described = list(tqdm.tqdm(threads.map(one, faces), title, len(faces), unit=" faces"))
    return Described(*map(np.stack, zip(*described, strict=True)))

  return describe


def kept(describe: Describe, folder: Path) -> Describe:
  """The same, of faces that come again: what it says is kept in a folder, by the faces' content.

  Raises:
    UserError: by the function, where the folder cannot be written.
  """

  def described(faces: np.ndarray, title: str) -> Described:
    digest = hashlib.sha256(np.ascontiguousarray(faces).tobytes()).hexdigest()[:16]
    path = folder / f"{faces.shape[1]}px_{digest}_{RECIPE}.npz"
    if not path.exists():
      found = describe(faces, title)
      file = io.BytesIO()
      np.savez(
        file, **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
      )
      write_whole(path, file.getvalue())
    with np.load(path) as arrays:
      return Described(**arrays)

  return described
