"""From a plan to the speech and faces that it names: on the host, or on the devices.

Both ways return the same bytes; `config.dataset.on_device` only changes the speed.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import lax

from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.data import plan as plans
from wav2pix_jax.data.records import Records

# What a plan has besides the records to gather from; it is passed on.
_PASSED_ON = (
  schema.LENGTH,
  schema.SEED,
  schema.MIRRORED,
  schema.MISMATCHED_MIRRORED,
  schema.FURTHER_MIRRORED,
)


def gather(records: Records, plan: plans.Plan, window_samples: int) -> dict[str, np.ndarray]:
  """Returns a planned batch with its speech and faces, gathered on the host.

  It is a raw batch as `schema.py` defines it, with windows of `window_samples` samples.
  """
  windows = [
    audio.cut(records.speech_of(record), int(start), window_samples)
    for record, start in zip(plan[plans.RECORD], plan[plans.START], strict=True)
  ]
  return {
    schema.SPEECH: np.stack(windows),
    **_labelled_faces(records.faces, records.identity, plan),
  }


def arrays(records: Records, window_samples: int) -> dict[str, np.ndarray]:
  """Returns the records as arrays for the devices.

  Returns:
    `face` uint8 [N, S, S, 3]; `speech` int16 [N, T] with zeros behind each record's speech, T as
    long as the longest or a window; `identity` int32 [N].

  Raises:
    UserError: They need more memory than a device has left.
  """
  size = max(int(records.lengths.max()), window_samples)
  need, free = records.faces.nbytes + 2 * len(records) * size, free_memory()
  if free is not None and need > free:
    raise UserError(
      f"dataset.on_device is True, but the records need {need >> 20:,} MiB and a device has "
      f"{free >> 20:,} MiB left; set --config.dataset.on_device=False."
    )
  speech = np.zeros((len(records), size), np.int16)
  for record, row in enumerate(speech):
    row[: records.lengths[record]] = records.speech_of(record)
  return {
    schema.FACE: np.asarray(records.faces),
    schema.SPEECH: speech,
    schema.IDENTITY: records.identity,
  }


def gather_on_device(
  stored: dict[str, jax.Array], plan: dict[str, jax.Array], window_samples: int
) -> dict[str, jax.Array]:
  """Returns the same as `gather`, from what `arrays` returns, `stored` on the device.

  `plan` may be a device's share of a batch.
  """

  def window(record: jax.Array, start: jax.Array) -> jax.Array:
    return lax.dynamic_slice(stored[schema.SPEECH], (record, start), (1, window_samples))[0]

  return {
    schema.SPEECH: jax.vmap(window)(plan[plans.RECORD], plan[plans.START]),
    **_labelled_faces(stored[schema.FACE], stored[schema.IDENTITY], plan),
  }


def _labelled_faces(faces: Any, identity: Any, plan: dict[str, Any]) -> dict[str, Any]:
  """Returns all of a raw batch but the speech, from NumPy's or JAX's arrays."""
  chosen = plan[plans.FACE]
  batch = {schema.FACE: faces[chosen], schema.IDENTITY: identity[chosen]}
  if plans.MISMATCHED in plan:
    batch[schema.MISMATCHED_FACE] = faces[plan[plans.MISMATCHED]]
  if plans.FURTHER in plan:
    further = plan[plans.FURTHER]
    batch[schema.FURTHER_FACES] = faces[further]
    batch[schema.RECORDS] = further.__array_namespace__().concat([chosen[:, None], further], axis=1)
  return batch | {name: plan[name] for name in _PASSED_ON if name in plan}


def free_memory() -> int | None:
  """Returns the bytes that the fullest device of this process has left; None if unknown."""
  devices: list[Any] = jax.local_devices()
  if devices[0].platform != "cpu":
    stats = [device.memory_stats() for device in devices]
    return min(each["bytes_limit"] - each["bytes_in_use"] for each in stats) if all(stats) else None
  info = Path("/proc/meminfo")
  lines = info.read_text().splitlines() if info.exists() else []
  kib = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
  return 1024 * kib[0] // len(devices) if kib else None
