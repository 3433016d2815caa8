"""What a GAN's steps must hold to, whatever the networks learn."""

import functools
import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from wav2pix_jax import models, train_step
from wav2pix_jax.common import schema
from wav2pix_jax.ops import conv
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_state import create_state

KEY = jax.random.key(7)
# With it, equal parts of different programs give equal bits; the suite compiles without.
FUSED = {"xla_cpu_use_fusion_emitters": True}


def _batch(config, size):
  rng, further = np.random.default_rng(0), config.loss.matching_faces
  faces = (size, config.image_size, config.image_size, 3)
  return {
    schema.SPEECH: rng.uniform(-1, 1, (size, config.dataset.window_samples)).astype("f4"),
    schema.FACE: rng.uniform(-1, 1, faces).astype("f4"),
    schema.MISMATCHED_FACE: rng.uniform(-1, 1, faces).astype("f4"),
    schema.IDENTITY: rng.integers(0, 2, size).astype("i4"),
    schema.FURTHER_FACES: rng.uniform(-1, 1, (size, further, *faces[1:])).astype("f4"),
    schema.RECORDS: np.arange((1 + further) * size, dtype="i4").reshape(size, -1),
  }


@functools.cache
def _state(text):
  config = ConfigDict(json.loads(text))
  return create_state(config, models.build(config, 2), KEY)


@functools.cache
def _step(function, text, **options):
  function = functools.partial(function, config=ConfigDict(json.loads(text)))
  return jax.jit(function, compiler_options=options)


def _setting(config, **options):
  """Returns the initial state, and the three jitted steps; made once for each config."""
  text = config.to_json(sort_keys=True)
  steps = train_step.train_step, train_step.discriminator_step, train_step.generator_step
  return _state(text), *(_step(function, text, **options) for function in steps)


def _at_step(state, step):
  """The same state as if so many steps were finished."""
  return state.replace(generator=state.generator.replace(step=jnp.int32(step)))


def _equal(a, b):
  return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_a_d_step_leaves_g_untouched_and_learns(config):
  state, _, d_step, _ = _setting(config)
  after, *_ = d_step(state, _batch(config, 4), KEY)
  assert _equal(after.generator.params, state.generator.params)
  assert _equal(after.generator.opt_state, state.generator.opt_state)
  for old, new in zip(
    jax.tree.leaves(state.discriminator.params),
    jax.tree.leaves(after.discriminator.params),
    strict=True,
  ):
    assert not np.array_equal(old, new)


def test_a_g_step_leaves_d_untouched_and_trains_encoder_and_classifier(config):
  state, _, _, g_step = _setting(config)
  batch = _batch(config, 4)
  after, _ = g_step(state, batch, KEY, batch[schema.FACE])
  assert _equal(after.discriminator.params, state.discriminator.params)
  assert _equal(after.discriminator.opt_state, state.discriminator.opt_state)
  assert set(after.generator.params) == {"encoder", "classifier", "upsampler"}
  for part, params in after.generator.params.items():
    assert not _equal(params, state.generator.params[part])


@pytest.mark.parametrize("encoder", models.ENCODERS)
def test_a_speaker_step_trains_encoder_and_classifier_alone(config, encoder):
  config.model.encoder, config.speaker_steps = encoder, 2
  state, *_ = _setting(config)
  step = _step(train_step.speaker_step, config.to_json(sort_keys=True))
  batch = _batch(config, 4)
  first, metrics = step(state, batch, KEY)
  assert int(first.step) == 1
  assert metrics["finite"] == 1
  for part, params in first.generator.params.items():
    assert _equal(params, state.generator.params[part]) == (part == "upsampler")
  assert _equal(first.discriminator, state.discriminator)
  assert not _equal(
    first.generator.stats["batch_stats"]["encoder"], state.generator.stats["batch_stats"]["encoder"]
  )
  moments = first.generator.opt_state
  second, later = step(first, batch, KEY)
  assert later["g_loss/softmax"] < metrics["g_loss/softmax"]
  assert not _equal(moments, state.generator.opt_state)
  assert _equal(second.generator.opt_state, state.generator.opt_state)  # as at the start
  first, metrics = step(state, batch | {schema.SPEECH: batch[schema.SPEECH] * np.nan}, KEY)
  assert metrics["finite"] == 0


