"""What a dry run says of a config."""

import re

import conftest
import pytest


@pytest.mark.slow
def test_a_dry_run_says_what_it_costs_and_touches_nothing(tmp_path):
  """The figures that can be known by hand; no source, no data folder, no workdir."""
  said = conftest.main(
    "--config=youtubers",
    "--dry_run",
    *(f"--config.{name}={value}" for name, value in conftest.TINY.items()),
    "--config.dataset.source=/nowhere",
    f"--config.dataset.data_dir={tmp_path / 'data'}",
    f"--workdir={tmp_path / 'run'}",
  ).stdout
  assert re.search(r"encoder/conv0 +float32\[4, 98, 128\] +40,960\n", said)
  assert re.search(r"upsampler/rgb +float32\[4, 16, 16, 3\] +384\n", said)
  assert re.search(r"score +float32\[4, 1, 1, 1\] +256\n", said)
  assert "generator: 155,666 parameters" in said
  assert "discriminator: 2,816 parameters" in said
  assert "batch: speech float32[4, 16000]" in said
  assert "devices: 2 (cpu), 4 faces each" in said
  assert re.search(r"a step: \d+ GFLOP", said)
  assert re.search(r"memory of a device: \d+ MiB", said)
  assert "an epoch of clean (about 986 records): 123.2 steps" in said
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
  "config",
  ["base", "paper", *(pytest.param(c, marks=pytest.mark.extra) for c in ("demo", "release"))],
)
def test_every_config_can_be_tried_dry(config):
  tiny = (f"--config.{name}={value}" for name, value in conftest.TINY.items())
  said = conftest.main(f"--config={config}", "--dry_run", *tiny).stdout
  assert ("face encoder: " in said) == (config in ("base", "demo"))
  assert "GFLOP" in said
