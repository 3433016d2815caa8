"""Networks of any size and window, and what single parts of them are for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wav2pix_jax import models
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.configs import base, paper, release, voices
from wav2pix_jax.models import log_mel_encoder
from wav2pix_jax.models.speech_encoder import output_length

RNG = np.random.default_rng(0)


def _normal(*shape):
  return RNG.standard_normal(shape).astype(np.float32)


def _shapes(config, batch=2):
  nets = models.build(config, 10)

  def run(key):
    speech = jnp.zeros((batch, config.dataset.window_samples))
    variables = nets.generator.init(key, speech, False, True)
    faces, embedding, logits = nets.generator.apply(variables, speech, False, True)
    variables = nets.discriminator.init(key, faces, embedding, False)
    return faces, embedding, logits, *nets.discriminator.apply(variables, faces, embedding, False)

  return [out.shape for out in jax.eval_shape(run, jax.random.key(0))]


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("window", [4800, 11_200, 16_000, 16_384, 1366])
@pytest.mark.parametrize("recipe", [base, release, paper])
def test_shapes(recipe, size, window):
  config = recipe.get_config()
  config.image_size, config.dataset.window_samples = size, window
  channels = 512 if size == 64 else 1024
  assert _shapes(config) == [(2, size, size, 3), (2, 128), (2, 10), (2,), (2, 4, 4, channels)]


@pytest.mark.parametrize("window", [4800, 16_000, 400])
def test_shapes_without_the_frames_in_the_middle(window):
  config = voices.get_config()
  config.dataset.window_samples = window
  assert _shapes(config) == [(2, 64, 64, 3), (2, 128), (2, 10), (2,), (2, 4, 4, 256)]


def test_the_paper_s_encoder_needs_a_longer_window():
  config = release.get_config()
  config.dataset.window_samples = 1365
  with pytest.raises(UserError, match="longer window"):
    models.check(config)


def test_the_frames_in_the_middle_tell_when_something_is_said():
  """The mean and the deviation of all frames hardly change if the speech is moved."""
  rng = np.random.default_rng(0)
  early, at_once = np.zeros((2, 1, 16_000), np.float32)
  sound = 0.1 * rng.standard_normal(1600).astype(np.float32)
  early[0, 4000:5600] = at_once[0, 7200:8800] = sound
  change = {}
  for offset in ("uniform", "centred"):
    config = base.get_config()
    config.dataset.window_offset = offset
    encoder = models.build(config, 2).generator.encoder
    variables = encoder.init(jax.random.key(0), early, False)
    first, second = (encoder.apply(variables, speech, False) for speech in (early, at_once))
    change[offset] = float(jnp.abs(first - second).mean())
  assert change["centred"] > 5 * change["uniform"]


def test_a_tone_is_in_its_band_however_loud_it_is():
  times = np.arange(16_000) / 16_000
  tones = np.stack([np.sin(2 * np.pi * hertz * times) for hertz in (200, 1000, 4000)])
  mel = np.asarray(log_mel_encoder.log_mel(tones.astype(np.float32)))
  assert mel.shape == (3, 98, 64)
  edges = 2595 * np.log10(1 + np.array([50, 200, 1000, 4000, 7600]) / 700)
  expected = (edges[1:-1] - edges[0]) / (edges[-1] - edges[0]) * 65 - 1
  np.testing.assert_allclose(mel.mean(1).argmax(1), expected, atol=1)
  np.testing.assert_allclose(mel.mean((1, 2)), 0, atol=1e-5)
  rng = np.random.default_rng(0)
  noise = rng.standard_normal((1, 16_000)).astype(np.float32)
  loud, quiet = (log_mel_encoder.log_mel(factor * noise) for factor in (1, 0.1))
  np.testing.assert_allclose(loud, quiet, atol=0.01)


def test_lengths():
  lengths = [16_000]
  for _ in range(6):
    lengths.append(output_length(lengths[-1], 1))
  assert lengths == [16_000, 4000, 1000, 250, 63, 16, 4]
  assert [output_length(n, 6) for n in (11_200, 4800, 16_384, 1366, 1365)] == [3, 1, 4, 1, 0]


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("image_size", 100, "power of two"),
    ("dataset.window_samples", 399, "longer window"),
    ("precision", "float16", "choose from float32, bfloat16"),
    ("model.prototypes", True, "model.classifier_hidden and loss.matching to 0"),
    ("model.classifier_hidden", -1, "at least 0"),
  ],
)
def test_impossible_shapes_are_refused(field, value, words):
  config = base.get_config()
  config.update_from_flattened_dict({field: value})
  with pytest.raises(UserError, match=words):
    models.build(config, 10)


@pytest.mark.extra
def test_an_untrained_base_generator_draws_with_contrast():
  """Gray pictures are the release's open complaint: nearly no gain through its layers."""
  speech = _normal(4, 16_000)
  std = {}
  for name, recipe in (("base", base), ("release", release)):
    recipe = recipe.get_config()
    recipe.image_size = 64
    generator = models.build(recipe, 2).generator
    key = jax.random.key(0)
    variables = jax.jit(generator.init, static_argnums=(2, 3))(key, speech, False, True)
    draw = jax.jit(
      functools.partial(generator.apply, train=True, deterministic=False, mutable=True)
    )
    (faces, _, _), _ = draw(variables, speech, rngs={"dropout": key})
    std[name] = float(faces.std())
  assert std["base"] > 0.15 > 0.05 > std["release"]


