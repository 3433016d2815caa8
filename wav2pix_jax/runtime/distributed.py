"""The one file that knows how a step is spread over devices and processes: with `jax.pmap`.

The state is one un-stacked value, the same on every device; a batch is cut along its first axis.
"""

import functools
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wav2pix_jax.common.errors import UserError

AXIS = "data"
LONGEST_LINE = 2_000  # bytes


def join() -> None:
  """Makes this process one of several that train together; before anything else touches JAX.

  Where to meet comes from the cluster's environment (Slurm, Open MPI, TPU pods), or from
  `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`. For the others JAX waits five
  minutes, and aborts.

  Raises:
    UserError: nothing says where.
  """
  try:
    count, index = (
      int(os.environ[name]) if name in os.environ else None
      for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    )
    jax.distributed.initialize(num_processes=count, process_id=index)
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f"--distributed: the processes do not find each other ({str(error).partition(chr(10))[0]}); "
      "set JAX_COORDINATOR_ADDRESS=HOST:PORT, JAX_NUM_PROCESSES and JAX_PROCESS_ID in each, or "
      "start them with a cluster's launcher."
    ) from error


def is_first() -> bool:
  """Whether this process is the one that prints and writes what is not a checkpoint."""
  return jax.process_index() == 0


def in_first(do: Callable[[], None]) -> None:
  """Does something in the first process, while the others wait; where it fails, all fail.

  Raises:
    UserError: what the first process met, in every process.
  """
  line = ""
  if is_first():
    try:
      do()
    except UserError as error:
      line = str(error)
  if jax.process_count() > 1:
    text = np.frombuffer(line.encode()[:LONGEST_LINE].ljust(LONGEST_LINE), np.uint8)
    line = bytes(multihost_utils.broadcast_one_to_all(text)).decode(errors="ignore").rstrip()
  if line:
    raise UserError(line)


def same_everywhere(text: str) -> bool:
  """Whether all processes call this with the same text."""
  digest = np.uint32(zlib.crc32(text.encode()))
  return jax.process_count() == 1 or len(set(multihost_utils.process_allgather(digest))) == 1


def pmapped(step: Callable[..., Any]) -> Any:
  """`step(state, batch, root_key)` on all devices; it takes over the memory of the state.

  `step` averages over `AXIS` itself, so that state and metrics come out equal everywhere.
  """
  return jax.pmap(
    step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=(None, None), donate_argnums=0
  )


def replicate(tree: Any) -> Any:
  """A tree of arrays placed whole on every device, as `pmapped` leaves it."""
  return jax.device_put(tree, _replicated())


def free_memory() -> int | None:
  """Bytes that the fullest of this process's devices has left; None where nothing tells."""
  devices = jax.local_devices()
  if devices[0].platform != "cpu":
    stats = [device.memory_stats() for device in devices]
    return min(each["bytes_limit"] - each["bytes_in_use"] for each in stats) if all(stats) else None
  info = Path("/proc/meminfo")
  lines = info.read_text().splitlines() if info.exists() else []
  kib = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
  return 1024 * kib[0] // len(devices) if kib else None


def across_processes(tree: Any) -> Any:
  """What `pmapped` leaves, whose arrays know of this process's devices only, as arrays of all.

  The same memory under another name, which is what a checkpoint of several processes is made of.
  """

  def one(leaf):
    shards = [shard.data for shard in leaf.addressable_shards]
    return jax.make_array_from_single_device_arrays(leaf.shape, _replicated(), shards)

  return jax.tree.map(one, tree)


def abstract(make: Callable[[], Any]) -> Any:
  """Shapes, dtypes and placement of `replicate(make())`, without computing it."""
  placed = functools.partial(jax.ShapeDtypeStruct, sharding=_replicated())
  return jax.tree.map(lambda leaf: placed(leaf.shape, leaf.dtype), jax.eval_shape(make))


def _replicated() -> NamedSharding:
  return NamedSharding(Mesh(np.array(jax.devices()), AXIS), PartitionSpec())


def shard(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """A process's part of a batch [b, ...] as [its devices, b / devices, ...]."""
  devices = jax.local_device_count()
  return {name: x.reshape(devices, -1, *x.shape[1:]) for name, x in batch.items()}


def process_batch_size(batch_size: int) -> int:
  """How much of the global batch one process loads.

  Raises:
    UserError: the devices cannot share the batch evenly.
  """
  devices = jax.device_count()
  if batch_size < 1 or batch_size % devices:
    raise UserError(
      f"batch_size is {batch_size}; it must be a multiple of the number of devices, {devices}."
    )
  return batch_size // jax.process_count()
