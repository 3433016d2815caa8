"""What a GAN's steps must hold to, whatever the networks learn."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wav2pix_jax import models, train_step
from wav2pix_jax.common import schema
from wav2pix_jax.models import layers
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_state import build_optimizers, initialise

KEY = jax.random.key(7)


def _batch(config, size):
  rng = np.random.default_rng(0)
  faces = (size, config.image_size, config.image_size, 3)
  return {
    schema.SPEECH: rng.uniform(-1, 1, (size, config.dataset.window_samples)).astype("f4"),
    schema.FACE: rng.uniform(-1, 1, faces).astype("f4"),
    schema.MISMATCHED_FACE: rng.uniform(-1, 1, faces).astype("f4"),
    schema.IDENTITY: rng.integers(0, 2, size).astype("i4"),
  }


def _setting(config, axis_name=None):
  """Initial state, and what a step is built from."""
  nets = models.build(config, 2, axis_name)
  optimizers = build_optimizers(config)
  state = initialise(nets, optimizers, KEY, config)
  context = {
    "nets": nets,
    "optimizers": optimizers,
    "weights": config.loss,
    "axis_name": axis_name,
  }
  return state, context


def _whole_step(config, context):
  return functools.partial(train_step.train_step, ema_decay=config.ema_decay, **context)


def _run(step, state, batch, context):
  return jax.jit(functools.partial(step, **context))(state, batch, KEY)


def _equal(a, b):
  return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_a_d_step_leaves_g_untouched_and_learns(config):
  state, context = _setting(config)
  after, *_ = _run(train_step.discriminator_step, state, _batch(config, 4), context)
  assert _equal(after.generator.params, state.generator.params)
  assert _equal(after.generator.opt_state, state.generator.opt_state)
  for old, new in zip(
    jax.tree.leaves(state.discriminator.params),
    jax.tree.leaves(after.discriminator.params),
    strict=True,
  ):
    assert not np.array_equal(old, new)


def test_a_g_step_leaves_d_untouched_and_trains_encoder_and_classifier(config):
  state, context = _setting(config)
  batch = _batch(config, 4)
  step = functools.partial(train_step.generator_step, drawn_before=batch[schema.FACE])
  after, _ = _run(step, state, batch, context)
  assert _equal(after.discriminator.params, state.discriminator.params)
  assert _equal(after.discriminator.opt_state, state.discriminator.opt_state)
  assert set(after.generator.params) == {"encoder", "classifier", "upsampler"}
  for part, params in after.generator.params.items():
    assert not _equal(params, state.generator.params[part])


def test_d_minimises_what_it_says(config):
  """Thirty D steps against a fixed G bring D's loss down; the same for G."""
  state, context = _setting(config)
  batch = _batch(config, 8)
  d_step = jax.jit(lambda s: train_step.discriminator_step(s, batch, KEY, **context))
  fake = batch[schema.MISMATCHED_FACE]
  g_step = jax.jit(lambda s: train_step.generator_step(s, batch, KEY, fake, **context))
  for step, loss in ((d_step, "d_loss/total"), (g_step, "g_loss/total")):
    player, losses = state, []
    for _ in range(30):
      player, metrics, *_ = step(player)
      losses.append(metrics[loss])
    assert losses[-1] < 0.99 * losses[0]


def test_two_generator_passes_with_different_dropout(config, monkeypatch):
  """Within a step the masks differ, and they differ from the next step's."""
  keys, draw = [], train_step._draw
  monkeypatch.setattr(train_step, "_draw", lambda *args: keys.append(args[-1]) or draw(*args))
  state, context = _setting(config)
  batch = _batch(config, 4)

  @jax.jit
  def used_keys(state):
    keys.clear()
    _whole_step(config, context)(state, batch, KEY)
    return [jax.random.key_data(key) for key in keys]

  first, second = used_keys(state), used_keys(state.replace(step=state.step + 1))
  assert len({np.asarray(key).tobytes() for key in [*first, *second]}) == 4
  fakes = [draw(context["nets"], state.generator, batch, KEY)[0][0] for _ in range(2)]
  assert np.array_equal(*fakes)  # the key is all that a drawing depends on


def test_stored_kernels_stay_unnormalised(config):
  """A D step moves kernels by Adam's step and nothing else, though sigma is far from 1."""
  state, context = _setting(config)
  after, *_ = _run(train_step.discriminator_step, state, _batch(config, 4), context)
  for old, new in zip(
    jax.tree.leaves(state.discriminator.params),
    jax.tree.leaves(after.discriminator.params),
    strict=True,
  ):
    assert np.abs(new - old).max() <= 1.01 * config.optimizer.lr_d


def test_power_iterations_per_pass(config):
  """`batched_passes` keeps one power iteration for three groups of faces, otherwise three."""
  moved = {}
  for batched in (True, False):
    config.model.discriminator_batched_passes = batched
    state, context = _setting(config)
    after, *_ = _run(train_step.discriminator_step, state, _batch(config, 4), context)
    u = after.discriminator.stats["spectral"]["down0"]["u"]
    moved[batched] = np.asarray(u)
    kernel = state.discriminator.params["down0"]["kernel"].reshape(-1, u.shape[-1])
    expected = state.discriminator.stats["spectral"]["down0"]["u"]
    for _ in range(1 if batched else 3):
      expected = expected @ kernel.T @ kernel
      expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(u, expected, atol=1e-5)


