"""The configs load, are locked, say where each value comes from, and differ only in values."""

import ast
import importlib
import inspect

import pytest

from wav2pix_jax import models

NAMES = ("base", "demo", "youtubers", "youtubers_64px", "voices", "release", "paper")


def _flat(name):
  config = importlib.import_module(f"wav2pix_jax.configs.{name}").get_config()
  return dict(_items(config.to_dict()))


def _items(tree, prefix=""):
  for name, value in tree.items():
    if isinstance(value, dict):
      yield from _items(value, f"{prefix}{name}.")
    else:
      yield prefix + name, value


@pytest.mark.parametrize("name", NAMES)
def test_configs_are_locked_and_build(name):
  config = importlib.import_module(f"wav2pix_jax.configs.{name}").get_config()
  with pytest.raises((AttributeError, KeyError)):
    config.no_such_field = 1
  with pytest.raises((AttributeError, KeyError)):
    config.loss.no_such_field = 1
  for size in (64, 128):
    config.image_size = size
    models.build(config, 10)


@pytest.mark.parametrize("name", NAMES[1:])
def test_variants_change_values_only(name):
  base, variant = _flat("base"), _flat(name)
  assert base.keys() == variant.keys()
  assert {field: type(value) for field, value in base.items()} == {
    field: type(value) for field, value in variant.items()
  }
  assert base != variant


def test_the_values_that_paper_and_release_print():
  release, paper = _flat("release"), _flat("paper")
  assert (release["optimizer.b1"], paper["optimizer.b1"]) == (0.5, 0.1)
  assert (release["loss.real_target"], paper["loss.real_target"]) == (0.9, 1.0)
  assert (release["dataset.window_samples"], paper["dataset.window_samples"]) == (16_000, 16_384)
  assert paper["dataset.audio_steps"] == release["dataset.audio_steps"][::-1]
  assert release["loss.l1"] == 50
  assert paper["loss.l1"] == paper["loss.mismatched"] == paper["loss.feature_matching"] == 0
  assert paper["loss.half"]


def test_every_value_has_its_source_in_a_comment():
  module = importlib.import_module("wav2pix_jax.configs.base")
  lines = inspect.getsource(module).splitlines()
  assigned = [
    node
    for node in ast.walk(ast.parse("\n".join(lines)))
    if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call)
  ]
  assert len(assigned) > 30
  for node in assigned:
    assert "  # " in lines[node.lineno - 1], lines[node.lineno - 1]