def test_faces_may_leave_the_speech_encoder_alone(config):
  """It then learns from the softmax, whatever the weights of the other terms."""
  config.loss.faces_teach = False
  after = []
  for config.loss.l1 in (1.0, 50.0):
    state, _, _, g_step = _setting(config)
    batch = _batch(config, 4)
    generator = g_step(state, batch, KEY, batch[schema.MISMATCHED_FACE])[0].generator
    after.append(generator.opt_state[0].mu)  # the gradients, after one step
  for part in ("encoder", "classifier", "upsampler"):
    assert _equal(after[0][part], after[1][part]) == (part != "upsampler")
    assert all(np.any(leaf) for leaf in jax.tree.leaves(after[0][part]))


def _with_moments(config):
  config.loss.matching, config.loss.matching_faces = 1.0, 2
  config.loss.mismatched_moment = 1.0
  return config


def test_matching_trains_both_encoders_in_the_g_step_and_nothing_else(config):
  config = _with_moments(config)
  state, _, d_step, g_step = _setting(config, **FUSED)
  batch = _batch(config, 4)
  after_d, *_ = d_step(state, batch, KEY)
  assert _equal(after_d.face_encoder, state.face_encoder)
  assert _equal(after_d.generator.params, state.generator.params)
  after, metrics = g_step(state, batch, KEY, batch[schema.FACE])
  assert not _equal(after.face_encoder.params, state.face_encoder.params)
  assert not _equal(after.face_encoder.stats, state.face_encoder.stats)
  assert metrics["g_loss/matching"] > 0
  config.loss.matching = 2.0
  *_, g_step = _setting(config, **FUSED)
  more, _ = g_step(state, batch, KEY, batch[schema.FACE])
  assert not _equal(more.generator.params["encoder"], after.generator.params["encoder"])
  for part in ("classifier", "upsampler"):
    assert _equal(more.generator.params[part], after.generator.params[part])


def test_d_sees_the_speaker_at_another_moment(config):
  """The term has its weight, and depends on the first of the further faces alone."""
  config = _with_moments(config)
  state, _, d_step, _ = _setting(config)
  batch = _batch(config, 4)
  _, metrics, _ = d_step(state, batch, KEY)
  names = ("real", "fake", "mismatched", "mismatched_moment")
  terms = [metrics[f"d_loss/{name}"] for name in names]
  np.testing.assert_allclose(metrics["d_loss/total"], sum(terms), rtol=1e-5)
  further = batch[schema.FURTHER_FACES].copy()
  further[:, 1:] = 0
  further[::2] = 0
  _, same, _ = d_step(state, batch | {schema.FURTHER_FACES: further}, KEY)
  assert same["d_loss/mismatched_moment"] == metrics["d_loss/mismatched_moment"]
  further[:, 0] = 0
  _, other, _ = d_step(state, batch | {schema.FURTHER_FACES: further}, KEY)
  assert other["d_loss/mismatched_moment"] != metrics["d_loss/mismatched_moment"]


def test_d_minimises_what_it_says(config):
  """Thirty D steps against a fixed G bring D's loss down; the same for G."""
  state, _, d_step, g_step = _setting(config)
  batch = _batch(config, 4)
  halves = (d_step, (), "d_loss/total"), (g_step, (batch[schema.FACE],), "g_loss/total")
  for step, more, loss in halves:
    after, losses = state, []
    for _ in range(30):
      after, metrics, *_ = step(after, batch, KEY, *more)
      losses.append(metrics[loss])
    assert losses[-1] < 0.99 * losses[0]


