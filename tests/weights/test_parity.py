"""The networks, losses and step give the numbers that the published PyTorch release gave."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import parity_formula
import pytest

from wav2pix_jax import models, train_step
from wav2pix_jax.common import schema
from wav2pix_jax.configs import release as release_config
from wav2pix_jax.train_state import state_from_variables
from wav2pix_jax.weights import pytorch_names

pytestmark = pytest.mark.slow

# Rounding noise in the release: biases right before a batch norm.
NOISE = ("conv.bias", "aux_classifier.net.0.bias", "aux_classifier.net.3.bias")
NOISE_AFTER = (*NOISE, "aux_classifier.net.1.bias")


@pytest.fixture(scope="module", params=[64, pytest.param(128, marks=pytest.mark.extra)])
def case(request):
  """Everything of one image size: the release's numbers and ours before and after a step."""
  numbers, generator_dict, discriminator_dict = parity_formula.load(request.param)
  speech, face, mismatched, labels = parity_formula.inputs(
    request.param, int(numbers["audio_samples"]), str(numbers["salt"])
  )
  batch = {
    schema.SPEECH: speech,
    schema.FACE: face,
    schema.MISMATCHED_FACE: mismatched,
    schema.IDENTITY: labels,
  }
  config = release_config.get_config()
  nets = pytorch_names.networks(generator_dict, discriminator_dict, dropout=0.0)
  state = state_from_variables(
    config,
    nets,
    pytorch_names.import_generator(generator_dict),
    pytorch_names.import_discriminator(discriminator_dict),
  )
  key = jax.random.key(0)
  d_step = functools.partial(train_step.discriminator_step, config=config)
  g_step = functools.partial(train_step.generator_step, config=config)
  middle, d_metrics, fake = jax.jit(d_step)(state, batch, key)
  after, g_metrics = jax.jit(g_step)(middle, batch, key, fake)
  return types.SimpleNamespace(
    size=request.param,
    numbers=numbers,
    dicts=(generator_dict, discriminator_dict),
    batch=batch,
    nets=nets,
    states=(state, middle, after),
    metrics={**d_metrics, **g_metrics},
  )


@pytest.fixture
def worst(case, record_property):
  """Holds the worst error against a tolerance; all of them are printed after the tests."""

  def check(what, errors, tolerance):
    name = max(errors, key=errors.get)
    line = f"{case.size:3d} px, {what}: {errors[name]:.1e} at {name} (limit {tolerance:.0e})"
    record_property("parity with the release, worst errors", line)
    assert errors[name] <= tolerance

  return check


def _nchw(faces):
  return np.moveaxis(np.asarray(faces), -1, 1)


def test_evaluation(case, worst):
  out = pytorch_names.evaluate_imported(
    *case.dicts, case.batch[schema.SPEECH], case.batch[schema.FACE]
  )
  out["fake"] = _nchw(out["fake"])
  errors = {k: np.abs(v - case.numbers[f"eval.{k}"]).max() for k, v in out.items()}
  worst("evaluation outputs", errors, 1e-4)


def test_discriminator_features(case, worst):
  state = case.states[0]

  @jax.jit
  def last_features(generator, discriminator, speech):
    faces, embedding, _ = case.nets.generator.apply(generator, speech, False, True)
    return case.nets.discriminator.apply(discriminator, faces, embedding, False)[1]

  variables = state.generator.variables, state.discriminator.variables
  features = last_features(*variables, case.batch[schema.SPEECH])
  error = np.abs(features.mean((0, 1, 2)) - case.numbers["eval.D_fake_features_mean"]).max()
  worst("features", {"D_fake_features_mean": error}, 1e-4)


def test_train_mode(case, worst):
  generator = case.states[0].generator
  apply = functools.partial(case.nets.generator.apply, mutable=list(generator.stats))
  apply = jax.jit(apply, static_argnums=(2, 3))
  (faces, embedding, _), _ = apply(generator.variables, case.batch[schema.SPEECH], True, True)
  errors = {
    "fake": np.abs(_nchw(faces) - case.numbers["train.fake"]).max(),
    "embedding": np.abs(embedding - case.numbers["train.embedding"]).max(),
  }
  worst("train outputs", errors, 1e-4)


def test_losses(case, worst):
  errors = {}
  for letter in "dg":
    for name, value in case.metrics.items():
      term = name.removeprefix(f"{letter}_loss/")
      if term != name and term not in ("total", "between_samples"):  # the release prints neither
        expected = case.numbers[f"step.{letter.upper()}_loss_{term}"]
        errors[name] = abs(value / expected - 1)
  assert len(errors) == 7
  worst("losses (relative)", errors, 1e-4)


def _gradients(case):
  """The gradients of both half-steps, read back from Adam's first moment: (1 - b1) g."""
  _, _, after = case.states
  for network, table in (
    ("G", after.generator),
    ("D", after.discriminator),
  ):
    yield network, jax.tree.map(lambda m: m / (1 - 0.5), table.opt_state[0].mu)


def test_gradients(case, worst):
  errors = {}
  for network, grads in _gradients(case):
    for name, path in _parameters(case, network):
      if name.endswith(NOISE):
        continue
      norm = np.linalg.norm(_at(grads, path))
      errors[f"{network}.{name}"] = abs(norm / case.numbers[f"step.{network}_grad_norm.{name}"] - 1)
  worst("gradient norms (relative)", errors, 1e-3)


def test_updated_networks(case, worst):
  before, _, after = case.states
  errors = {}
  for network, old, new in (
    ("G", before.generator.params, after.generator.params),
    ("D", before.discriminator.params, after.discriminator.params),
  ):
    for name, path in _parameters(case, network):
      if name.endswith(NOISE_AFTER):
        continue
      change = np.abs(np.float64(_at(new, path)) - np.float64(_at(old, path))).sum()
      expected = case.numbers[f"after.{network}.{name}.sum_abs_change"]
      errors[f"{network}.{name}"] = abs(change / expected - 1)
  worst("sums of absolute changes (relative)", errors, 1e-3)

  apply = jax.jit(case.nets.generator.apply, static_argnums=(2, 3))
  faces, _, _ = apply(after.generator.variables, case.batch[schema.SPEECH], False, True)
  error = np.abs(_nchw(faces) - case.numbers["after.eval.fake"]).max()
  worst("faces after the step", {"after.eval.fake": error}, 1e-3)


def _parameters(case, network):
  """(release name, our path) of every trained tensor."""
  tables = {
    "G": pytorch_names._generator_table(case.nets.generator),
    "D": pytorch_names._discriminator_table(case.nets.discriminator),
  }
  for row in tables[network]:
    collection, *path = row.path
    if collection == "params":
      yield row.name, path


def _at(tree, path):
  for part in path:
    tree = tree[part]
  return np.asarray(tree)


def test_config_release_builds_the_imported_networks(case):
  """`configs/release.py` and an import describe the same networks, but for dropout's rate here."""
  config = release_config.get_config()
  config.image_size = case.size
  config.model.dropout = 0.0
  nets = models.build(config, 10)
  for ours, theirs in (
    (nets.generator, case.nets.generator),
    (nets.discriminator, case.nets.discriminator),
  ):
    args = (case.batch[schema.SPEECH], False, True)
    if ours is nets.discriminator:
      args = (case.batch[schema.FACE], jnp.zeros((4, 128)), False)
    shapes = [
      jax.eval_shape(lambda net=net, args=args: net.init(jax.random.key(0), *args))
      for net in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
  assert not config.model.discriminator_batched_passes
