"""This machine's GPUs, as NVIDIA's driver tells them, and the JAX that fits them.

It needs no package, as `make` runs it before anything is installed:
`python wav2pix_jax/runtime/machine.py` prints the extra to install, `cuda12`, `cuda13` or nothing,
and on standard error why a GPU that is there cannot be used, and what to do.
"""

import dataclasses
import re
import shutil
import subprocess
import sys

# JAX's wheels: the driver that each needs, and the compute capability that cuDNN needs.
CUDA_13_DRIVER, CUDA_12_DRIVER, CAPABILITY = 580, 525, 7.5
LAST_CUDNN = "nvidia-cudnn-cu12<9.11"  # of GPUs below CAPABILITY


@dataclasses.dataclass(frozen=True)
class Gpu:
  """A GPU of NVIDIA."""

  name: str
  driver: str  # version of the driver
  capability: float  # compute capability; 0 where the driver does not tell
  memory: int  # MiB


@dataclasses.dataclass(frozen=True)
class Machine:
  """The GPUs of a machine, and which JAX can use them."""

  gpus: tuple[Gpu, ...]
  cuda: int  # newest major version of CUDA that the driver supports; 0 where there is no driver
  extra: str  # of setup.cfg: cuda12, cuda13, or "" for the CPU
  remedy: str  # why a GPU cannot be used, and what to do; "" where there is nothing to do


def look() -> Machine:
  """Returns what `nvidia-smi` tells of this machine."""
  if not shutil.which("nvidia-smi"):
    return Machine((), 0, "", "")
  said = _nvidia_smi()
  if said is None:
    return Machine(
      (),
      0,
      "",
      "nvidia-smi is there, but does not reach the driver: install the driver, or start the "
      "container with the GPU (docker run --gpus=all); until then the CPU is used",
    )
  gpus = _gpus()
  drivers = [*(gpu.driver for gpu in gpus), *re.findall(r"Driver Version: *([\d.]+)", said)]
  # "CUDA Version: 12.4", and from driver 610 on "CUDA UMD Version: 13.3"
  versions = re.findall(r"CUDA[A-Z ]* Version: *(\d+)", said)
  cuda = int(versions[0]) if versions else _cuda_of(drivers[0] if drivers else "")
  capabilities = [gpu.capability for gpu in gpus if gpu.capability]
  extra, remedy = wheels(cuda, min(capabilities, default=0), drivers[0] if drivers else "")
  return Machine(gpus, cuda, extra, remedy)


def wheels(cuda: int, capability: float, driver: str) -> tuple[str, str]:
  """Returns the extra for a driver's CUDA and a GPU's compute capability, and the remedy if none.

  A capability of 0 stands for one that is not known.
  """
  if cuda < 12:
    supports = f"supports CUDA {cuda} only" if cuda else "does not tell its version of CUDA"
    return "", (
      f"the driver {driver} {supports}, and JAX needs CUDA 12: install a driver of at least "
      f"{CUDA_12_DRIVER}, better {CUDA_13_DRIVER}; until then the CPU is used"
    )
  if 0 < capability < CAPABILITY:
    return "", (
      f"the GPU has compute capability {capability}, and what JAX installs needs {CAPABILITY} "
      f"(Turing): use another GPU, or try .venv/bin/pip install -e '.[cuda12]' '{LAST_CUDNN}'; "
      "until then the CPU is used"
    )
  return ("cuda12" if cuda == 12 else "cuda13"), ""


def _cuda_of(driver: str) -> int:
  major = int(driver.partition(".")[0] or 0) if driver[:1].isdigit() else 0
  return 13 if major >= CUDA_13_DRIVER else 12 if major >= CUDA_12_DRIVER else 11 if major else 0


def _gpus() -> tuple[Gpu, ...]:
  for capability in ("compute_cap,", ""):  # old drivers do not know the field
    fields = f"name,driver_version,{capability}memory.total"
    said = _nvidia_smi(f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    if said:
      rows = [[cell.strip() for cell in line.split(",")] for line in said.splitlines() if line]
      return tuple(
        Gpu(row[0], row[1], _number(row[2]) if capability else 0.0, int(_number(row[-1])))
        for row in rows
        if len(row) >= 3
      )
  return ()


def _number(text: str) -> float:
  try:
    return float(text)
  except ValueError:  # "[N/A]"
    return 0.0


def _nvidia_smi(*flags: str) -> str | None:
  """Returns what the command prints, or None if it fails."""
  try:
    done = subprocess.run(
      ["nvidia-smi", *flags], capture_output=True, text=True, timeout=60, check=False
    )
  except (OSError, subprocess.TimeoutExpired):
    return None
  return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
  found = look()
  if found.remedy:
    print(f"warning: {found.remedy}.", file=sys.stderr)
  print(found.extra)