def test_two_generator_passes_with_different_noise(config, monkeypatch):
  """Within a step the keys differ, and they differ from the next step's."""
  keys, generate = [], train_step._generate
  monkeypatch.setattr(
    train_step, "_generate", lambda *args: keys.append(args[2]) or generate(*args)
  )
  state, *_ = _setting(config)
  batch = _batch(config, 4)

  @jax.jit
  def used_keys(state):
    keys.clear()
    train_step.train_step(state, batch, KEY, config=config)
    return [jax.random.key_data(key) for key in keys]

  first, second = used_keys(state), used_keys(_at_step(state, 1))
  assert len({np.asarray(key).tobytes() for key in [*first, *second]}) == 4


def test_generated_faces_depend_on_state_speech_and_key_alone(config):
  state, _, d_step, _ = _setting(config)
  batch = _batch(config, 4)
  faces = [d_step(state, batch, key)[2] for key in (KEY, KEY, jax.random.key(8))]
  assert np.array_equal(faces[0], faces[1])
  assert not np.array_equal(faces[0], faces[2])


def test_stored_kernels_stay_unnormalised(config):
  """A D step moves kernels by Adam's step and nothing else, though sigma is far from 1."""
  state, _, d_step, _ = _setting(config)
  after, *_ = d_step(state, _batch(config, 4), KEY)
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
    state, _, d_step, _ = _setting(config)
    after, *_ = d_step(state, _batch(config, 4), KEY)
    u = after.discriminator.stats["spectral"]["down0"]["u"]
    moved[batched] = np.asarray(u)
    kernel = state.discriminator.params["down0"]["kernel"].reshape(-1, u.shape[-1])
    expected = state.discriminator.stats["spectral"]["down0"]["u"]
    for _ in range(1 if batched else 3):
      expected = expected @ kernel.T @ kernel
      expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(u, expected, atol=1e-5)


@pytest.mark.slow
def test_batched_passes_give_the_same_scores(config):
  """But for power iterations: from converged vectors the losses agree."""
  state, *_ = _setting(config)
  batch = _batch(config, 4)
  embedding = np.random.default_rng(1).standard_normal((4, config.model.embedding)).astype("f4")
  discriminator = state.discriminator
  groups = [(batch[schema.FACE], embedding), (batch[schema.MISMATCHED_FACE][:3], embedding[:3])]
  judge = jax.jit(lambda discriminator: train_step._judge(discriminator, groups, config))
  for _ in range(100):
    judged, discriminator = judge(discriminator)
  config.model.discriminator_batched_passes = False
  separate, _ = train_step._judge(discriminator, groups, config)
  for (a, fa), (b, fb) in zip(judged, separate, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(fa, fb, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
  "name", ["base", *(pytest.param(name, marks=pytest.mark.extra) for name in ("release", "paper"))]
)
def test_every_recipe_steps_and_is_finite(config, name):
  recipe = importlib.import_module(f"wav2pix_jax.configs.{name}").get_config()
  for field in ("generator", "classifier", "encoder"):
    norm = f"{field}_batch_norm"
    config.model[norm] = recipe.model[norm]
  config.model.generator_spectral_norm = recipe.model.generator_spectral_norm
  config.model.noise = recipe.model.noise
  config.model.dropout_embedding = recipe.model.dropout_embedding
  config.model.dropout_layers = recipe.model.dropout_layers
  config.loss = recipe.loss
  state, step, *_ = _setting(config)
  after, metrics = step(state, _batch(config, 4), KEY)
  assert int(after.step) == 1
  assert metrics["finite"] == 1
  assert ("d_loss/mismatched" in metrics) == bool(recipe.loss.mismatched)


@pytest.mark.slow
def test_bfloat16_is_what_convolutions_compute_in_and_nothing_else(config, monkeypatch):
  """Parameters, statistics, optimizers, losses and metrics stay float32, and near float32's."""
  monkeypatch.setattr(conv.lax, "platform_dependent", lambda *args, cpu, default: default(*args))
  config.model.noise, config.model.dropout, config.loss.energy_score = 0, 0.0, False
  batch, after = _batch(config, 16), {}
  for config.precision in ("float32", "bfloat16"):
    state, step, *_ = _setting(config)
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
  state, step, *_ = _setting(config)
  batch = _batch(config, 4)
  batch[schema.SPEECH][0, 0] = np.nan
  _, metrics = step(state, batch, KEY)
  assert metrics["finite"] == 0


def test_the_average_follows_the_generator(config):
  """Weights and statistics; soon at the start, slowly later; networks learn the same without it.

  Steps of the speech encoder alone have an average of their own, as no faces come of them.
  """
  config.speaker_steps = 100
  state, step, *_ = _setting(config, **FUSED)
  state, batch = _at_step(state, 100), _batch(config, 4)
  after = step(state, batch, KEY)[0]
  for finished, kept in ((100, 0.1), (108, 0.5), (10**6, config.ema_decay)):
    new, _ = step(_at_step(state, finished), batch, KEY)
    expected = jax.tree.map(
      lambda old, last, kept=kept: kept * old + (1 - kept) * last,
      state.ema,
      new.generator.variables,
    )
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), new.ema, expected
    )
  alone = _step(train_step.speaker_step, config.to_json(sort_keys=True), **FUSED)
  new, _ = alone(_at_step(state, 8), batch, KEY)
  old, last, averaged = (
    tree["params"]["classifier"]["dense1"]["bias"]
    for tree in (state.ema, new.generator.variables, new.ema)
  )
  np.testing.assert_allclose(averaged, (old + last) / 2, rtol=1e-5, atol=1e-7)
  assert set(after.ema) == {"params", "batch_stats"}
  assert after.sampling_variables is after.ema
  config.ema_decay = 0.0
  bare, step, *_ = _setting(config, **FUSED)
  without = step(_at_step(bare, 100), batch, KEY)[0]
  assert without.ema == {}
  assert without.sampling_variables.keys() == without.generator.variables.keys()
  assert _equal(without.generator.variables, after.generator.variables)


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


