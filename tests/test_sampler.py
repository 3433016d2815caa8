"""Drawing: the same seed gives the same face at any batch size, another draw gives another face."""

import jax
import numpy as np
import pytest

from wav2pix_jax import models, sampler

RNG = np.random.default_rng(0)


@pytest.fixture
def drawn(config):
  nets = models.build(config, 2)
  speech = RNG.uniform(-1, 1, (70, 16_000)).astype("f4")
  variables = jax.jit(nets.generator.init, static_argnums=(2, 3))(
    jax.random.key(0), speech[:1], False, True
  )
  variables["params"] = jax.tree.map(lambda x: 8 * x, variables["params"])  # else all is gray
  keys = [sampler.key(0, "a.wav", i, 0) for i in range(70)]
  return sampler.drawer(nets.generator), variables, speech, keys


def test_a_face_depends_on_its_own_speech_and_key_alone(drawn):
  draw, variables, speech, keys = drawn
  faces, logits = draw(variables, speech, keys)
  assert faces.shape == (70, 16, 16, 3)
  assert faces.dtype == np.uint8
  assert logits.shape == (70, 2)
  for picked in ([3], [69, 3, 10]):
    alone, names = draw(variables, speech[picked], [keys[i] for i in picked])
    assert np.abs(alone.astype(int) - faces[picked]).max() <= 1
    np.testing.assert_allclose(names, logits[picked], rtol=1e-5)


def test_faces_do_not_depend_on_the_precision_of_training(drawn, config):
  draw, variables, speech, keys = drawn
  config.precision = "bfloat16"
  again = sampler.drawer(models.build(config, 2).generator)
  for a, b in zip(
    draw(variables, speech[:2], keys), again(variables, speech[:2], keys), strict=True
  ):
    assert np.array_equal(a, b)


def test_draws_differ_and_keys_name_them(drawn):
  draw, variables, speech, keys = drawn
  faces, _ = draw(variables, np.repeat(speech[:1], 3, 0), [keys[0], keys[0], keys[1]])
  assert np.array_equal(faces[0], faces[1])
  assert not np.array_equal(faces[0], faces[2])
  parts = [("a.wav", 0, 0), ("a.wav", 0, 1), ("a.wav", 1, 0), ("b.wav", 0, 0)]
  data = {
    np.asarray(jax.random.key_data(sampler.key(seed, *p))).tobytes()
    for p in parts
    for seed in (0, 1)
  }
  assert len(data) == 8
