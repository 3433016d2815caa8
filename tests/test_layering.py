"""Imports only ever run down, from folder to folder; a few things are known in one place."""

import ast
import re
import sys

import pytest
from conftest import ROOT, run

PACKAGE = "wav2pix_jax"
MODES = {"train", "sample", "video", "evaluate", "ablate", "dry_run", "demo", "doctor"}
# Folders, or files at the top of the package, from the lowest floor to the highest.
FLOORS = [
  {"common"},
  {"ops", "losses"},
  {"models"},
  {"train_state", "sampler"},
  {"train_step"},
  {"runtime", "data"},
  {"metrics"},
  {"reports", "weights", "page"},
  MODES | {"release"},
  {"cli"},
  {"__init__"},  # `load`, whose imports are made when it is called
]
# On one floor, these may import those.
BESIDE = {("runtime", "data"), ("reports", "weights")}
# What may import each of these: folders, or single files of the project.
ONLY_IN = {
  "flax.linen": {"models"},
  "orbax": {"runtime/checkpoint.py"},
  "grain": {"data"},
  "dlib": {"common/dlib_faces.py"},
  "tensorflow_datasets": {"data", "metrics/identity_classifier.py"},
  "wandb": {"runtime/metric_writer.py"},
  "tensorboardX": {"runtime/metric_writer.py"},
  "matplotlib": {"reports"},
  "gradio": {"page/layout.py"},
}
FILES = sorted(ROOT.glob(f"{PACKAGE}/**/*.py"))
FILES = [path for path in FILES if "configs" not in path.parts]  # a link to configs/
BUILDERS = sorted(ROOT.glob("data_builders/**/*.py"))
MOST_AT_THE_TOP, MOST_IMPORTS_BETWEEN = 20, 60


def _imports(path):
  """Returns the absolute names of what a file imports, also inside its functions."""
  names = []
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, path
      names += [f"{node.module}.{alias.name}" for alias in node.names]
  return names


def _place(path):
  """ "models/layers.py" -> "models", "train.py" -> "train"."""
  return path.relative_to(ROOT / PACKAGE).with_suffix("").parts[0]


def _imported_place(name):
  """ "wav2pix_jax.models.layers" -> "models"; None for what is not of the package's floors."""
  parts = name.split(".")
  if parts[0] != PACKAGE or len(parts) < 2 or parts[1] in ("configs", "load", "__version__"):
    return None
  return parts[1]


def _floor(place):
  floors = [number for number, floor in enumerate(FLOORS) if place in floor]
  assert len(floors) == 1, f"{place} has no floor; give it one in FLOORS."
  return floors[0]


def _is(name, library):
  return name == library or name.startswith(f"{library}.")


def _module(path):
  return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_imports_run_down(path):
  place = _place(path)
  for name in _imports(path):
    other = _imported_place(name)
    if other and other != place:
      down = _floor(other) < _floor(place) or (place, other) in BESIDE
      assert down, f"{_module(path)} imports {name}, which is no lower"


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_a_library_is_known_in_one_place(path):
  file = str(path.relative_to(ROOT / PACKAGE))
  for name in _imports(path):
    for library, places in ONLY_IN.items():
      assert not _is(name, library) or {_place(path), file} & places, f"{library} in {file}"
  if _place(path) == "common":
    assert not any(_is(name, library) for name in _imports(path) for library in ("jax", "flax"))


def test_modes_never_import_each_other():
  for mode in MODES:
    others = {_imported_place(name) for name in _imports(ROOT / PACKAGE / f"{mode}.py")}
    assert not others & (MODES - {mode}), mode


@pytest.mark.parametrize("path", BUILDERS, ids=_module)
def test_data_builders_import_what_is_common_alone(path):
  for name in _imports(path):
    assert _imported_place(name) in (None, "common"), name
    assert not name.startswith(("flax", "optax", "orbax", "grain", "jax")), name


def test_the_package_is_small_at_its_top_and_loosely_coupled(record_property):
  """Few modules at the top, and few pairs of a module in a folder and another folder."""
  folders = {path.name for path in (ROOT / PACKAGE).iterdir() if path.is_dir()}
  top = [path for path in FILES if path.parent == ROOT / PACKAGE]
  pairs = {
    (path, other)
    for path in FILES
    for name in _imports(path)
    if (other := _imported_place(name)) and other != _place(path)
  }
  between = [pair for pair in pairs if _place(pair[0]) in folders and pair[1] in folders]
  parts = {(_place(path), other) for path, other in pairs}
  for line in (
    f"{len(top)} modules at the top (at most {MOST_AT_THE_TOP})",
    f"{len(between)} imports of a folder by a module of another (at most {MOST_IMPORTS_BETWEEN})",
    f"{len(parts)} pairs of folders or files at the top that import one another",
  ):
    record_property("layering", line)
  assert len(top) <= MOST_AT_THE_TOP
  assert len(between) <= MOST_IMPORTS_BETWEEN


def test_only_one_file_names_pmap():
  naming = [_module(path) for path in FILES if re.search(r"jax\.pmap\(", path.read_text())]
  assert naming == [f"{PACKAGE}/runtime/distributed.py"]


def test_datasets_are_known_by_name_in_one_place():
  """`registry.py`, a dataset's own folder and the configs; not where data is read or trained on."""
  known = {"synthetic", "clips", "clean", "released"}
  for path in [*FILES, *BUILDERS]:
    if path.parent == ROOT / "data_builders" and path.name == "registry.py":
      continue
    own = path.parts[-2] if "data_builders" in path.parts else None
    names = known - {own} - ({"clean", "released"} if own == "youtubers" else set())
    if own == "prepare":  # `prepare clips` is a command
      names = names - {"clips"}
    literals = {
      node.value
      for node in ast.walk(ast.parse(path.read_text()))
      if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not names & literals, _module(path)


def test_importing_the_package_is_cheap():
  code = (
    "import sys, wav2pix_jax; wav2pix_jax.load; wav2pix_jax.__version__\n"
    "assert not {'jax', 'flax', 'numpy', 'orbax'} & set(sys.modules), sorted(sys.modules)"
  )
  ended = run([sys.executable, "-c", code])
  assert ended.returncode == 0, ended.stderr
