"""A checkpoint is what was saved, to the bit, whatever training does meanwhile."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wav2pix_jax import checkpoint, models, parallel
from wav2pix_jax.errors import UserError
from wav2pix_jax.state import build_optimizers, initialise


@pytest.fixture
def make_state(config):
  optimizers = build_optimizers(config)
  return functools.partial(
    initialise, models.build(config, 2), optimizers, jax.random.key(0), config
  )


def _save(checkpoints, state, step, config, l1):
  figures = {} if l1 is None else {checkpoint.BEST: l1}
  checkpoints.save(state.replace(step=jnp.int32(step)), {"next_index": step}, config, figures)


def test_what_was_saved_comes_back_though_the_state_was_donated(config, make_state, tmp_path):
  grow = jax.pmap(
    lambda state, x: jax.tree.map(lambda leaf: leaf + x.astype(leaf.dtype), state),
    in_axes=(None, 0),
    out_axes=None,
    donate_argnums=0,
    axis_name="data",
  )
  state = parallel.replicate(make_state())
  ones = jnp.ones(jax.local_device_count())
  expected = {}
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    for _ in range(3):
      state = grow(state, ones)
      expected[int(state.step)] = jax.tree.map(np.array, state)
      checkpoints.save(state, {"next_index": int(state.step)}, config, {checkpoint.BEST: 0.5})
    for _ in range(5):
      state = grow(state, ones)
  restored, iterator_state = checkpoint.Checkpoints(tmp_path).restore(parallel.abstract(make_state))
  assert iterator_state == {"next_index": 3}
  same = jax.tree.map(np.array_equal, restored, expected[3])
  assert all(jax.tree.leaves(same))
  assert jax.tree.structure(restored) == jax.tree.structure(state)


def test_latest_and_best_are_kept(config, make_state, tmp_path):
  state = make_state()
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    for step, l1 in [(1, 0.5), (2, 0.2), (3, 0.4), (4, 0.3), (5, None)]:
      _save(checkpoints, state, step, config, l1)
  kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
  assert kept == [2, 5]
  assert checkpoint.Checkpoints(tmp_path).latest_step == 5


def test_a_workdir_without_a_checkpoint_is_named(tmp_path):
  for workdir in (tmp_path, tmp_path / "missing"):
    with pytest.raises(UserError, match="no checkpoint"):
      checkpoint.open_existing(workdir)
    with pytest.raises(UserError, match="No such file"):
      checkpoint.read_config(workdir)
  assert not (tmp_path / "missing").exists()
  assert not list(tmp_path.iterdir())


def test_a_damaged_config_or_checkpoint_is_named(config, make_state, tmp_path):
  for text, words in [("{", "damaged"), ("{}", "not the config of a run")]:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=words):
      checkpoint.read_config(tmp_path)
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    _save(checkpoints, make_state(), 1, config, None)
  for path in (tmp_path / "checkpoints" / "1" / "state").rglob("*"):
    if path.is_file():
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with (
    checkpoint.open_existing(tmp_path) as checkpoints,
    pytest.raises(UserError, match="could not be read") as error,
  ):
    checkpoints.restore(parallel.abstract(make_state))
  assert "\n" not in str(error.value)


def test_config_comes_back(config, tmp_path):
  checkpoint.write_config(tmp_path, config, ["ada", "bo"])
  read, identities = checkpoint.read_config(tmp_path)
  assert identities == ["ada", "bo"]
  assert json.loads(read.to_json()) == json.loads(config.to_json())
  assert read.is_locked


def test_only_some_fields_may_change(config, tmp_path):
  config.seed = 9  # before the first checkpoint nothing is lost by a change
  checkpoint.write_config(tmp_path, config, ["ada", "bo"])
  config.seed = 0
  checkpoint.write_config(tmp_path, config, ["ada", "bo"])
  (tmp_path / "checkpoints" / "3").mkdir(parents=True)
  config.num_steps, config.log_every, config.dataset.source = 5, 1, "elsewhere"
  checkpoint.write_config(tmp_path, config, ["ada", "bo"])
  assert checkpoint.read_config(tmp_path)[0].num_steps == 5
  config.loss.l1 = 7.0
  config.seed = 3
  with pytest.raises(UserError, match=r"loss\.l1: 50\.0 -> 7\.0; seed: 0 -> 3"):
    checkpoint.write_config(tmp_path, config, ["ada", "bo"])
  config.loss.l1, config.seed = 50.0, 0
  with pytest.raises(UserError, match="identity_names"):
    checkpoint.write_config(tmp_path, config, ["ada", "cy"])
