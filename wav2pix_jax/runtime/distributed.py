"""How a step is spread over devices and processes, with `jax.pmap`: the one file that knows.

The state is one value, the same on every device. A batch is split along its first axis.
"""

import functools
import os
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wav2pix_jax.common.errors import UserError

AXIS = "data"
LONGEST_LINE = 2_000  # bytes


def join() -> None:
  """Makes this process one of several that train together; call it before anything uses JAX.

  The address of the coordinator comes from the cluster's environment (Slurm, Open MPI, TPU pods),
  or from `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`. JAX waits for the
  other processes for five minutes and then aborts.

  Raises:
    UserError: The environment has no address.
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
  """Whether this is the process that prints, and writes everything but checkpoints."""
  return jax.process_index() == 0


def in_first(do: Callable[[], None]) -> None:
  """Calls a function in the first process while the others wait; if it fails, all fail.

  What it raised in the first process, a UserError, is raised in all of them.
  """
  line = ""
  if is_first():
    try:
      do()
    except UserError as error:
      line = str(error)
  if jax.process_count() > 1:
    text = np.frombuffer(line.encode(errors="replace")[:LONGEST_LINE].ljust(LONGEST_LINE), np.uint8)
    line = bytes(multihost_utils.broadcast_one_to_all(text)).decode(errors="ignore").rstrip()
  if line:
    raise UserError(line)


def same_everywhere(text: str) -> bool:
  """Whether all processes call this function with the same text."""
  digest = np.uint32(zlib.crc32(text.encode(errors="backslashreplace")))
  return jax.process_count() == 1 or len(set(multihost_utils.process_allgather(digest))) == 1


def pmapped(step: Callable[..., Any]) -> Any:
  """Returns `step(state, batch, constants)` for all devices; it takes over the state's memory.

  All three are trees of arrays: state and constants are the same on every device, the batch is a
  device's share. `step` averages over `AXIS` itself, so that state and metrics are equal on all
  devices.
  """
  return jax.pmap(
    step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=(None, None), donate_argnums=0
  )


def replicate(tree: Any) -> Any:
  """Returns a tree of arrays with a whole copy on every device, as `pmapped` returns them."""
  return jax.device_put(tree, _replicated())


def shard(batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
  """Returns a process's batch [b, ...] on its devices, as [devices, b / devices, ...]."""
  devices = jax.local_devices()
  stacked = {name: x.reshape(len(devices), -1, *x.shape[1:]) for name, x in batch.items()}
  return jax.device_put(stacked, NamedSharding(Mesh(np.array(devices), AXIS), PartitionSpec(AXIS)))


def across_processes(tree: Any) -> Any:
  """Returns arrays of `pmapped`, which know only this process's devices, as arrays of all devices.

  A checkpoint of several processes consists of such arrays. No memory is copied.
  """

  def one(leaf):
    shards = [shard.data for shard in leaf.addressable_shards]
    return jax.make_array_from_single_device_arrays(leaf.shape, _replicated(), shards)

  return jax.tree.map(one, tree)


def abstract(make: Callable[[], Any]) -> Any:
  """Returns shapes, dtypes and placement of `replicate(make())` without computing it."""
  placed = functools.partial(jax.ShapeDtypeStruct, sharding=_replicated())
  return jax.tree.map(lambda leaf: placed(leaf.shape, leaf.dtype), jax.eval_shape(make))


def _replicated() -> NamedSharding:
  return NamedSharding(Mesh(np.array(jax.devices()), AXIS), PartitionSpec())


def process_batch_size(batch_size: int) -> int:
  """Returns how much of the global batch one process loads.

  Raises UserError if the devices cannot share the batch evenly.
  """
  devices = jax.device_count()
  if batch_size < 1 or batch_size % devices:
    raise UserError(
      f"batch_size is {batch_size}; it must be a multiple of the number of devices, {devices}."
    )
  return batch_size // jax.process_count()
