"""Norms keep what they should."""

import functools

import jax
import numpy as np
import pytest

from wav2pix_jax import ops
from wav2pix_jax.models import layers

RNG = np.random.default_rng(0)


def _normal(*shape):
  return RNG.standard_normal(shape).astype(np.float32)


def test_spectral_norm_divides_and_leaves_the_stored_kernel():
  conv = layers.Conv(ops.conv_4x4_stride_2, (4, 4, 3, 5), spectral_norm=True)
  x = _normal(2, 8, 8, 3)
  variables = conv.init(jax.random.key(0), x, True)
  kernel = variables["params"]["kernel"]
  assert 0.018 < kernel.std() < 0.022  # as drawn
  apply = jax.jit(functools.partial(conv.apply, train=True, mutable=["params", "spectral"]))
  for _ in range(50):
    out, moved = apply(variables, x)
    np.testing.assert_array_equal(moved["params"]["kernel"], kernel)
    variables = {"params": variables["params"], "spectral": moved["spectral"]}
  sigma = np.linalg.svd(kernel.reshape(-1, 5), compute_uv=False)[0]
  np.testing.assert_allclose(out, ops.conv_4x4_stride_2(x, kernel / sigma), atol=1e-4)


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


@pytest.mark.parametrize("group", [1, 0])
def test_devices_normalise_together_in_groups(group):
  """With a group of one, each normalises its own share; with 0, both the whole batch."""
  x = 2 * _normal(2, 3, 4) + np.arange(2, dtype="f4")[:, None, None]
  alone, shared = layers.BatchNorm(), layers.BatchNorm(layers.Devices("data", group))
  variables = alone.init(jax.random.key(0), x[0], False)

  def apply(norm, x):
    return norm.apply(variables, x, True, mutable=["batch_stats"])

  found = jax.pmap(functools.partial(apply, shared), axis_name="data")(x)
  if group:
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *(apply(alone, one) for one in x))
  else:
    out, moved = apply(alone, x.reshape(6, 4))
    moved = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), moved)
    expected = out.reshape(x.shape), moved
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)


def test_batch_norm_of_a_single_value_stays_finite():
  norm = layers.BatchNorm()
  x = _normal(1, 2)
  _, moved = norm.init_with_output(jax.random.key(0), x, True)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moved))
