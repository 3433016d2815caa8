"""Finds the most confident face of a picture, by OpenCV's Haar cascade as in the paper."""

import dataclasses
import threading

import cv2
import numpy as np

CASCADE = "haarcascade_frontalface_default.xml"
SMALLEST = 40  # pixels; release
# Confidence from which a second face counts: below it, flags, hands and chairs are more frequent.
SURE = 5.0
_own = threading.local()


@dataclasses.dataclass(frozen=True)
class Face:
  """The position of a face."""

  box: tuple[int, int, int, int]  # left, top, width and height of a square, pixels
  confidence: float  # confidence of the cascade's last stage, from 0 to about 10
  others: int  # number of other faces in the picture with at least `SURE` confidence

  def cut(self, picture: np.ndarray) -> np.ndarray:
    """Returns the face of a picture [H, W, 3]: [height, width, 3]."""
    left, top, width, height = self.box
    return picture[top : top + height, left : left + width]


def find(gray: np.ndarray, confidence: float) -> Face | None:
  """Returns the most confident face of uint8 [H, W], if any has at least this confidence."""
  boxes, _, confidences = _cascade().detectMultiScale3(
    gray, scaleFactor=1.1, minNeighbors=5, minSize=(SMALLEST, SMALLEST), outputRejectLevels=True
  )  # release
  if not len(confidences) or max(confidences) < confidence:
    return None
  best = int(np.argmax(confidences))
  others = sum(found >= SURE for found in np.delete(confidences, best))
  left, top, width, height = map(int, boxes[best])
  return Face((left, top, width, height), round(float(confidences[best]), 3), int(others))


def _cascade() -> cv2.CascadeClassifier:
  """Returns this thread's cascade. A cascade has state, and a cluster's workers may be threads."""
  if not hasattr(_own, "cascade"):
    cv2.setNumThreads(1)  # keeps the order of candidates, and every core has its own video
    path = cv2.data.haarcascades + CASCADE  # type: ignore[attr-defined]
    _own.cascade = cv2.CascadeClassifier(path)
  return _own.cascade
