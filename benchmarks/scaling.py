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

from benchmarks import flops, turns
from configs import base, demo, release
from wav2pix_jax import models
from wav2pix_jax.train_state import GanState, create_state

CONFIGS = {"base": base, "demo": demo, "release": release}
IDENTITIES = 10
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
  """The links between GPUs.

  Attributes:
    name: Name of the links between machines.
    within: Bytes per second that a GPU can send within its machine.
    between: Bytes per second that a machine can send to others.
  """

  name: str
  within: float
  between: float


# NVLink 4: 900 GB/s, half of it each way. DGX H100: eight ConnectX-7.
CLUSTERS = (
  Links("InfiniBand, 8 x 400 Gb/s", 450e9, 8 * 400e9 / 8),
  Links("Ethernet, 1 x 100 Gb/s", 450e9, 100e9 / 8),
)


@dataclasses.dataclass(frozen=True)
class Sent:
  """What each device sums with the others in a step.

  Attributes:
    gradients: Bytes of both networks' gradients.
    statistics: Bytes of batch norm's statistics.
    features: Bytes of feature matching.
    rounds: Number of sums that wait for each other.
  """

  gradients: int
  statistics: int
  features: int
  rounds: int

  @property
  def bytes(self) -> int:
    """All bytes, except those of the losses' scalars."""
    return self.gradients + self.statistics + self.features


def sent(config: Any, state: GanState) -> Sent:
  """Returns what a step sends, which does not depend on the batch or the number of devices.

  Args:
    config: The config.
    state: A state, or its shapes.
  """
  stats = jax.tree_util.tree_leaves_with_path(state.generator.stats)
  means = [leaf for path, leaf in stats if path[-1].key == "mean"]
  widest = config.model.discriminator_width * config.image_size // 8
  return Sent(
    gradients=FLOAT * (_size(state.generator.params) + _size(state.discriminator.params)),
    statistics=FLOAT * LAYER_ROUNDS * 2 * _size(means),  # and variances
    features=FLOAT * 3 * 16 * widest,  # [4, 4, widest]: real, generated, and back
    rounds=LAYER_ROUNDS * len(means) + len(("gradients of D", "of G", "features", "back")),
  )


def round_seconds(gpus: int) -> float:
  """Returns the time of a sum of few bytes: NCCL's tree in its protocol for few bytes.

  4.4 us; 0.52 us for each further GPU in the machine, 1.8 times that where there are more machines;
  5 us for each doubling of the machines; there and back.
  """
  machines = max(gpus // PER_MACHINE, 1)
  within = 0.52 * (1.8 if machines > 1 else 1) * (min(gpus, PER_MACHINE) - 1)
  return 1e-6 * (4.4 + 2 * (within + 5.0 * math.log2(machines)))


def communication_seconds(sent: Sent, gpus: int, links: Links) -> float:
  """Returns the time for sending in a step if nothing overlaps: each byte goes there and back."""
  speed = min(links.within, links.between) if gpus > PER_MACHINE else links.within
  return sent.rounds * round_seconds(gpus) + 2 * sent.bytes / speed


def computation_seconds(config: Any, state: GanState, batch_size: int) -> float:
  """Returns the time of a step for a device's share of the batch, without sending."""
  generator, discriminator = (_size(x.params) for x in (state.generator, state.discriminator))
  moved = UPDATED * (generator + discriminator) + AVERAGED * generator
  cost = flops.train_step(config, IDENTITIES)
  return batch_size * cost / (SHARE * PRODUCTS) + moved / MEMORY


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__.partition("\n")[0], rounds=False)
  parser.add_argument("--config", default="base", choices=CONFIGS)
  parser.add_argument("--batch_size", type=int, default=64, help="faces per GPU (default 64)")
  flags = parser.parse_args()
  config = CONFIGS[flags.config].get_config()
  state = abstract_state(config)
  a_step = sent(config, state)
  alone = computation_seconds(config, state, flags.batch_size)
  print(
    f"configs/{flags.config}.py, {config.image_size} px: a step sends {a_step.bytes / 1e6:.1f} MB "
    f"(gradients {a_step.gradients / 1e6:.1f}, statistics {a_step.statistics / 1e6:.3f}, features "
    f"{a_step.features / 1e6:.3f}) in {a_step.rounds} rounds"
  )
  print(f"batch {flags.batch_size} per GPU: {1e3 * alone:.2f} ms without sending")
  figures = {}
  for links in CLUSTERS:
    for gpus in GPUS:
      rounds = a_step.rounds * round_seconds(gpus)
      sending = communication_seconds(a_step, gpus, links)
      efficiency = alone / (alone + sending)
      figures[f"{links.name}, {gpus}"] = efficiency
      print(
        f"{links.name:26} {gpus:4} GPUs: rounds {1e3 * rounds:5.2f} ms, bytes "
        f"{1e3 * (sending - rounds):5.2f} ms, efficiency {efficiency:4.0%}"
      )
  turns.write(
    flags.json,
    {"sent": dataclasses.asdict(a_step), "seconds": alone, "ratio": min(figures.values())}
    | {"efficiency": figures},
  )


def abstract_state(config: Any) -> GanState:
  """Returns the shapes of a state."""
  networks = models.build(config, IDENTITIES)
  make = functools.partial(create_state, config, networks, jax.random.key(0))
  return jax.eval_shape(make)


def _size(tree: Any) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


if __name__ == "__main__":
  main()
