"""The most confident face of a picture, by OpenCV's Haar cascade, as in the paper (section 3)."""

import dataclasses
import threading

import cv2
import numpy as np

CASCADE = "haarcascade_frontalface_default.xml"
SMALLEST = 40  # pixels; release


@dataclasses.dataclass(frozen=True)
class Face:
  """Where a face is.

  Attributes:
    box: left, top, width and height, pixels; square.
    confidence: the cascade's, of its last stage; from 0 to about 10.
    others: how many more faces the picture has, of at least the confidence asked for.
  """

  box: tuple[int, int, int, int]
  confidence: float
  others: int

  def cut(self, picture: np.ndarray) -> np.ndarray:
    """The face, [H, W, 3] -> [height, width, 3]."""
    left, top, width, height = self.box
    return picture[top : top + height, left : left + width]


def find(gray: np.ndarray, confidence: float) -> Face | None:
  """The most confident face of uint8 [H, W], if there is one of at least this confidence."""
  boxes, _, confidences = _cascade().detectMultiScale3(
    gray, scaleFactor=1.1, minNeighbors=5, minSize=(SMALLEST, SMALLEST), outputRejectLevels=True
  )  # release
  sure = sum(found >= confidence for found in confidences)
  if not sure:
    return None
  best = int(np.argmax(confidences))
  left, top, width, height = map(int, boxes[best])
  return Face((left, top, width, height), round(float(confidences[best]), 3), int(sure) - 1)


_own = threading.local()


def _cascade() -> cv2.CascadeClassifier:
  """This thread's: a cascade keeps what it is doing, and a cluster's workers may be threads."""
  if not hasattr(_own, "cascade"):
    cv2.setNumThreads(1)  # candidates come in one order, and cores have work of their own
    path = cv2.data.haarcascades + CASCADE  # type: ignore[attr-defined]
    _own.cascade = cv2.CascadeClassifier(path)
  return _own.cascade
