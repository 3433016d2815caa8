"""Imports only ever run down the floors."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
  {
    "wav2pix_jax",
    "errors",
    "schema",
    "files",
    "audio",
    "images",
    "noise",
    "allocator",
    "dlib_faces",
  },
  {"losses", "models"},
  {"state", "data", "parallel", "stopping"},
  {
    "steps",
    "on_device",
    "generate",
    "checkpoint",
    "chunks",
    "run_info",
    "watch",
    "release",
    "tensor_files",
    "identify",
    "metrics",
    "report",
    "vgg_face",
  },
  {"train", "sample", "evaluate", "figures", "ablate", "dry_run", "import_release", "export"},
  {"main"},
]
# Within a floor some know each other; verbs never do.
BESIDE = {0, 1, 2, 3}
# The parts that know of each of these.
ONLY_IN = {
  "flax.linen": {"models"},
  "orbax": {"checkpoint"},
  "grain": {"data"},
  "dlib": {"dlib_faces", "data_builders"},  # of the latter the command that looks at its own faces
}
FILES = [*ROOT.glob("wav2pix_jax/**/*.py"), *ROOT.glob("data_builders/**/*.py"), ROOT / "main.py"]


def _part(module):
  """ "wav2pix_jax.models.layers" -> "models"."""
  parts = module.split(".")
  return parts[1] if parts[0] == "wav2pix_jax" and len(parts) > 1 else parts[0]


def _floor(part):
  return next(i for i, floor in enumerate(FLOORS) if part in floor)


def _imports(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0
      for alias in node.names:
        yield f"{node.module}.{alias.name}"


def _module(path):
  parts = path.relative_to(ROOT).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_imports_run_down(path):
  module = _module(path)
  for name in _imports(path):
    for library, parts in ONLY_IN.items():
      if name == library or name.startswith(library + "."):
        assert _part(module) in parts, f"{library} belongs to {parts}"
    if name.split(".")[0] == "jax":
      assert _is_above_facts(module), f"{module} must not import jax"
    if module.startswith("data_builders"):
      assert not name.startswith(("flax", "optax", "orbax", "jax"))
      assert name.split(".")[0] != "wav2pix_jax" or _floor(_part(name)) == 0
    elif name.startswith("wav2pix_jax."):
      own, other = _floor(_part(module)), _floor(_part(name))
      same_part = _part(module) == _part(name)
      assert other < own or same_part or (other == own and own in BESIDE), f"{module}: {name}"


def _is_above_facts(module):
  return not module.startswith("data_builders") and _floor(_part(module)) > 0


def test_the_package_itself_imports_nothing():
  assert not list(_imports(ROOT / "wav2pix_jax" / "__init__.py"))


def test_only_one_file_names_pmap():
  naming = [p.name for p in FILES if "jax.pmap" in p.read_text()]
  assert naming == ["parallel.py"]
