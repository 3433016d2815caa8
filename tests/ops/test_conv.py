"""Both forms of each convolution agree, and each platform gets the form that is meant for it."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wav2pix_jax import models
from wav2pix_jax.common import schema
from wav2pix_jax.ops import conv, winograd
from wav2pix_jax.train_state import create_state
from wav2pix_jax.train_step import train_step

RNG = np.random.default_rng(0)


def _normal(*shape):
  return RNG.standard_normal(shape).astype(np.float32)


CASES = [
  *[
    ("conv_15_stride_4", _normal(2, length, 3), _normal(15, 3, 5))
    for length in (2, 3, 4, 5, 16, 63, 250, 1000)
  ],
  ("conv_4x4_stride_2", _normal(2, 8, 6, 3), _normal(4, 4, 3, 5)),
  ("conv_transpose_4x4_stride_2", _normal(2, 4, 3, 5), _normal(4, 4, 3, 5)),
  # wide: by Winograd's algorithm
  ("conv_4x4_stride_2", _normal(3, 16, 24, 16), _normal(4, 4, 16, 20)),
  ("conv_transpose_4x4_stride_2", _normal(3, 8, 12, 20), _normal(4, 4, 16, 20)),
  ("conv_4x4_stride_2", _normal(3, 18, 28, 16), _normal(4, 4, 16, 20)),  # odd: not
]


@pytest.mark.parametrize(("name", "x", "kernel"), CASES)
def test_both_forms_agree_with_their_gradients(name, x, kernel):
  _agree(name, x, kernel)


@pytest.mark.parametrize("length", [1, 2, 49, 98])
@pytest.mark.parametrize(("size", "stride"), [(5, 1), (3, 2), (2, 3)])
def test_both_forms_agree_at_any_stride(size, stride, length):
  _agree("conv_same", _normal(2, length, 3), _normal(size, 3, 5), stride=stride)


def _agree(name, x, kernel, **fixed):
  @functools.partial(jax.jit, static_argnums=0)
  def run(convolve, x, kernel):
    out, pull = jax.vjp(convolve, x, kernel)
    return out, *pull(jnp.cos(jnp.arange(out.size)).reshape(out.shape))

  def of(form):
    return run(functools.partial(getattr(conv, form), **fixed), x, kernel)

  library = of(f"_{name}")
  for form in (f"_{name}_cpu", name):  # what a CPU computes, and what is called
    for a, b in zip(of(form), library, strict=True):
      assert a.shape == b.shape
      np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))


def test_only_wide_layers_of_even_maps_take_winograds_algorithm(monkeypatch):
  taken = []
  for name in ("conv_4x4_stride_2", "conv_transpose_4x4_stride_2"):
    original = getattr(winograd, name)
    monkeypatch.setattr(
      winograd, name, lambda *args, of=original: taken.append(of.__name__) or of(*args)
    )
  for name, x, kernel in CASES:
    jax.eval_shape(getattr(conv, f"_{name}_cpu"), x, kernel)
  assert taken == ["conv_4x4_stride_2", "conv_transpose_4x4_stride_2"]


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
    conv.conv_transpose_4x4_from_point(x[:, 0, 0], kernel), expected, atol=1e-5
  )
  x, kernel = _normal(2, 4, 4, 3), _normal(4, 4, 3, 1)
  expected = jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  np.testing.assert_allclose(conv.conv_4x4_to_point(x, kernel), expected, atol=1e-4)


@pytest.mark.parametrize(("name", "x", "kernel"), [CASES[7], *CASES[8:12]])
def test_each_platform_gets_the_form_that_is_meant_for_it(name, x, kernel):
  """Wherever it is traced: here on a CPU."""
  traced = jax.jit(getattr(conv, name)).trace(x, kernel)
  for platform, count in (("cpu", 0), ("cuda", 1), ("tpu", 1)):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert text.count("stablehlo.convolution") == count


def _convolutions(config, platform):
  """Returns how many convolutions a training step has when it is lowered for a platform."""
  networks, key = models.build(config, 2), jax.random.key(0)
  faces = jax.ShapeDtypeStruct((4, config.image_size, config.image_size, 3), jnp.float32)
  batch = {
    schema.SPEECH: jax.ShapeDtypeStruct((4, config.dataset.window_samples), jnp.float32),
    schema.FACE: faces,
    schema.MISMATCHED_FACE: faces,
    schema.IDENTITY: jax.ShapeDtypeStruct((4,), jnp.int32),
  }
  state = jax.eval_shape(functools.partial(create_state, config, networks, key))
  traced = jax.jit(functools.partial(train_step, config=config)).trace(state, batch, key)
  return len(
    re.findall(r"stablehlo\.convolution", traced.lower(lowering_platforms=(platform,)).as_text())
  )


@pytest.mark.slow
@pytest.mark.parametrize("encoder", models.ENCODERS)
def test_a_step_lowered_for_an_accelerator_has_convolutions_and_for_a_cpu_none(config, encoder):
  """Wherever it is traced: here on a CPU."""
  config.model.encoder = encoder
  counts = {platform: _convolutions(config, platform) for platform in ("cpu", "cuda", "tpu")}
  assert counts["cpu"] == 0
  assert counts["cuda"] == counts["tpu"] >= 30
