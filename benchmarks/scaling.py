"""How fast training would be on many GPUs: what a step sends, and how long the links take.

python -m benchmarks.scaling --config=base

Nothing is timed: bytes are counted (a test compares them with the compiled step's), and times are
those of published links, by the cost model in NCCL's `tuning.cc`. See `docs/scaling.md`.
"""

import dataclasses
import functools
import math
from typing import Any

import jax

from benchmarks import flops, jax_side, turns
from benchmarks.jax_side import IDENTITIES
from wav2pix_jax import models
from wav2pix_jax.train_state import GanState, create_state

FLOAT = 4  # bytes
LAYER_ROUNDS = 3  # of batch norm: generating for D, for G, and the backward pass
GPUS = (8, 64, 512)
PER_MACHINE = 8

# An H100 (SXM): operations per second that large bfloat16 products reach (data sheet: 989e12), the
# share of them that we aim at, and bytes per second of memory (data sheet: 3.35e12).
PRODUCTS, SHARE, MEMORY = 790e12, 0.45, 3.0e12
# Bytes that Adam moves per parameter (gradient, parameter and two moments are read, and all but the
# gradient written), and that the average moves per parameter of the generator.
UPDATED, AVERAGED = 7 * FLOAT, 3 * FLOAT


@dataclasses.dataclass(frozen=True)
class Links:
  """The links between GPUs."""

  name: str  # of the links between machines
  within: float  # bytes per second that a GPU can send within its machine
  between: float  # bytes per second that a machine can send to others


# NVLink 4: 900 GB/s, half of it each way. DGX H100: eight ConnectX-7.
CLUSTERS = (
  Links("InfiniBand, 8 x 400 Gb/s", 450e9, 8 * 400e9 / 8),
  Links("Ethernet, 1 x 100 Gb/s", 450e9, 100e9 / 8),
)


@dataclasses.dataclass(frozen=True)
class Sent:
  """What each device sums with the others in a step."""

  gradients: int  # bytes of all networks' gradients
  statistics: int  # bytes of batch norm's statistics
  features: int  # bytes of feature matching
  layer_rounds: int  # sums of batch norm, each of which waits for that of the layer before
  other_rounds: int  # other sums that wait for each other

  @property
  def rounds(self) -> int:
    """The number of sums that wait for each other."""
    return self.layer_rounds + self.other_rounds

  @property
  def bytes(self) -> int:
    """All bytes, except those of scalars, and of the vectors of matching: a few KiB a face."""
    return self.gradients + self.statistics + self.features


def sent(config: Any, state: GanState) -> Sent:
  """Returns what a step sends, from a config and a state or its shapes.

  It does not depend on the batch or the number of devices.
  """
  stats = jax.tree_util.tree_leaves_with_path(state.generator.stats)
  means = [leaf for path, leaf in stats if path[-1].key == "mean"]
  # Nothing before the norm of a spectrum learns, so nothing comes back to it.
  spectrum = [leaf for path, leaf in stats if (path[-2].key, path[-1].key) == ("norm", "mean")]
  matching = state.face_encoder
  seen = [] if matching is None else jax.tree.leaves(matching.stats)  # means and variances
  networks = [x.params for x in (state.generator, state.discriminator, matching) if x]
  trained = [leaf for leaf in jax.tree.leaves(networks) if leaf.ndim]
  widest = config.model.discriminator_width * config.image_size // 8
  return Sent(
    gradients=FLOAT * _size(trained),
    # There and back.
    statistics=FLOAT * 2 * (LAYER_ROUNDS * _size(means) - _size(spectrum) + _size(seen)),
    features=FLOAT * 3 * 16 * widest,  # [4, 4, widest]: real, generated, and back
    layer_rounds=LAYER_ROUNDS * len(means) - len(spectrum) + len(seen),
    other_rounds=len(("gradients of D", "of G", "features", "back"))
    + (len(("vectors", "back")) if matching else 0),
  )


