"""The ONNX graph computes what the generator does, in onnxruntime."""

import math

import conftest
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from wav2pix_jax import models
from wav2pix_jax.common import audio, images
from wav2pix_jax.configs import base, paper, release, voices
from wav2pix_jax.train_state import create_state
from wav2pix_jax.weights.onnx_graph import noise_size, onnx_bytes

SPEAKERS = ["ada", "bo", "cy"]
RNG = np.random.default_rng(0)


def _moved(variable):
  """A variable as after some training: statistics and scales are positive, kernels random.

  Kernels before the upsampler are large, so that faces are not all gray.
  """
  noise = RNG.standard_normal(variable.shape).astype("f4")
  if variable.ndim == 1:
    return np.abs(variable + 0.1 * noise)
  return variable + {2: 0.5, 3: 0.2, 4: 0.05}[variable.ndim] * noise


@pytest.fixture(
  scope="module", params=[base, release, paper, voices], ids=lambda config: config.__name__
)
def network(request):
  """A config's generator in small, its variables, and its session in onnxruntime."""
  config = request.param.get_config()
  config.update_from_flattened_dict(conftest.TINY)
  if request.param is voices:
    config.model.noise, config.model.dropout = 5, 0.3  # both
    config.model.classifier_hidden = 0  # as prototypes need it
  generator = models.build(config, len(SPEAKERS)).generator
  networks = models.build(config, len(SPEAKERS))
  state = create_state(config, networks, jax.random.key(0))
  variables = jax.tree.map(_moved, state.generator.variables)
  graph = onnx_bytes(config, SPEAKERS, generator, variables)
  return config, generator, variables, onnxruntime.InferenceSession(graph)


def _dropping_out(noise):
  """Replaces dropout and noise by those of the graph."""
  rest = noise

  def intercept(call, args, kwargs, context):
    nonlocal rest
    if context.method_name == "uniform_noise":
      share, rest = np.split(rest, [context.module.noise], 1)
      return math.sqrt(3) * (2 * share - 1)
    if not isinstance(context.module, nn.Dropout):
      return call(*args, **kwargs)
    (x, *deterministic), rate = args, context.module.rate
    if deterministic == [True] or not rate:  # the first is of the encoder
      return call(*args, **kwargs)
    share, rest = np.split(rest, [x[0].size], 1)
    if x.ndim == 4:  # the graph has channels first
      share = share.reshape(len(x), x.shape[3], *x.shape[1:3]).transpose(0, 2, 3, 1)
    return jnp.where(share >= rate, x / (1 - rate), 0)

  return nn.intercept_methods(intercept)


@pytest.mark.parametrize("count", [1, 3])
def test_it_computes_what_the_generator_does(network, count):
  config, generator, variables, session = network
  speech = RNG.uniform(-0.3, 0.3, (count, config.dataset.window_samples)).astype("f4")
  speech[-1] *= count == 1  # silence is an input, too
  noise = RNG.uniform(size=(count, noise_size(generator))).astype("f4")
  faces, embedding, logits = session.run(None, {"speech": speech, "noise": noise})
  conditioned = audio.condition(speech, config.dataset.audio_steps)
  with _dropping_out(noise):
    key = {"dropout": jax.random.key(0)}
    expected = generator.apply(variables, conditioned, False, False, rngs=key)
  np.testing.assert_allclose(embedding, expected[1], atol=1e-4)
  np.testing.assert_allclose(logits, expected[2], atol=1e-4)
  assert faces.dtype == np.uint8
  assert faces.shape == (count, config.image_size, config.image_size, 3)
  assert np.abs(faces.astype(int) - images.to_uint8(np.asarray(expected[0]))).max() <= 1
  assert faces.std() > 1


def test_the_same_noise_gives_the_same_look(network):
  config, generator, _, session = network
  speech = RNG.uniform(-1, 1, (1, config.dataset.window_samples)).astype("f4")
  noises = RNG.uniform(size=(2, 1, noise_size(generator))).astype("f4")
  first, again, other = (
    session.run(["faces"], {"speech": speech, "noise": noise})[0]
    for noise in (noises[0], noises[0], noises[1])
  )
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()


def test_the_speakers_are_in_the_metadata(network):
  *_, session = network
  assert session.get_modelmeta().custom_metadata_map["speakers"].split("\n") == SPEAKERS
