"""The devices that JAX computes on, in a line, and why a GPU that is there is not one of them."""

import os
import sys
from collections import Counter
from importlib import metadata

import jax

from wav2pix_jax.runtime import machine


def described() -> str:
  """Returns this process's devices, such as "2 x NVIDIA H100 80GB HBM3" or "CPU, 8 cores"."""
  devices = jax.local_devices()
  if devices[0].platform == "cpu":
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    more = f", as {len(devices)} devices" if len(devices) > 1 else ""
    return f"CPU, {cores} cores{more}"
  kinds = Counter(device.device_kind for device in devices)
  return ", ".join(f"{count} x {kind}" for kind, count in kinds.items())


def unused(found: machine.Machine) -> str:
  """Returns which GPU of a machine JAX does not use, and the remedy; "" where it uses one."""
  if jax.default_backend() != "cpu" or not (found.gpus or found.remedy):
    return ""
  named = f"{found.gpus[0].name} is not used" if found.gpus else "no GPU is used"
  return f"{named}: {_reason(found)}"


def _reason(found: machine.Machine) -> str:
  platforms = os.environ.get("JAX_PLATFORMS", "")
  if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
    return f"JAX_PLATFORMS={platforms} asks for another device; unset it"
  if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
    return "CUDA_VISIBLE_DEVICES hides it; unset it"
  if found.remedy:
    return found.remedy
  installed = {point.name for point in metadata.entry_points(group="jax_plugins")}
  if not any("cuda" in name for name in installed):
    return f"JAX is installed for the CPU; .venv/bin/pip install -e '.[{found.extra}]'"
  return "JAX cannot start it, and says why in its warnings above; see --mode=doctor"


def announce() -> None:
  """Prints the devices, and on standard error a warning where a GPU is there but not used."""
  print(f"Device: {described()}.", flush=True)
  if warning := unused(machine.look()):
    print(f"warning: {warning}.", file=sys.stderr, flush=True)
