"""Training: what it leaves, and that going on ends like never having stopped."""

import contextlib
import json
import re
import shutil
import signal
import subprocess

import conftest
import jax
import kills
import numpy as np
import pytest
from PIL import Image

from wav2pix_jax import data, train
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.runtime import checkpoint


def _scalars(workdir, step):
  return {name: x for name, x in kills.scalars(workdir)[step].items() if name not in kills.TIMES}


@pytest.mark.slow
def test_training_leaves_what_it_promises(trained):
  workdir, first = trained
  assert "Total:" in first.stdout  # parameter overview
  assert "g_loss/l1" in first.stdout
  assert (workdir / "config.json").exists()
  kept = {int(path.name) for path in (workdir / "checkpoints").iterdir()}
  assert 6 in kept
  assert kept <= {3, 6}
  for name in ("held_out", "learned"):
    for step in (3, 6):
      with Image.open(workdir / "samples" / f"step_{step:06d}_{name}.png") as grid:
        assert grid.size[0] >= 8 * 16
        assert grid.size[1] == 6 * (16 + images.LABEL_HEIGHT)  # real, averaged and last weights
  scalars = kills.scalars(workdir)
  assert {2, 4, 6} <= set(scalars)
  assert scalars[2].keys() >= {
    *("d_loss/real", "g_loss/softmax", "d_score/fake", "d_score/real", "d_score/mismatched"),
    *("g_loss/between_samples", "g_grad_norm", "d_grad_norm", "g_param_norm", "d_param_norm"),
    *("learning_rate/generator", "learning_rate/discriminator"),
    *kills.TIMES,
  }
  assert {"held_out/l1", "held_out/classifier_accuracy", "learned/l1"} <= scalars[3].keys()
  (events,) = (workdir / "tensorboard").iterdir()
  for name in ("held_out/grid", "learned/grid"):
    assert events.read_bytes().count(name.encode()) == 2
  assert all(np.isfinite(list(values.values())).all() for values in scalars.values())


@pytest.mark.slow
def test_training_prints_no_bar_into_a_file(trained):
  """Lines of losses go to standard output; standard error has a line now and then, and no bars."""
  _, ended = trained
  assert not re.search(r"Training: +\d+%", ended.stderr)


@pytest.fixture(scope="module")
def whole(once, released, data_dir):
  """A run of six steps in this process, and so on the two devices that it has."""

  def make(folder):
    conftest.main(*conftest.training_flags(folder, released.folder, data_dir))

  return once("whole", make)


@pytest.mark.slow
def test_the_same_command_goes_on_and_ends_like_an_uninterrupted_run(
  whole, released, data_dir, tmp_path
):
  """Three steps, then the same command to six, equals six at once: to the last digit printed.

  The second half gathers its batches on the devices, which changes nothing.
  """
  flags = conftest.training_flags(tmp_path, released.folder, data_dir)
  conftest.main(*flags, "--config.num_steps=3")
  second = conftest.main(*flags, "--config.dataset.on_device=True")
  assert "Resuming from step 3" in second.stdout
  assert _scalars(whole, 6) == _scalars(tmp_path, 6)
  for name in ("step_000006_held_out.png", "step_000003_learned.png"):
    grids = [(folder / "samples" / name).read_bytes() for folder in (whole, tmp_path)]
    assert grids[0] == grids[1]
  done = conftest.main(*flags, "--config.num_steps=4")
  assert "Trained to step 6." in done.stdout


@pytest.mark.slow
def test_where_batches_are_gathered_changes_the_speed_alone(whole, released, data_dir, tmp_path):
  """Losses, statistics and weights are equal to the bit."""
  fields = {"dataset.on_device": True}
  conftest.main(*conftest.training_flags(tmp_path, released.folder, data_dir, **fields))
  for step in (2, 4, 6):
    assert _scalars(tmp_path, step) == _scalars(whole, step)
  states = [jax.tree.leaves(checkpoint.load(run, 6).state) for run in (whole, tmp_path)]
  assert all(np.array_equal(a, b) for a, b in zip(*states, strict=True))


@pytest.mark.slow
def test_a_run_starts_from_weights_of_other_speakers(whole, released, data_dir, tmp_path):
  place = tmp_path / "run", released.folder, data_dir
  flags = conftest.training_flags(*place, num_steps=1, eval_every=1, save_every=1)
  started = conftest.main(
    *flags, f"--init={whole}", "--config.optimizer.lr_g=1e-9", "--config.seed=1"
  )
  assert f"Starting from the weights in {whole}." in started.stdout
  before, after = checkpoint.load(whole), checkpoint.load(tmp_path / "run")
  old, new = (run.state.generator.params for run in (before, after))
  averaged = before.variables["params"]
  np.testing.assert_allclose(
    new["upsampler"]["rgb"]["kernel"], averaged["upsampler"]["rgb"]["kernel"], atol=1e-6
  )
  dense = [params["classifier"]["dense1"]["kernel"] for params in (old, new)]
  assert np.abs(dense[0] - dense[1]).max() > 1e-2  # new
  assert after.step == 1


@pytest.mark.slow
def test_a_run_never_starts_from_another_network(whole, released, data_dir, tmp_path):
  fields = {"model.generator_width": 16}
  flags = conftest.training_flags(tmp_path, released.folder, data_dir, **fields)
  refused = conftest.main(*flags, f"--init={whole}", check=False)
  assert "--init: the generator is another one: its" in refused.stderr