def test_batched_passes_give_the_same_scores(config):
  """But for power iterations: from converged vectors the losses agree."""
  state, context = _setting(config)
  batch = _batch(config, 4)
  embedding = np.random.default_rng(1).standard_normal((4, config.model.embedding)).astype("f4")
  player = state.discriminator
  groups = [batch[schema.FACE], batch[schema.MISMATCHED_FACE]]
  for _ in range(100):
    judged, player = train_step._judge(context["nets"], player, groups, embedding)
  config.model.discriminator_batched_passes = False
  separate, _ = train_step._judge(models.build(config, 2), player, groups, embedding)
  for (a, fa), (b, fb) in zip(judged, separate, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(fa, fb, atol=1e-4)


@pytest.mark.parametrize("name", ["base", "release", "paper"])
def test_every_recipe_steps_and_is_finite(config, name):
  recipe = importlib.import_module(f"configs.{name}").get_config()
  for field in ("generator", "classifier", "encoder"):
    norm = f"{field}_batch_norm"
    config.model[norm] = recipe.model[norm]
  config.model.generator_spectral_norm = recipe.model.generator_spectral_norm
  config.model.dropout_embedding = recipe.model.dropout_embedding
  config.model.dropout_layers = recipe.model.dropout_layers
  config.loss = recipe.loss
  state, context = _setting(config)
  after, metrics = jax.jit(_whole_step(config, context))(state, _batch(config, 4), KEY)
  assert int(after.step) == 1
  assert metrics["finite"] == 1
  assert ("d_loss/mismatched" in metrics) == bool(recipe.loss.mismatched)


def test_bfloat16_is_what_convolutions_compute_in_and_nothing_else(config, monkeypatch):
  """Parameters, statistics, optimizers, losses and metrics stay float32, and near float32's."""
  monkeypatch.setattr(layers, "_as_matrix_product", lambda: False)
  config.model.dropout, config.loss.energy_score = 0.0, False
  batch, after = _batch(config, 16), {}
  for config.precision in ("float32", "bfloat16"):
    state, context = _setting(config)
    step = jax.jit(_whole_step(config, context))
    for line in step.lower(state, batch, KEY).as_text().splitlines():
      if "stablehlo.convolution" in line:
        assert ("bf16>" in line) == ("xf32>" not in line) == (config.precision == "bfloat16")
      assert not ("stablehlo.reduce" in line and "bf16>" in line)  # no sums but of products
    after[config.precision] = step(state, batch, KEY)
  dtypes = {leaf.dtype for leaf in jax.tree.leaves(after["bfloat16"])}
  assert dtypes == {np.dtype("f4"), np.dtype("i4")}
  for name, value in after["float32"][1].items():
    np.testing.assert_allclose(after["bfloat16"][1][name], value, 0.05, 2e-3, err_msg=name)


def test_a_nan_is_reported(config):
  state, context = _setting(config)
  batch = _batch(config, 4)
  batch[schema.SPEECH][0, 0] = np.nan
  _, metrics = jax.jit(_whole_step(config, context))(state, batch, KEY)
  assert metrics["finite"] == 0


def test_the_average_follows_the_generator(config):
  """Weights and statistics; soon at the start, slowly later; untouched players without it."""
  state, context = _setting(config)
  batch = _batch(config, 4)
  after = jax.jit(_whole_step(config, context))(state, batch, KEY)[0]
  for step, kept in ((0, 0.1), (8, 0.5), (10**6, config.ema_decay)):
    at = state.replace(step=jnp.int32(step))
    new, _ = jax.jit(_whole_step(config, context))(at, batch, KEY)
    expected = jax.tree.map(
      lambda old, last, kept=kept: kept * old + (1 - kept) * last,
      state.ema,
      new.generator.variables,
    )
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), new.ema, expected
    )
  assert set(after.ema) == {"params", "batch_stats"}
  assert after.drawing is after.ema
  config.ema_decay = 0.0
  bare, context = _setting(config)
  without = jax.jit(_whole_step(config, context))(bare, batch, KEY)[0]
  assert without.ema == {}
  assert without.drawing.keys() == without.generator.variables.keys()
  assert _equal(without.generator, after.generator)


def test_streams_differ_by_name_and_step():
  keys = {
    tuple(np.asarray(jax.random.key_data(train_step.stream(KEY, name, step))))
    for name in ("a", "b")
    for step in range(3)
  }
  assert len(keys) == 6
  assert np.array_equal(
    jax.random.key_data(train_step.stream(KEY, "a", 1)),
    jax.random.key_data(train_step.stream(KEY, "a", 1)),
  )


def test_a_run_compiles_its_step_once(config):
  """Also across the first step, whose state comes from elsewhere than the later ones'."""
  traces = []

  def counted(*args):
    traces.append(1)
    return _whole_step(config, context)(*args)

  state, context = _setting(config, distributed.AXIS)
  step, batch = distributed.pmapped(counted), _batch(config, 4)
  state = distributed.replicate(state)
  for _ in range(3):
    state, _ = step(state, distributed.shard(batch), KEY)
  assert len(traces) == 1
  assert int(state.step) == 3
