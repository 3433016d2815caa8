"""Many faces are described by several processes, as one by one."""

import dataclasses
import multiprocessing

import numpy as np
import pytest

from wav2pix_jax.common import dlib_faces
from wav2pix_jax.common.workers import CrashedError

pytestmark = pytest.mark.slow


def test_processes_describe_faces_as_one_does_and_a_killed_one_is_named(monkeypatch):
  monkeypatch.setattr(dlib_faces, "cores", lambda: 2)
  faces = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)
  describe = dlib_faces.describer()
  before = set(multiprocessing.active_children())
  one_by_one = describe(faces, "")
  assert set(multiprocessing.active_children()) == before
  monkeypatch.setattr(dlib_faces, "MANY", 6)
  together = describe(faces, "")
  workers = set(multiprocessing.active_children()) - before
  assert workers
  for field in dataclasses.fields(dlib_faces.Described):
    np.testing.assert_array_equal(
      getattr(together, field.name), getattr(one_by_one, field.name), field.name
    )
  for worker in workers:
    worker.kill()
  with pytest.raises(CrashedError, match="a worker process was killed"):
    describe(faces, "")
