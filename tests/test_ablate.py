"""Ablations: what is run, once, and what the table says."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from wav2pix_jax import ablate, cli, train
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.configs import ablations
from wav2pix_jax.metrics import noise


@pytest.fixture
def config():
  config = ablations.get_config()
  with config.unlocked():
    config.runs = {name: config.runs[name] for name in ("base", "ms_300", "no_softmax", "unseen")}
    config.runs.base.noises = ("white:0",)
  return config


# The identity accuracy of each run, and its interval.
FOUND = {"base": (0.9, 0.85, 0.95), "ms_300": (0.8, 0.7, 0.86), "no_softmax": (0.1, 0.0, 0.2)}


@pytest.fixture
def calls(monkeypatch):
  """What would be run, without running it."""
  calls = []

  def main(*flags):
    calls.append(flags)
    (workdir,) = (Path(flag.split("=")[1]) for flag in flags if flag.startswith("--workdir"))
    if "--mode=evaluate" not in flags:
      workdir.mkdir(parents=True)
      return
    name, _, seed = workdir.name.rpartition("_")
    if name == "unseen":
      assert "--split=unseen" in flags
      row = {"value": 0.6, "interval": [0.5, 0.7], "real": 0.98, "baseline": 0.5}
      part = {"unseen": {"chunks": 9, "rows": {"gender": row}}}
      (workdir / "metrics.json").write_text(json.dumps(part))
      return
    value, low, high = FOUND[name]
    added = [flag.split("=")[1] for flag in flags if flag.startswith("--noise")]
    title = f"test, {noise.parse(added[0])}" if added else "test"
    row = {"value": value + 0.01 * int(seed), "interval": [low, high], "real": 1.0, "baseline": 0.1}
    path = workdir / "metrics.json"
    parts = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(parts | {title: {"chunks": 9, "rows": {"identity_accuracy": row}}}))

  monkeypatch.setattr(ablate, "_main", main)
  return calls


def test_each_run_is_made_once_and_close_ones_again(config, calls, tmp_path):
  ablate.ablate(config, tmp_path)
  trained = [call for call in calls if "--mode=evaluate" not in call]
  names = [call[1].rpartition("/")[2] for call in trained]
  assert names == ["base_0", "ms_300_0", "no_softmax_0", "unseen_0", "base_1", "ms_300_1"]
  assert [call[-1] for call in trained] == [f"--config.seed={name[-1]}" for name in names]
  assert "--config.dataset.window_samples=4_800" in trained[1]
  assert len(calls) == 6 + 6 + 1  # trained, evaluated, in noise: of the first seed alone
  ablate.ablate(config, tmp_path)
  assert len(calls) == 13
  (tmp_path / "ms_300_0" / "metrics.json").unlink()
  ablate.ablate(config, tmp_path)
  assert len(calls) == 14


def test_the_table_has_a_line_for_each_run_and_noise(config, calls, tmp_path, capsys):
  ablate.ablate(config, tmp_path)
  table = (tmp_path / "table.md").read_text()
  assert table in capsys.readouterr().out
  cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines()[2:]]
  assert cells == [
    ["as it is: 1000 ms, 64 px", "0.90, 0.91"],
    ["as it is: 1000 ms, 64 px; white 0 dB", "0.90 (0.85 to 0.95)"],
    ["300 ms", "0.80, 0.81"],
    ["without auxiliary softmax", "0.10 (0.00 to 0.20)"],
    [config.runs.unseen.title, ""],
    ["*real, test*", "1.00"],
    ["*baseline, test*", "0.10"],
    ["*real, unseen*", ""],
    ["*baseline, unseen*", ""],
  ]


def test_a_run_that_fails_says_why_in_its_own_words(config, tmp_path):
  with config.unlocked():
    config.flags = ("no_such_field=1",)
  with pytest.raises(UserError, match=r"failed: .*no_such_field"):
    ablate.ablate(config, tmp_path)


@pytest.mark.parametrize("name", ablations.get_config().runs)
def test_what_is_run_is_a_config_that_can_be_trained(name, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)  # where an installed command may be typed
  config = ablations.get_config()
  run = config.runs[name]
  values = flags.FlagValues()
  holder = config_flags.DEFINE_config_file("config", flag_values=values)
  fields = [f"--config.{field}" for field in (*config.flags, *run.flags, "seed=1")]
  typed = ["main.py", f"--config={cli.config_path(run.config or config.config)}", *fields]
  monkeypatch.setattr(sys, "argv", typed)  # which it looks at for the fields
  values(typed)
  train.check(holder.value)
  for added in run.noises:
    noise.parse(added)
  if name != "base":
    plain = importlib.import_module("wav2pix_jax.configs.demo").get_config().to_json()
    assert holder.value.to_json() != plain
