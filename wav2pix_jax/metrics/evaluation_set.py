"""What a run is judged by: chunks of speech, spread over a split, and faces drawn from them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax import data, sampler
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.metrics import metrics, noise
from wav2pix_jax.metrics.noise import Noise
from wav2pix_jax.runtime import checkpoint, run_config

DRAWS = 3  # of each chunk
MOST, REFERENCE = 200, 400  # chunks of the split, and real faces of the training split, at most
SEED = 0  # of the drawings, and of noise


@dataclasses.dataclass(frozen=True)
class Chunks:
  """Chunks of a split's speech, and the real faces that drawn ones are compared with.

  Attributes:
    builder: of the dataset.
    config: of the run.
    split: of the dataset.
    names: of everyone with a label.
    records: of the split.
    chosen: int [N], the records whose speech is drawn from.
    windows: int16 [N, T], that speech.
    noise: in it; None where it is as recorded.
    known: uint8 [M, S, S, 3], real faces to compare with, none of them of the chosen records: of
      the training split, and of the unseen speakers' own where they are drawn from.
    known_identity: int32 [M], whose they are.
  """

  builder: Any
  config: Any
  split: str
  names: list[str]
  records: data.Records
  chosen: np.ndarray
  windows: np.ndarray
  noise: Noise | None
  known: np.ndarray
  known_identity: np.ndarray

  @property
  def title(self) -> str:
    """The split, and the noise if there is any."""
    return f"{self.split}, {self.noise}" if self.noise else self.split


def choose(workdir: Path, config: Any, split: str, added: Noise | None = None) -> Chunks:
  """Those by which a run is judged, from its dataset.

  Raises:
    UserError: no such split, or the dataset is not the one that the run learned from.
  """
  builder = data.prepare(config.dataset)
  if split not in builder.info.splits:
    splits = ", ".join(sorted(builder.info.splits))
    raise UserError(f"--split={split}: dataset {builder.info.full_name} has {splits}.")
  size = config.image_size
  records, training = data.load(builder, split, size), data.load(builder, schema.TRAIN, size)
  run_config.identities(workdir, data.identity_names(builder))
  run_config.refuse_other_records(workdir, {schema.TRAIN: training.digest})
  kept = None  # of the unseen, half of each person's, to compare with
  if split == schema.UNSEEN:
    kept = np.argsort(records.identity, kind="stable")[1::2]
  chosen = data.evenly(records, MOST, kept)
  known = [(training, data.evenly(training, REFERENCE, chosen if split == schema.TRAIN else None))]
  if kept is not None:
    known.append((records, metrics.evenly(kept, MOST)))
  faces = np.concatenate([of.faces[picked] for of, picked in known])
  identity = np.concatenate([of.identity[picked] for of, picked in known])
  windows = data.centred_windows(records, config.dataset.window_samples, chosen)
  if added:
    windows = noise.add(windows, added, records.identity[chosen], SEED)
  names = data.everyone(builder)
  return Chunks(builder, config, split, names, records, chosen, windows, added, faces, identity)


def draw(run: checkpoint.Run, of: Chunks, draws: int = DRAWS) -> np.ndarray:
  """Faces from the chosen chunks: uint8 [draws, N, S, S, 3]."""
  speech = audio.condition(of.windows, of.config.dataset.audio_steps)
  draw_all = sampler.drawer(run.nets.generator)
  drawn = []
  for number in range(draws):
    keys = [sampler.key(SEED, of.split, int(record), number) for record in of.chosen]
    drawn.append(draw_all(run.state.drawing, speech, keys)[0])
  return np.stack(drawn)