@pytest.mark.slow
def test_a_run_compiles_its_step_once(config):
  """Also across the first step, whose state comes from elsewhere than the later ones'."""
  traces = []

  def counted(*args):
    traces.append(1)
    return train_step.train_step(*args, config=config, axis_name=distributed.AXIS)

  state = create_state(config, models.build(config, 2, distributed.AXIS), KEY)
  step, batch = distributed.pmapped(counted), _batch(config, 4)
  state = distributed.replicate(state)
  for _ in range(3):
    state, _ = step(state, distributed.shard(batch), KEY)
  assert len(traces) == 1
  assert int(state.step) == 3


@pytest.mark.slow
def test_statistics_of_groups_of_devices_are_the_same_on_all(config):
  """Each device normalises by its own share; what sampling uses is their mean."""
  state, batch = create_state(config, models.build(config, 2), KEY), _batch(config, 4)
  found = {}
  for group in (0, 1):
    config.model.batch_norm_devices = group
    networks = models.build(config, 2, distributed.AXIS)
    step = functools.partial(train_step.train_step, config=config, axis_name=distributed.AXIS)
    start = distributed.replicate(create_state(config, networks, KEY))
    found[group], _ = distributed.pmapped(step)(start, distributed.shard(batch), KEY)
  before, apart = (jax.tree.leaves(one.generator.stats) for one in (state, found[1]))
  for old, grouped in zip(before, apart, strict=True):
    here, there = (np.asarray(shard.data) for shard in grouped.addressable_shards)
    np.testing.assert_array_equal(here, there)
    assert (here != old).any()
  # Of the first layer: the mean of the halves' means is the whole's.
  shared, grouped = (
    found[group].generator.stats["batch_stats"]["encoder"]["norm"]["mean"] for group in (0, 1)
  )
  np.testing.assert_allclose(grouped, shared, rtol=1e-3, atol=1e-6)
