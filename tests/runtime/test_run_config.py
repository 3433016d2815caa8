"""A workdir says what its run is, and holds later starts to it."""

import json

import conftest
import pytest

import wav2pix_jax
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.runtime import run_config

NAMES = ["ada", "bo"]
RECORDS = {"train": "12"}


def _checkpoint(workdir, step=3):
  (workdir / "checkpoints" / str(step)).mkdir(parents=True)


def test_config_comes_back(config, tmp_path):
  run_config.write(tmp_path, config, NAMES, {"train": "12"})
  read, speakers = run_config.read(tmp_path)
  assert speakers == NAMES
  assert json.loads(read.to_json()) == json.loads(config.to_json())
  assert read.is_locked


@pytest.mark.parametrize(
  ("text", "words"),
  [("{", "damaged"), ("{}", "not the config of a run"), ("[]", "not the config of a run")],
)
def test_a_damaged_config_is_named(text, words, tmp_path):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(UserError, match=words):
    run_config.read(tmp_path)


def test_only_some_fields_may_change(config, tmp_path):
  config.seed = 9  # before the first checkpoint nothing is lost by a change
  run_config.write(tmp_path, config, NAMES, {})
  config.seed = 0
  run_config.write(tmp_path, config, NAMES, RECORDS)
  _checkpoint(tmp_path)
  config.num_steps, config.log_every, config.eval_every, config.save_every = 5, 1, 2, 3
  config.dataset.source, config.dataset.data_dir = "elsewhere", "there"
  config.dataset.on_device, config.metric_writers = True, ("tensorboard", "wandb")
  run_config.write(tmp_path, config, NAMES, RECORDS)
  assert run_config.read(tmp_path)[0].num_steps == 5
  config.loss.l1 = 7.0
  config.seed = 3
  with pytest.raises(UserError, match=r"loss\.l1: 10\.0 -> 7\.0; seed: 0 -> 3"):
    run_config.write(tmp_path, config, NAMES, {})


def test_an_import_that_has_not_learned_yet_takes_any_recipe_but_no_other_networks(
  config, tmp_path
):
  run_config.write(tmp_path, config, NAMES, {})
  _checkpoint(tmp_path, 0)
  config.batch_size, config.seed, config.loss.l1, config.optimizer.lr_g = 2, 3, 7.0, 1e-5
  run_config.refuse_changes(tmp_path, config)
  config.model.generator_width = 64
  with pytest.raises(UserError, match=r"config \(model\.generator_width: 8 -> 64\)"):
    run_config.refuse_changes(tmp_path, config)


def _written(workdir, config):
  """Returns the `config.json` of a run with a checkpoint."""
  run_config.write(workdir, config, NAMES, RECORDS)
  _checkpoint(workdir)
  return json.loads((workdir / "config.json").read_text())


def test_a_field_that_one_of_the_configs_lacks_is_a_change(config, tmp_path):
  saved = _written(tmp_path, config)
  del saved["ema_decay"]
  saved["old_field"] = 1
  (tmp_path / "config.json").write_text(json.dumps(saved))
  with pytest.raises(UserError, match=r"ema_decay: None -> 0\.999; old_field: 1 -> None"):
    run_config.refuse_changes(tmp_path, config)


def test_a_run_of_version_0_1_is_refused_in_one_line(config, tmp_path):
  """Its config.json names no version."""
  saved = _written(tmp_path, config)
  assert saved.pop("version") == wav2pix_jax.__version__
  (tmp_path / "config.json").write_text(json.dumps(saved))
  for use in (
    lambda: run_config.read(tmp_path),
    lambda: run_config.refuse_changes(tmp_path, config),
    lambda: run_config.speakers(tmp_path, NAMES),
  ):
    with pytest.raises(UserError, match=r"version 0\.1, which version .* cannot read") as error:
      use()
    assert "\n" not in str(error.value)


def test_a_field_that_an_older_run_lacks_has_the_value_that_changes_nothing(
  config, tmp_path, monkeypatch, capsys
):
  run_config.write(tmp_path, config, NAMES, RECORDS)
  _checkpoint(tmp_path)
  monkeypatch.setattr(run_config, "ADDED", {"loss.later": 0.0, "dataset.later.match": "no"})
  read, _ = run_config.read(tmp_path)
  said = capsys.readouterr().out
  assert (read.loss.later, read.dataset.later.match) == (0.0, "no")
  assert read.is_locked
  assert f"version {wav2pix_jax.__version__}; assuming loss.later=0.0, dataset.later" in said
  with config.unlocked():
    config.loss.later, config.dataset.later = 0.0, {"match": "no"}
  run_config.refuse_changes(tmp_path, config)
  config.loss.later = 1.0
  with pytest.raises(UserError, match=r"config \(loss\.later: 0\.0 -> 1\.0\)"):
    run_config.refuse_changes(tmp_path, config)
  run_config.write(tmp_path / "new", config, NAMES, RECORDS)
  capsys.readouterr()
  assert run_config.read(tmp_path / "new")[0].loss.later == 1.0
  assert not capsys.readouterr().out  # nothing is missing there


def test_records_must_stay_once_something_was_learned(config, tmp_path):
  run_config.write(tmp_path, config, NAMES, {})
  _checkpoint(tmp_path, 0)
  for digest in ("ab", "cd"):
    run_config.write(tmp_path, config, NAMES, {"train": "12", "test": digest})
  _checkpoint(tmp_path, 7)
  run_config.write(tmp_path, config, NAMES, {"train": "12", "test": "cd"})
  with pytest.raises(UserError, match=r"the content of the dataset has changed in test;"):
    run_config.write(tmp_path, config, NAMES, {"train": "12", "test": "ab"})


def test_imported_speakers_get_their_names_once(config, tmp_path):
  assert run_config.speakers(tmp_path, NAMES) == NAMES
  run_config.write(tmp_path, config, [str(i) for i in range(4)], {})
  _checkpoint(tmp_path)
  names = run_config.speakers(tmp_path, NAMES)
  assert names == ["ada", "bo", "2", "3"]
  with pytest.raises(UserError, match="speakers 0, 1, 2, 3, but the dataset has a, b, c, d, e"):
    run_config.speakers(tmp_path, list("abcde"))
  run_config.write(tmp_path, config, names, {})
  assert run_config.speakers(tmp_path, NAMES) == names
  for others in (["bo", "ada"], ["ada"], ["ada", "cy"]):
    with pytest.raises(UserError, match="resume it with its own dataset, or start a new run"):
      run_config.speakers(tmp_path, others)


def test_the_config_of_the_weights_that_ship_is_complete(capsys):
  """Or the first command that anyone tries says what it assumes."""
  run_config.read(conftest.ROOT / "pretrained" / "ten_speakers_64px")
  assert capsys.readouterr().out == ""