@pytest.mark.extra
def test_a_run_in_bfloat16_goes_on_as_if_it_had_never_stopped(released, data_dir, tmp_path):
  for name, steps in (("whole", 6), ("parts", 3), ("parts", 6)):
    fields = {"precision": "bfloat16", "num_steps": steps}
    place = tmp_path / name, released.folder, data_dir
    conftest.main(*conftest.training_flags(*place, **fields))
  assert _scalars(tmp_path / "whole", 6) == _scalars(tmp_path / "parts", 6)


@contextlib.contextmanager
def _asked_after_three_steps():
  yield lambda step: signal.SIGTERM if step == 3 else 0


@pytest.mark.slow
def test_a_run_goes_on_from_its_first_steps_on_speakers_alone(released, data_dir, tmp_path):
  fields = {"speaker_steps": 4, "model.encoder": "log_mel"}
  for name, stopped in (("whole", False), ("parts", True), ("parts", False)):
    flags = conftest.training_flags(tmp_path / name, released.folder, data_dir, **fields)
    with pytest.MonkeyPatch.context() as patch:
      if stopped:
        patch.setattr(train, "stop_requests", _asked_after_three_steps)
      ended = conftest.main(*flags, check=False)
      assert ended.returncode == (128 + signal.SIGTERM if stopped else 0)
  assert _scalars(tmp_path / "whole", 6) == _scalars(tmp_path / "parts", 6)
  assert "d_loss/total" not in _scalars(tmp_path / "whole", 4)
  assert {path.name for path in (tmp_path / "whole" / "samples").glob("*.png")} == {
    "step_000006_held_out.png",
    "step_000006_learned.png",
  }


@pytest.mark.slow
def test_a_changed_config_is_refused(trained, released, data_dir):
  workdir, _ = trained
  changed = conftest.training_flags(workdir, released.folder, data_dir, **{"loss.l1": 1.0})
  again = conftest.main(*changed, check=False)
  assert again.returncode == 2
  assert "loss.l1: 10.0 -> 1.0" in again.stderr


@pytest.mark.slow
def test_a_nan_stops_the_run_and_keeps_the_checkpoint(config, tmp_path, monkeypatch):
  config.num_steps, config.save_every, config.log_every, config.eval_every = 9, 2, 3, 2

  def batch(self, fed, resident):
    """A real batch; a mirrored face, of which there are none, makes a sample that is NaN."""
    made = original(self, fed, resident)
    broken = fed[schema.MIRRORED].any()
    return made | {schema.SPEECH: made[schema.SPEECH] + jax.numpy.where(broken, np.nan, 0)}

  def batches(self, *args):
    for count, one in enumerate(original_batches(self, *args), 1):
      yield one | {schema.MIRRORED: one[schema.MIRRORED] | (count == 5)}

  original, original_batches = data.Feed.batch, data.Feed.batches
  monkeypatch.setattr(data.Feed, "batch", batch)
  monkeypatch.setattr(data.Feed, "batches", batches)
  with pytest.raises(UserError, match=r"by step 6: NaN or Inf in .*d_loss"):
    train.train(config, tmp_path)
  kept = [int(path.name) for path in (tmp_path / "checkpoints").iterdir()]
  assert 4 in kept
  assert set(kept) <= {2, 4}
  restored = checkpoint.load(tmp_path, 4).state
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(restored))


@pytest.mark.slow
def test_the_saved_config_is_the_resolved_one(trained):
  saved = json.loads((trained[0] / "config.json").read_text())
  assert saved["image_size"] == 16
  assert saved["identity_names"] == ["ada", "bo"]
  assert set(saved["records"]) == {"train", "validation"}


@pytest.mark.slow
def test_every_start_is_recorded(whole, released, data_dir, tmp_path):
  shutil.copytree(whole, tmp_path / "run")
  flags = conftest.training_flags(tmp_path / "run", released.folder, data_dir, num_steps=7)
  conftest.main(*flags)
  lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").open()]
  assert [line["step"] for line in lines] == [0, 6]
  assert lines[1]["packages"]["jax"] == jax.__version__
  assert lines[1]["devices"] == ["cpu: cpu"] * 2
  assert f"--workdir={tmp_path / 'run'}" in lines[1]["command"]
  git = subprocess.run(
    ["git", "rev-parse", "HEAD"], cwd=conftest.ROOT, capture_output=True, text=True
  )
  assert (lines[1]["git"] or "").startswith(git.stdout.strip())


@pytest.mark.slow
def test_a_run_of_version_0_1_is_refused_in_one_line(trained_copy, released, data_dir):
  path = trained_copy / "config.json"
  saved = json.loads(path.read_text())
  del saved["version"]
  path.write_text(json.dumps(saved))
  flags = conftest.training_flags(trained_copy, released.folder, data_dir)
  for typed in (flags, ["--mode=evaluate", f"--workdir={trained_copy}"]):
    refused = conftest.main(*typed, check=False)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "version 0.1" in refused.stderr


@pytest.mark.slow
def test_a_profile_leaves_a_trace(released, data_dir, tmp_path):
  """Of the steps after the first 20, also where the run ends before."""
  fields = {"num_steps": 23, "eval_every": 100, "save_every": 100, "log_every": 100}
  flags = conftest.training_flags(tmp_path, released.folder, data_dir, **fields)
  ended = conftest.main(*flags, "--profile=2")
  assert f"The profile of 2 steps is in {tmp_path / 'profile'}." in ended.stdout
  assert list((tmp_path / "profile").rglob("perfetto_trace.json.gz"))
  assert list((tmp_path / "profile").rglob("*.xplane.pb"))