def round_seconds(gpus: int) -> float:
  """Returns the time of a sum of few bytes: NCCL's tree in its protocol for few bytes.

  4.4 us; 0.52 us for each further GPU in the machine, 1.8 times that where there are more machines;
  5 us for each doubling of the machines; there and back.
  """
  machines = max(gpus // PER_MACHINE, 1)
  within = 0.52 * (1.8 if machines > 1 else 1) * (min(gpus, PER_MACHINE) - 1)
  return 1e-6 * (4.4 + 2 * (within + 5.0 * math.log2(machines)))


def rounds_seconds(sent: Sent, gpus: int, grouped: bool = False) -> float:
  """Returns the time of all rounds; `grouped` is with `model.batch_norm_devices` of a machine.

  The layers' rounds then stay within the machine, and one more makes the running statistics equal.
  """
  if grouped and gpus > PER_MACHINE:
    within = sent.layer_rounds * round_seconds(PER_MACHINE)
    return within + (sent.other_rounds + 1) * round_seconds(gpus)
  return sent.rounds * round_seconds(gpus)


def bytes_seconds(sent: Sent, gpus: int, links: Links) -> float:
  """Returns the time of all bytes if nothing overlaps: each goes there and back."""
  speed = min(links.within, links.between) if gpus > PER_MACHINE else links.within
  return 2 * sent.bytes / speed


def computation_seconds(config: Any, state: GanState, batch_size: int) -> float:
  """Returns the time of a step for a device's share of the batch, without sending."""
  networks = (state.generator, state.discriminator, state.face_encoder)
  updated = sum(_size(network.params) for network in networks if network)
  moved = UPDATED * updated + AVERAGED * _size(state.generator.params)
  cost = flops.train_step(config, IDENTITIES)
  return batch_size * cost / (SHARE * PRODUCTS) + moved / MEMORY


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__, rounds=False)
  parser.add_argument("--config", default="base", choices=jax_side.CONFIGS)
  parser.add_argument("--batch_size", type=int, default=64, help="faces per GPU (default 64)")
  flags = parser.parse_args()
  config = jax_side.get_config(flags.config)
  state = abstract_state(config)
  a_step = sent(config, state)
  alone = computation_seconds(config, state, flags.batch_size)
  print(
    f"configs/{flags.config}.py, {config.image_size} px: a step sends {a_step.bytes / 1e6:.1f} MB "
    f"(gradients {a_step.gradients / 1e6:.1f}, statistics {a_step.statistics / 1e6:.3f}, features "
    f"{a_step.features / 1e6:.3f}) in {a_step.rounds} rounds"
  )
  print(f"batch {flags.batch_size} per GPU: {1e3 * alone:.2f} ms without sending")
  rows = {}
  for links in CLUSTERS:
    for gpus in GPUS:
      rounds, grouped = (rounds_seconds(a_step, gpus, apart) for apart in (False, True))
      sending = bytes_seconds(a_step, gpus, links)
      rows[f"{links.name}, {gpus} GPUs"] = {
        "milliseconds_of_rounds": 1e3 * rounds,
        "milliseconds_of_bytes": 1e3 * sending,
        "efficiency": alone / (alone + rounds + sending),
        "with_batch_norm_devices=8": alone / (alone + grouped + sending),
      }
  turns.show(rows)
  least = min(row["efficiency"] for row in rows.values())
  figures = {"sent": dataclasses.asdict(a_step), "seconds": alone, "ratio": least, "sides": rows}
  turns.write(flags.json, figures)


def abstract_state(config: Any) -> GanState:
  """Returns the shapes of a state."""
  networks = models.build(config, IDENTITIES)
  make = functools.partial(create_state, config, networks, jax.random.key(0))
  return jax.eval_shape(make)


def _size(tree: Any) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


if __name__ == "__main__":
  main()