@pytest.mark.parametrize("projection", [True, False])
def test_only_by_projection_does_the_score_say_whether_face_and_speech_match(projection):
  """Concatenated, another speech moves the score of every face by the same: there is no match."""
  discriminator = models.Discriminator(
    widths=(8, 8), spectral_norm=True, last_spectral_norm=True, projection=projection
  )
  faces, embeddings = _normal(2, 16, 16, 3), _normal(2, 8)
  init = jax.jit(discriminator.init, static_argnums=3)
  variables = init(jax.random.key(0), faces, embeddings, False)

  @functools.partial(jax.jit, static_argnums=0)
  def scores(speech):
    return discriminator.apply(variables, faces, jnp.stack([embeddings[speech]] * 2), False)[0]

  moved = scores(1) - scores(0)
  assert abs(moved).min() > 1e-4
  assert (abs(moved[0] - moved[1]) > 0.01 * abs(moved).max()) == projection


@pytest.mark.parametrize(
  "field", [{"noise": 128, "dropout": 0.0}, {"noise": 0, "dropout": 0.3}], ids=str
)
def test_noise_or_dropout_on_the_embedding_varies_the_face(field):
  """Two draws differ as much as draws from two embeddings of their kind."""
  config = base.get_config()
  config.image_size = 16
  config.model.update(field)
  upsampler = models.build(config, 2).generator.upsampler
  embedding = _normal(2, config.model.embedding)
  init = jax.jit(upsampler.init, static_argnums=(2, 3))
  variables = init(jax.random.key(0), embedding, False, True)

  def draw(deterministic):
    apply = jax.jit(functools.partial(upsampler.apply, train=False, deterministic=deterministic))
    keys = [jax.random.key(i) for i in range(2)]
    return [apply(variables, embedding, rngs={"dropout": key}) for key in keys]

  between_people = np.abs(np.subtract(*draw(True)[0])).mean()
  assert np.array_equal(*draw(True))
  assert np.abs(np.subtract(*draw(False))).mean() > 0.5 * between_people


def test_noise_has_the_variance_of_a_normalised_embedding():
  upsampler = models.build(base.get_config(), 2).generator.upsampler

  def noise(deterministic):
    keys = {"dropout": jax.random.key(0)}
    embedding = jnp.zeros((1_000, 3))
    return upsampler.apply({}, embedding, deterministic, rngs=keys, method="uniform_noise")

  varied = noise(False)
  assert varied.shape == (1_000, upsampler.noise)
  assert abs(varied.mean()) < 0.01
  assert abs(varied.var() - 1) < 0.01
  assert 1.7 < abs(varied).max() <= 3**0.5 + 1e-6
  assert not noise(True).any()


@pytest.mark.parametrize("kind", models.ENCODERS)
def test_a_normalised_embedding_has_root_mean_square_one(kind):
  config = base.get_config()
  config.model.encoder = kind
  speech = _normal(3, 16_000)
  for normalised in (True, False):
    config.model.normalise_embedding = normalised
    encoder = models.build(config, 2).generator.encoder
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    embedding, _ = jax.jit(encoder.init_with_output, static_argnums=2)(keys, speech, True)
    size = np.sqrt(np.square(embedding).mean(-1))
    if normalised:
      assert np.allclose(size, 1, atol=1e-3)
    else:
      assert (size < 0.1).all() if kind == models.WAVEFORM else (np.abs(size - 1) > 0.01).all()


def test_with_prototypes_faces_are_of_what_the_classifier_says():
  """The embedding is the prototype of a speaker who is sure, and between those of others."""
  config = voices.get_config()
  generator = models.build(config, 3).generator
  speech = _normal(2, 16_000)
  listen = functools.partial(generator.apply, train=False, method="listen")
  init = jax.jit(functools.partial(generator.init, train=False, method="listen"))
  variables = init({"params": jax.random.key(0)}, speech)
  classifier = variables["params"]["classifier"]
  kernel = np.asarray(classifier["dense1"]["kernel"])
  assert kernel.shape == (config.model.embedding, 3)
  assert classifier.keys() == {"dense1"}
  for bias, sure in (([0, 50, 0], 1), ([50, 0, 50], 0.5)):
    classifier["dense1"]["bias"] = np.array(bias, np.float32)
    embedding, logits = listen(variables, speech)
    shares = np.asarray(jax.nn.softmax(logits))
    assert np.allclose(shares.max(1), sure, atol=0.2)
    expected = shares @ kernel.T
    expected /= np.sqrt(np.square(expected).mean(1, keepdims=True))
    assert np.allclose(embedding, expected, atol=1e-2)
