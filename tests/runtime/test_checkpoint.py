"""A checkpoint is what was saved, to the bit, whatever training does meanwhile."""

import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from wav2pix_jax import models
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.runtime import checkpoint, distributed, run_config
from wav2pix_jax.train_state import create_state


@pytest.fixture
def make_state(config):
  """A function that returns the initial state, with what it compiles kept."""
  return _make_state(config.to_json(sort_keys=True))


@functools.cache
def _make_state(text):
  config = ConfigDict(json.loads(text))
  state = jax.device_get(_initialise(config)())
  return lambda: state


def _initialise(config):
  return functools.partial(create_state, config, models.build(config, 2), jax.random.key(0))


def _at_step(state, step):
  step = distributed.replicate(jnp.int32(step))
  return state.replace(generator=state.generator.replace(step=step))


def _save(workdir, config, make_state, *steps_and_l1):
  run_config.write(workdir, config, ["ada", "bo"], {})
  state = distributed.replicate(make_state())
  with checkpoint.Checkpoints(workdir) as checkpoints:
    for step, l1 in steps_and_l1:
      figures = {} if l1 is None else {checkpoint.BEST: l1}
      checkpoints.save(_at_step(state, step), figures)


def _kept(workdir):
  """Fails where anything but whole checkpoints is there."""
  return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


def test_what_was_saved_comes_back_though_the_state_was_donated(make_state, tmp_path):
  grow = jax.pmap(
    lambda state, x: jax.tree.map(lambda leaf: leaf + x.astype(leaf.dtype), state),
    in_axes=(None, 0),
    out_axes=None,
    donate_argnums=0,
    axis_name="data",
  )
  state = distributed.replicate(make_state())
  ones = jnp.ones(jax.local_device_count())
  expected = {}
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    for _ in range(3):
      state = grow(state, ones)
      expected[int(state.step)] = jax.tree.map(np.array, state)
      checkpoints.save(state, {checkpoint.BEST: 0.5})
    for _ in range(5):
      state = grow(state, ones)
  restored = checkpoint.Checkpoints(tmp_path).restore(3, distributed.abstract(make_state))
  pairs = zip(jax.tree.leaves(restored), jax.tree.leaves(expected[3]), strict=True)
  assert all(np.array_equal(a, b) for a, b in pairs)
  for (path, a), (other, b) in zip(
    jax.tree.leaves_with_path(restored), jax.tree.leaves_with_path(state), strict=True
  ):
    assert (path, a.dtype) == (other, b.dtype)


def test_latest_and_best_are_kept(config, make_state, tmp_path):
  _save(tmp_path, config, make_state, (1, 0.5), (2, 0.2), (3, 0.4), (4, 0.3), (5, None))
  assert _kept(tmp_path) == [2, 5]
  assert checkpoint.Checkpoints(tmp_path).latest_step == 5
  assert checkpoint.load(tmp_path).step == 2
  assert checkpoint.load(tmp_path, 5).step == 5


@pytest.mark.slow
def test_without_figures_the_latest_is_loaded(config, make_state, tmp_path):
  _save(tmp_path, config, make_state, (1, None), (2, None))
  assert int(checkpoint.load(tmp_path).state.step) == 2


@pytest.mark.slow
def test_what_a_killed_process_left_is_ignored_and_removed(config, make_state, tmp_path):
  """A save that was under way, and a deletion that was."""
  _save(tmp_path, config, make_state, (1, 0.5), (2, 0.2), (3, 0.4))
  checkpoints = tmp_path / "checkpoints"
  half = checkpoints / "4.orbax-checkpoint-tmp"
  shutil.copytree(checkpoints / "3", half)
  (half / "state" / "manifest.ocdbt").unlink()
  (checkpoints / "1").mkdir()
  (checkpoints / "1" / "metrics").mkdir()
  assert int(checkpoint.load(tmp_path, 3).state.step) == 3
  assert half.exists()  # reading leaves everything as it is: perhaps somebody is writing
  with checkpoint.Checkpoints(tmp_path) as manager:
    assert manager.latest_step == 3
  _save(tmp_path, config, make_state, (4, 0.3))
  assert _kept(tmp_path) == [2, 4]


def test_a_workdir_without_a_checkpoint_is_named(config, tmp_path):
  for workdir in (tmp_path, tmp_path / "missing"):
    with pytest.raises(UserError, match="No such file"):
      checkpoint.load(workdir)
  assert not list(tmp_path.iterdir())
  run_config.write(tmp_path, config, ["ada", "bo"], {})
  with pytest.raises(UserError, match="no checkpoint"):
    checkpoint.load(tmp_path)


def _truncate(checkpoints, config):
  for path in (checkpoints / "3" / "state").rglob("*"):
    if path.is_file():
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(checkpoints, config):
  shutil.rmtree(checkpoints / "3")
  (checkpoints / "3").mkdir()


def _without_arrays(checkpoints, config):
  shutil.rmtree(checkpoints / "3" / "state" / "d")
  shutil.rmtree(checkpoints / "3" / "state" / "ocdbt.process_0")


def _of_other_networks(checkpoints, config):
  config.model.generator_width = 16
  run_config.write(checkpoints.parent / "other", config, ["ada", "bo"], {})
  shutil.copy(checkpoints.parent / "other" / "config.json", checkpoints.parent)


def _of_another_program(checkpoints, config):
  shutil.rmtree(checkpoints / "3")
  with checkpoint.ocp.CheckpointManager(checkpoints) as manager:
    arrays = checkpoint.ocp.args.StandardSave({"weights": np.ones(3)})
    manager.save(3, args=checkpoint.ocp.args.Composite(state=arrays))


@pytest.mark.slow
@pytest.mark.parametrize(
  "damage", [_truncate, _empty, _without_arrays, _of_other_networks, _of_another_program]
)
def test_a_checkpoint_that_cannot_be_read_is_named_and_stays(config, make_state, tmp_path, damage):
  _save(tmp_path, config, make_state, (1, 0.1), (3, 0.5))
  damage(tmp_path / "checkpoints", config)
  before = sorted(tmp_path.rglob("*"))
  with pytest.raises(UserError, match=r"step 3 .*could not be read.*\b1\b") as error:
    checkpoint.load(tmp_path, 3)
  assert "\n" not in str(error.value)
  assert len(str(error.value)) < 600
  assert sorted(tmp_path.rglob("*")) == before


def test_a_config_of_another_version_is_named(config, make_state, tmp_path):
  _save(tmp_path, config, make_state, (1, None))
  saved = json.loads((tmp_path / "config.json").read_text())
  del saved["model"]["dropout"]
  (tmp_path / "config.json").write_text(json.dumps(saved))
  with pytest.raises(UserError, match="another version, its config has no field dropout;") as error:
    checkpoint.load(tmp_path)
  assert "\n" not in str(error.value)
