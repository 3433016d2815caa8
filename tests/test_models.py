"""Both forms of each convolution agree, windows of any length work, norms keep what they should."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base, paper, release
from wav2pix_jax import models
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.models import layers
from wav2pix_jax.models.speech_encoder import output_length

RNG = np.random.default_rng(0)


def _normal(*shape):
  return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
  ("convolve", "x", "kernel"),
  [
    *[
      (layers.conv_15_stride_4, _normal(2, length, 3), _normal(15, 3, 5))
      for length in (2, 3, 4, 5, 16, 63, 250, 1000)
    ],
    (layers.conv_4x4_stride_2, _normal(2, 8, 6, 3), _normal(4, 4, 3, 5)),
    (layers.conv_transpose_4x4_stride_2, _normal(2, 4, 3, 5), _normal(4, 4, 3, 5)),
    # wide: by Winograd's algorithm
    (layers.conv_4x4_stride_2, _normal(3, 16, 24, 16), _normal(4, 4, 16, 20)),
    (layers.conv_transpose_4x4_stride_2, _normal(3, 8, 12, 20), _normal(4, 4, 16, 20)),
    (layers.conv_4x4_stride_2, _normal(3, 18, 28, 16), _normal(4, 4, 16, 20)),  # odd: not
  ],
)
def test_both_forms_agree_with_their_gradients(convolve, x, kernel, monkeypatch):
  def run():
    out, pull = jax.vjp(convolve, x, kernel)
    return out, *pull(jnp.cos(jnp.arange(out.size)).reshape(out.shape))

  assert layers._as_matrix_product()
  matrix = run()
  monkeypatch.setattr(layers, "_as_matrix_product", lambda: False)
  library = run()
  for a, b in zip(matrix, library, strict=True):
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))


def test_convolutions_to_and_from_a_point_agree_with_the_library():
  x, kernel = _normal(2, 1, 1, 3), _normal(4, 4, 5, 3)
  expected = jax.lax.conv_transpose(
    x,
    kernel,
    (1, 1),
    "VALID",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    transpose_kernel=True,
  )
  np.testing.assert_allclose(
    layers.conv_transpose_4x4_from_point(x[:, 0, 0], kernel), expected, atol=1e-5
  )
  x, kernel = _normal(2, 4, 4, 3), _normal(4, 4, 3, 1)
  expected = jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  np.testing.assert_allclose(layers.conv_4x4_to_point(x, kernel), expected, atol=1e-4)


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
    ("dataset.window_samples", 1365, "longer window"),
    ("precision", "float16", "choose from float32, bfloat16"),
  ],
)
def test_impossible_shapes_are_refused(field, value, words):
  config = base.get_config()
  config.update_from_flattened_dict({field: value})
  with pytest.raises(UserError, match=words):
    models.build(config, 10)


def test_spectral_norm_divides_and_leaves_the_stored_kernel():
  conv = layers.Conv(layers.conv_4x4_stride_2, (4, 4, 3, 5), spectral_norm=True)
  x = _normal(2, 8, 8, 3)
  variables = conv.init(jax.random.key(0), x, True)
  kernel = variables["params"]["kernel"]
  assert 0.018 < kernel.std() < 0.022  # as drawn
  for _ in range(50):
    out, moved = conv.apply(variables, x, True, mutable=["params", "spectral"])
    np.testing.assert_array_equal(moved["params"]["kernel"], kernel)
    variables = {"params": variables["params"], "spectral": moved["spectral"]}
  sigma = np.linalg.svd(kernel.reshape(-1, 5), compute_uv=False)[0]
  np.testing.assert_allclose(out, layers.conv_4x4_stride_2(x, kernel / sigma), atol=1e-4)


def test_batch_norm_keeps_the_unbiased_variance():
  x = _normal(4, 3, 2)
  norm = layers.BatchNorm()
  variables = norm.init(jax.random.key(0), x, False)
  out, moved = norm.apply(variables, x, True, mutable=["batch_stats"])
  flat = x.reshape(-1, 2)
  np.testing.assert_allclose(moved["batch_stats"]["mean"], 0.1 * flat.mean(0), rtol=1e-5)
  np.testing.assert_allclose(
    moved["batch_stats"]["var"], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5
  )
  scale = variables["params"]["scale"]
  expected = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5) * scale
  np.testing.assert_allclose(out.reshape(-1, 2), expected, atol=1e-5)


def test_batch_norm_of_a_single_value_stays_finite():
  norm = layers.BatchNorm()
  x = _normal(1, 2)
  _, moved = norm.init_with_output(jax.random.key(0), x, True)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moved))


def test_an_untrained_base_generator_draws_with_contrast():
  """Gray pictures are the release's open complaint: nearly no gain through its layers."""
  config = base.get_config()
  config.image_size = 64
  speech = _normal(16, 16_000)
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
  variables = discriminator.init(jax.random.key(0), faces, embeddings, False)

  def scores(speech):
    return discriminator.apply(variables, faces, embeddings[jnp.array([speech] * 2)], False)[0]

  moved = scores(1) - scores(0)
  assert abs(moved).min() > 1e-4
  assert (abs(moved[0] - moved[1]) > 0.01 * abs(moved).max()) == projection


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("rate", [0.5, 0.3])
def test_dropout_drops_its_share_and_keeps_the_mean(rate, dtype):
  x = jnp.ones((3, 101, 333), dtype)  # an odd number
  dropout = layers.Dropout(rate)
  rngs = [{"dropout": jax.random.key(i)} for i in range(2)]
  first, second = (np.asarray(dropout.apply({}, x, False, rngs=key), np.float32) for key in rngs)
  assert abs((first == 0).mean() - rate) < 0.01
  assert abs(((first == 0) & (second == 0)).mean() - rate**2) < 0.01
  halves = first.ravel()[:-1].reshape(2, -1)  # a word decides of one element in each
  assert abs(np.corrcoef(*halves)[0, 1]) < 0.02
  np.testing.assert_allclose(first[first > 0], 1 / (1 - rate), rtol=4e-3)
  assert dropout.apply({}, x, False, rngs=rngs[0]).dtype == dtype
  np.testing.assert_array_equal(dropout.apply({}, x, True), x)


def test_dropout_on_the_embedding_varies_the_face():
  """With no other dropout, two draws differ as much as draws from two embeddings of its kind."""
  config = base.get_config()
  config.image_size = 16
  upsampler = models.build(config, 2).generator.upsampler
  embedding = _normal(2, config.model.embedding)
  variables = upsampler.init(jax.random.key(0), embedding, False, True)

  def draw(deterministic):
    return [
      upsampler.apply(
        variables, embedding, False, deterministic, rngs={"dropout": jax.random.key(i)}
      )
      for i in range(2)
    ]

  between_people = np.abs(np.subtract(*draw(True)[0])).mean()
  assert np.array_equal(*draw(True))
  assert np.abs(np.subtract(*draw(False))).mean() > 0.5 * between_people


def test_a_normalised_embedding_has_root_mean_square_one():
  config = base.get_config()
  config.image_size = 16
  for normalised in (True, False):
    config.model.normalise_embedding = normalised
    generator = models.build(config, 2).generator
    speech = _normal(3, 16_000)
    variables = generator.init(jax.random.key(0), speech, True, True)
    (_, embedding, _), _ = generator.apply(variables, speech, True, True, mutable=["batch_stats"])
    size = np.sqrt(np.square(embedding).mean(-1))
    assert np.allclose(size, 1, atol=1e-3) if normalised else (size < 0.1).all()
