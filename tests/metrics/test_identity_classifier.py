"""The classifier that names the person in a face."""

from pathlib import Path

import numpy as np
import pytest

from wav2pix_jax import data
from wav2pix_jax.metrics import identity_classifier


@pytest.mark.slow
def test_the_classifier_is_trained_once_and_always_the_same(clean):
  identity_classifier.load_classifier(clean, 16)
  (cache,) = (Path(clean.data_dir) / "judges").glob("classifier_16px*.safetensors")
  before = cache.stat().st_mtime_ns
  records = data.load(clean, "test", 16)
  logits, features = identity_classifier.load_classifier(clean, 16)(records.faces)
  assert cache.stat().st_mtime_ns == before
  assert logits.shape == (len(records), 2)
  again = identity_classifier.as_function(
    identity_classifier.train_classifier(data.load(clean, "train", 16))
  )(records.faces)
  np.testing.assert_array_equal(again[0], logits)
  np.testing.assert_array_equal(again[1], features)
  assert (logits.argmax(-1) == records.identity).all()
