"""The networks that measure and that ship: they are used, and right about the demo's speakers."""

import numpy as np

from data_builders import registry
from data_builders.synthetic import clips
from data_builders.synthetic.identity import people
from wav2pix_jax.configs import demo
from wav2pix_jax.metrics import expression, identity_classifier, sync_judge


def test_a_run_of_the_demo_trains_no_network_that_measures(monkeypatch, tmp_path):
  def train(*_):
    raise AssertionError("see pretrained/judges/README.md")

  monkeypatch.setattr(identity_classifier, "train_classifier", train)
  monkeypatch.setattr(sync_judge, "train_judge", train)
  monkeypatch.setattr(expression, "expressions", train)
  config = demo.get_config()
  config.dataset.data_dir = str(tmp_path)
  builder, size = registry.builder(config.dataset), config.image_size
  classify = identity_classifier.load_classifier(builder, size)
  express = expression.load_regressor(builder, size)
  judge = sync_judge.load_judge(builder, size)
  assert not list(tmp_path.iterdir())

  each = 6
  made = [clips.random_expressions(person, each, size) for person in people(10)]
  faces = np.concatenate([faces for faces, _ in made])
  logits, _ = classify(faces)
  assert (logits.argmax(-1) == np.repeat(np.arange(10), each)).all()
  truth = [[pose.spread, pose.smile] for _, poses in made for pose in poses]
  for told, true in zip(express(faces).T, np.transpose(truth), strict=True):
    assert np.corrcoef(told, true)[0, 1] > 0.7
  heard = judge.hear(np.zeros((2, sync_judge.WINDOW), np.int16))
  np.testing.assert_allclose(np.square(heard).sum(-1), 1, rtol=1e-5)
  assert judge.see(faces).shape == (len(faces), heard.shape[1])
