"""A workdir says what its run is, and holds later starts to it."""

import json

import pytest

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.runtime import run_config

NAMES = ["ada", "bo"]
RECORDS = {"train": "12"}


def _checkpoint(workdir, step=3):
  (workdir / "checkpoints" / str(step)).mkdir(parents=True)


def test_config_comes_back(config, tmp_path):
  run_config.write(tmp_path, config, NAMES, {"train": "12"})
  read, identities = run_config.read(tmp_path)
  assert identities == NAMES
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


def test_a_field_that_one_of_the_configs_lacks_is_a_change(config, tmp_path):
  run_config.write(tmp_path, config, NAMES, RECORDS)
  _checkpoint(tmp_path)
  saved = json.loads((tmp_path / "config.json").read_text())
  del saved["ema_decay"]
  saved["old_field"] = 1
  (tmp_path / "config.json").write_text(json.dumps(saved))
  with pytest.raises(UserError, match=r"ema_decay: None -> 0\.999; old_field: 1 -> None"):
    run_config.refuse_changes(tmp_path, config)


def test_records_must_stay_once_something_was_learned(config, tmp_path):
  run_config.write(tmp_path, config, NAMES, {})
  _checkpoint(tmp_path, 0)
  for digest in ("ab", "cd"):
    run_config.write(tmp_path, config, NAMES, {"train": "12", "test": digest})
  _checkpoint(tmp_path, 7)
  run_config.write(tmp_path, config, NAMES, {"train": "12", "test": "cd"})
  with pytest.raises(UserError, match=r"content has changed since, in test"):
    run_config.write(tmp_path, config, NAMES, {"train": "12", "test": "ab"})


def test_imported_speakers_get_their_names_once(config, tmp_path):
  assert run_config.identities(tmp_path, NAMES) == NAMES
  run_config.write(tmp_path, config, [str(i) for i in range(4)], {})
  _checkpoint(tmp_path)
  names = run_config.identities(tmp_path, NAMES)
  assert names == ["ada", "bo", "2", "3"]
  with pytest.raises(UserError, match="tells apart 0, 1, 2, 3, and this dataset a, b, c, d, e"):
    run_config.identities(tmp_path, list("abcde"))
  run_config.write(tmp_path, config, names, {})
  assert run_config.identities(tmp_path, NAMES) == names
  for others in (["bo", "ada"], ["ada"], ["ada", "cy"]):
    with pytest.raises(UserError, match="start anew"):
      run_config.identities(tmp_path, others)
