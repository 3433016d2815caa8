"""What the benchmarks compare is the same, and what they count is there."""

import functools
import math
import re
import types
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import jax
import numpy as np
import pytest

from benchmarks import films, flops, scaling, step_variants, train_step, turns
from data_builders.synthetic import clips
from data_builders.synthetic.face.pose import Pose
from wav2pix_jax import models
from wav2pix_jax.configs import base, release
from wav2pix_jax.ops import conv
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_state import create_state
from wav2pix_jax.train_step import train_step as one_step
from wav2pix_jax.weights import pytorch_names as published


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [base, release])
def test_operations_counted_by_hand_are_those_that_xla_counts(recipe, monkeypatch):
  """But for products with a convolution's padding, which XLA leaves out, and small things."""
  monkeypatch.setattr(conv.lax, "platform_dependent", lambda *args, cpu, default: default(*args))
  config = recipe.get_config()
  config.image_size = 64
  networks, key = models.build(config, 10), jax.random.key(0)
  state = jax.eval_shape(lambda: create_state(config, networks, key))
  batch = train_step.batch(config, 32)
  lowered = jax.jit(functools.partial(one_step, config=config)).lower(state, batch, key)
  counted = lowered.cost_analysis()["flops"] / 32
  assert 0.85 < counted / flops.train_step(config, 10) < 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [base, release])
def test_bytes_sent_by_formula_are_those_that_devices_add_up(recipe):
  config = recipe.get_config()
  config.image_size = 64
  networks = models.build(config, 10, distributed.AXIS)
  state = distributed.abstract(functools.partial(create_state, config, networks, jax.random.key(0)))
  batch = distributed.shard(train_step.batch(config, 4))
  step = distributed.pmapped(functools.partial(one_step, config=config, axis_name=distributed.AXIS))
  lowered = step.lower(state, batch, jax.random.key(0)).as_text()
  sums = re.findall(r'"stablehlo.all_reduce".*?}\) : \(tensor<(.*?)f32>\) ->', lowered, re.DOTALL)
  floats = [math.prod(int(n) for n in shape.split("x")[:-1]) for shape in sums if shape]
  assert 4 * sum(floats) == scaling.sent(config, state).bytes


def _work():
  return lambda: None


@pytest.mark.slow
def test_sides_take_turns():
  taken = turns.take({"a": _work, "b": _work}, rounds=2)
  assert {side: of.seconds.shape for side, of in taken.items()} == {"a": (2,), "b": (2,)}
  taken = {"a": turns.Taken(np.ones(3), None), "b": turns.Taken(np.array([1, 2, 3]), None)}
  median, least, most = turns.ratio(taken, "a", "b")
  assert (median, least, most) == (2, 1, 3)


@pytest.mark.parametrize("image_size", [64, 128])
def test_the_peer_in_pytorch_computes_the_same_losses(image_size):
  pytest.importorskip("torch", reason="PyTorch is not installed; it is the extra bench")
  from benchmarks.torch_peer import Trainer

  config = release.get_config()
  config.image_size, config.model.dropout = image_size, 0.0
  nets, key = models.build(config, train_step.IDENTITIES), jax.random.key(0)
  state = create_state(config, nets, key)
  trainer = Trainer(image_size, dropout=0.0)
  trainer.load(
    published.generator_dict(nets.generator, state.generator.variables),
    published.discriminator_dict(nets.discriminator, state.discriminator.variables),
  )
  batch = train_step.batch(config, 4)
  step = jax.jit(functools.partial(one_step, config=config))
  tensors = trainer.tensors(batch)
  for _ in range(2):  # the second is of what the first has learned
    state, ours = step(state, batch, key)
    theirs = trainer.step(tensors)
    for player in "dg":
      np.testing.assert_allclose(
        ours[f"{player}_loss/total"], theirs[f"{player}_loss"], rtol=1e-3, err_msg=player
      )
  drawn = trainer.draw(tensors[0])
  assert drawn.shape == (4, 3, image_size, image_size)


def _losses_of_a_variant(name):
  """The metrics after as many steps as a call may make, with the weights of any other variant."""
  config = release.get_config()
  config.image_size, config.model.dropout = 64, 0.0
  config.model.generator_width = config.model.discriminator_width = 16
  step = step_variants.variant(name, config)
  networks = models.build(config, train_step.IDENTITIES, distributed.AXIS)
  key = jax.random.key(0, impl="threefry2x32")
  state = distributed.replicate(create_state(config, networks, key))
  batch, step = distributed.shard(train_step.batch(config, 16)), distributed.pmapped(step)
  calls = 1 if step_variants.calls_several(name) else step_variants.STEPS_A_CALL
  for _ in range(calls):
    state, metrics = step(state, batch, jax.random.key(0))
  return {name: float(value) for name, value in metrics.items()}


@pytest.mark.extra
def test_variants_of_a_step_compute_the_same():
  """Each changes its process, so each has one of its own."""
  with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
    found = dict(
      zip(
        step_variants.PATCHES,
        processes.map(_losses_of_a_variant, step_variants.PATCHES),
        strict=True,
      )
    )
  expected = found.pop(step_variants.AS_IT_IS)
  assert found.keys() > {"Adam over one vector", "batch norm in one pass"}
  for name, metrics in found.items():
    assert metrics == pytest.approx(expected, rel=2e-3, abs=1e-4), name


def test_figures_of_a_film_are_of_faces_speaker_and_movement():
  """A film against itself, one that stands still, and one that shows two people in turn."""
  rng = np.random.default_rng(0)
  opening = rng.random(40)
  frames = np.broadcast_to((255 * opening[:, None, None, None]).astype(np.uint8), (40, 8, 8, 3))
  real = clips.SyntheticFilm(
    frames, [Pose(opening=o, spread=o, smile=1 - o) for o in opening], np.zeros(0, np.int16)
  )

  def brightness(faces):
    return faces.mean((1, 2, 3)) / 255

  def classify(faces):
    first = np.arange(len(faces)) % 4 > 0 if (faces[0] == 7).all() else np.ones(len(faces), bool)
    return np.stack([first, ~first], 1).astype(np.float32), None

  by = films.Instruments(
    classify,
    lambda faces, title: types.SimpleNamespace(mouth=brightness(faces)),
    lambda faces: np.stack([brightness(faces), 1 - brightness(faces)], 1),
  )
  own, same = films.film_figures(frames, real, 0, by)
  assert own == same
  assert own == pytest.approx(dict.fromkeys(films.TITLES, 1.0), abs=0.01)
  turns_taken = frames.copy()
  turns_taken[0] = 7
  two, _ = films.film_figures(turns_taken, real, 0, by)
  assert (two["right"], two["steady"]) == (0.75, 0.75)
  clip = [
    clips.SyntheticClip(i, f, real.speech, p)
    for i, (f, p) in enumerate(zip(frames, real.poses, strict=True))
  ]
  of_generated, of_again = films.utterance_figures(turns_taken, frames, clip, 0, by)
  assert of_generated["right"] == 0.75
  assert of_again == {key: value for key, value in own.items() if key not in ("steady", "flicker")}
  halved, _ = films.film_figures((frames / 2).astype(np.uint8), real, 0, by)
  assert halved["flicker"] == pytest.approx(0.5, abs=0.01)
