"""The mode `doctor`: what is wrong with this machine, and with a config's or a run's data."""

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from packaging.requirements import Requirement

from wav2pix_jax import data
from wav2pix_jax.common import dlib_faces
from wav2pix_jax.common.errors import IncompleteError, UserError
from wav2pix_jax.common.files import exclusively, expanded
from wav2pix_jax.common.finding import Finding
from wav2pix_jax.common.version import __version__
from wav2pix_jax.data import health
from wav2pix_jax.runtime import device, machine

PACKAGE = "wav2pix_jax"
SHOWN = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "grain", "av")
LEAST_MEMORY, LEAST_DISK = 4, 5  # GiB: a small training, a small dataset with checkpoints
GIB = 2**30


def doctor(config: ConfigDict | None, workdir: Path | None) -> None:
  """Prints a line for each thing that was looked at.

  Where a config is given, its dataset is prepared if it is not yet, and looked at.

  Raises:
    UserError: The config's data cannot be prepared.
    IncompleteError: Something needs a look; its line says what to do.
  """
  folders = [workdir or Path("runs")]
  if config:
    folders.append(expanded(config.dataset.data_dir))
  findings = []

  def say(finding: Finding) -> None:
    findings.append(finding)
    print(finding.line(), flush=True)

  for finding in examine([folder.absolute() for folder in folders]):
    say(finding)
  if config:
    builder = data.prepare(config.dataset)
    window, error = config.dataset.window_samples, config.dataset.largest_instant_error
    for finding in health.examine(builder, config.image_size, window, error):
      say(finding)
  wrong = sum(bool(finding.remedy) for finding in findings)
  if wrong:
    raise IncompleteError(f"{wrong} of {len(findings)} things need a look.")
  print(f"Nothing needs a look: {len(findings)} things are in order.")


def examine(folders: list[Path]) -> Iterator[Finding]:
  """Yields what is found about this machine, and about folders that will be written to."""
  found = machine.look()
  yield from _devices(found)
  yield _computes()
  yield from _packages()
  yield _memory()
  for folder in folders:
    yield _disk(folder)
    yield _locks(folder)
  yield _cache()
  yield _dlib()


def _devices(found: machine.Machine) -> Iterator[Finding]:
  for gpu in found.gpus:
    about = f"{gpu.name}, {gpu.memory / 1024:.0f} GiB, compute capability {gpu.capability:g}"
    yield Finding("GPU", f"{about}; driver {gpu.driver}, CUDA {found.cuda}")
  if unused := device.unused(found):
    said, _, remedy = unused.partition(": ")
    yield Finding("device", f"{device.described()}; {said}", remedy)
  else:
    yield Finding("device", device.described())


def _computes() -> Finding:
  """Compares a product and a convolution with NumPy's: wheels that do not fit fail here."""
  rng = np.random.default_rng(0)
  a, b = rng.standard_normal((2, 64, 64)).astype(np.float32)
  signal, kernel = rng.standard_normal(64).astype(np.float32), a[0, :5]
  try:
    with jax.default_matmul_precision("highest"):
      product = np.asarray(jax.jit(lambda a, b: a @ b)(a, b))
      convolved = np.asarray(jax.jit(lambda x, k: jax.numpy.convolve(x, k))(signal, kernel))
  except Exception as error:  # noqa: BLE001, drivers fail in many ways
    reason = str(error).partition("\n")[0]
    return Finding(
      "computing",
      f"JAX fails ({reason})",
      "see that the driver and JAX's wheels fit, and that no other process fills the device",
    )
  near = np.allclose(product, a @ b, atol=1e-3) and np.allclose(
    convolved, np.convolve(signal, kernel), atol=1e-3
  )
  if near:
    return Finding("computing", "a product and a convolution are as NumPy's")
  return Finding("computing", "JAX's results differ from NumPy's", "install JAX again, or another")


