"""Faces with what classifiers and dlib make of them: what all metrics are computed from."""

import dataclasses

import numpy as np

from wav2pix_jax.common.dlib_faces import Describe, Described
from wav2pix_jax.metrics.expression import Express
from wav2pix_jax.metrics.identity_classifier import Classify
from wav2pix_jax.metrics.sync_judge import See
from wav2pix_jax.metrics.vgg_face import Name


@dataclasses.dataclass(frozen=True)
class Faces:
  """N faces of known people."""

  pictures: np.ndarray  # uint8 [N, S, S, 3]
  identity: np.ndarray  # labels of whom they show or should show, int32 [N]
  logits: np.ndarray  # logits of the identity classifier, float32 [N, learned identities]
  features: np.ndarray  # its features, float32 [N, C]
  described: Described | None = None  # what dlib makes of them; None without dlib
  # Labels that VGG-Face gives them, int32 [N]; None without VGG-Face.
  named: np.ndarray | None = None
  # What the judge of sync sees in them, float32 [N, C]; None without it.
  seen: np.ndarray | None = None
  # Their lip spread and smile, float32 [N, 2]; None where nothing can tell.
  expression: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.identity)

  def __getitem__(self, chosen: np.ndarray) -> "Faces":
    return Faces(
      self.pictures[chosen],
      self.identity[chosen],
      self.logits[chosen],
      self.features[chosen],
      self.described and self.described[chosen],
      None if self.named is None else self.named[chosen],
      None if self.seen is None else self.seen[chosen],
      None if self.expression is None else self.expression[chosen],
    )

  @property
  def by_dlib(self) -> Described:
    """What dlib makes of them; raises ValueError if they were described without dlib."""
    if self.described is None:
      raise ValueError("these faces were described without dlib")
    return self.described

  def people(self, least: int) -> np.ndarray:
    """Returns the labels with at least `least` faces."""
    return np.flatnonzero(np.bincount(self.identity) >= least)


def describe_faces(
  pictures: np.ndarray,
  identity: np.ndarray,
  classify: Classify,
  describe: Describe | None = None,
  name: Name | None = None,
  see: See | None = None,
  express: Express | None = None,
  title: str = "",
) -> Faces:
  """Returns pictures with what classifiers and dlib make of them.

  Args:
    pictures: uint8 [N, S, S, 3].
    identity: Labels of whom they show or should show, int32 [N].
    classify: The identity classifier of the dataset.
    describe: dlib; None to go without.
    name: VGG-Face; None to go without.
    see: The judge of sync; None to go without.
    express: The regressor of expressions; None to go without.
    title: Title of the progress bars.
  """
  described = describe(pictures, title) if describe else None
  named = name(pictures, f"{title}, VGG-Face") if name else None
  seen = see(pictures) if see else None
  expression = express(pictures) if express else None
  return Faces(pictures, identity, *classify(pictures), described, named, seen, expression)