def _packages() -> Iterator[Finding]:
  versions = {name: _version(name) for name in SHOWN}
  shown = ", ".join(f"{name} {version}" for name, version in versions.items())
  yield Finding("packages", f"{PACKAGE} {__version__}, {shown}")
  try:
    needed = [Requirement(text) for text in metadata.requires(PACKAGE) or []]
  except metadata.PackageNotFoundError:  # a checkout that is not installed
    needed = []
  wrong = [
    f"{need.name} {_version(need.name) or 'missing'} (needed {need.specifier})"
    for need in needed
    if (need.marker is None or need.marker.evaluate({"extra": ""}))
    and not need.specifier.contains(_version(need.name) or "0", prereleases=True)
  ]
  plugins = [
    f"{name} {_version(name)} (JAX is {versions['jax']})"
    for name in ("jax-cuda12-plugin", "jax-cuda13-plugin")
    if _version(name) and _minor(_version(name)) != _minor(versions["jax"])
  ]
  if wrong or plugins:
    remedy = "install the project again: .venv/bin/pip install -e ."
    yield Finding("versions", ", ".join([*wrong, *plugins]), remedy)


def _version(name: str) -> str:
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:
    return ""


def _minor(version: str) -> str:
  return ".".join(version.split(".")[:2])


def _memory() -> Finding:
  """The memory that is free, or that a container may use if that is less."""
  free = _available()
  if free is None:
    return Finding("memory", "not known on this system")
  said = f"{free / GIB:.1f} GiB free"
  if free >= LEAST_MEMORY * GIB:
    return Finding("memory", said)
  return Finding("memory", said, f"a small training needs {LEAST_MEMORY} GiB; stop other programs")


def _available() -> int | None:
  try:
    text = Path("/proc/meminfo").read_text()
  except OSError:
    return None
  matched = re.search(r"MemAvailable: +(\d+) kB", text)
  free = int(matched[1]) * 1024 if matched else None
  try:
    limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    used = int(Path("/sys/fs/cgroup/memory.current").read_text())
  except (OSError, ValueError):
    return free
  if limit.isdigit() and free is not None:
    free = min(free, int(limit) - used)
  return free


def _disk(folder: Path) -> Finding:
  existing = next(place for place in (folder, *folder.parents) if place.exists())
  try:
    with tempfile.TemporaryFile(dir=existing) as file:
      file.write(b"0" * 4096)
      file.flush()
  except OSError as error:
    said = f"{folder} cannot be written ({error.strerror})"
    return Finding("disk", said, "name another folder")
  free = shutil.disk_usage(existing).free
  said = f"{free / GIB:.1f} GiB free for {folder}"
  if free >= LEAST_DISK * GIB:
    return Finding("disk", said)
  return Finding("disk", said, f"a small dataset and its run take {LEAST_DISK} GiB; make room")


def _locks(folder: Path) -> Finding:
  existing = next(place for place in (folder, *folder.parents) if place.exists())
  try:
    with (
      tempfile.TemporaryDirectory(dir=existing) as place,
      warnings.catch_warnings(record=True) as warned,
    ):
      warnings.simplefilter("always")
      with exclusively(Path(place)):
        soft = bool(warned)
  except (OSError, UserError) as error:
    said = f"of {folder} do not work ({error})"
    return Finding("locks", said, "put data and runs on another file system")
  if not soft:
    return Finding("locks", f"of {folder} work")
  return Finding(
    "locks",
    f"{folder} is on a file system without them, so files stand for them",
    "where a run on another machine was killed, remove its .lock.soft by hand",
  )


def _cache() -> Finding:
  place = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
  if not place:
    return Finding("compiled", "programs are not kept: there is no home directory", "set HOME")
  path = Path(place)
  existing = next(folder for folder in (path, *path.parents) if folder.exists())
  if not os.access(existing, os.W_OK):
    return Finding("compiled", f"{path} cannot be written", "set XDG_CACHE_HOME to another folder")
  size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
  return Finding("compiled", f"programs are kept in {path}, {size / 2**20:,.0f} MiB")


def _dlib() -> Finding:
  try:
    dlib_faces.describer()
  except dlib_faces.UnavailableError as error:
    return Finding("dlib", f"{error}; only --mode=evaluate and curation need it")
  return Finding("dlib", "is installed")
