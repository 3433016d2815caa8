"""Snapshots: what a run generates after some steps, measured and laid out in a grid."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from wav2pix_jax import data
from wav2pix_jax.common import images
from wav2pix_jax.metrics.catalogue import METRICS
from wav2pix_jax.metrics.faces import Faces, describe_faces
from wav2pix_jax.metrics.identity_classifier import Classify
from wav2pix_jax.metrics.metric import Result, compute
from wav2pix_jax.sampler import BATCH, Sampler, sampling_keys

GRID_COLUMNS, GRID_BANDS = 8, 2
DRAWS = 2  # samples of each chunk
EACH = 4  # chunks of a speaker, where there are more speakers than all chunks have room for


@dataclasses.dataclass(frozen=True)
class Snapshot:
  """What a run generated from one split's speech."""

  figures: dict[str, float]  # values by name, `<name of the snapshots>/<metric>`
  # uint8 [H, W, 3]: bands of real faces, of faces sampled as `--mode=sample` does, and where these
  # come from averaged weights, of faces sampled with the last weights.
  grid: np.ndarray
  warnings: list[str]  # what is wrong with the faces, a sentence each


class SnapshotTaker:
  """Takes snapshots of a run on a fixed set of chunks, always with the same keys.

  The figures are the metrics without dlib, the mean difference to the real faces (`l1`), and how
  often the auxiliary classifier names the speaker (`classifier_accuracy`).
  """

  def __init__(
    self,
    name: str,
    records: data.Records,
    split: str,
    count: int,
    reference: Faces,
    classify: Classify,
    make_sampler: Callable[[dict[str, Any]], Sampler],
    config: ConfigDict,
    speakers: list[str],
  ):
    """Chooses `count` chunks, spread evenly over the records of a split.

    The figures' names begin with `name`. The reference are real training faces, the speakers are
    the names of the labels, and `make_sampler` returns a sampler of a generator's variables.
    """
    chosen = records.spread(count, each=EACH)
    self._name, self._split = name, split
    self._sampler, self._speakers = make_sampler, speakers
    self._windows = records.centred_windows(chosen, config.dataset.window_samples)
    self._real = describe_faces(records.faces[chosen], records.identity[chosen], classify)
    self._reference, self._classify = reference, classify
    order = np.arange(len(chosen))
    self._keys = [sampling_keys(config.seed, name, order, draw) for draw in range(DRAWS)]

  def __call__(self, variables: dict[str, Any], last: dict[str, Any] | None) -> Snapshot:
    """Returns a snapshot of a generator with the variables that `--mode=sample` would use.

    `last` are those of the last step if they differ, else None.
    """
    sampler = self._sampler(variables)
    draws = []
    for keys in self._keys:
      faces, logits = sampler.sample(self._windows, keys)
      draws.append(describe_faces(faces, self._real.identity, self._classify))
    results = compute(METRICS, draws, self._real, self._reference)
    real, generated = self._real.pictures, draws[-1].pictures
    figures = {name: result.value for name, result in results.items()} | {
      "l1": float(np.abs(images.to_float(generated) - images.to_float(real)).mean()),
      "classifier_accuracy": float((logits.argmax(-1) == self._real.identity).mean()),
    }
    figures = {f"{self._name}/{name}": value for name, value in figures.items()}
    return Snapshot(figures, self._grid(generated, last), _warnings(results))

  def _grid(self, generated: np.ndarray, last: dict[str, Any] | None) -> np.ndarray:
    real, labels = self._real.pictures, self._real.identity
    picked = np.linspace(0, len(real) - 1, GRID_COLUMNS * GRID_BANDS).round().astype(int)
    rows = {"real": real, "averaged weights" if last else "generated": generated}
    rows = {title: row[picked] for title, row in rows.items()}
    if last:
      # Padded to the shape that is compiled already.
      padded = np.resize(picked, max(len(picked), min(BATCH, len(real))))
      keys = jax.numpy.take(self._keys[-1], padded, axis=0)
      faces, _ = self._sampler(last).sample(self._windows[padded], keys)
      rows["last weights"] = faces[: len(picked)]
    pictures, titles = [], []
    for band in np.array_split(np.arange(len(picked)), GRID_BANDS):
      who = ", ".join(sorted({self._speakers[label] for label in labels[picked[band]]}))
      for title, row in rows.items():
        pictures.append(list(row[band]))
        titles.append(f"{who}: {title}, {self._split} speech")
    return images.grid(pictures, titles)


def _warnings(results: dict[str, Result]) -> list[str]:
  """Returns what is wrong with a run's faces, a sentence each; empty where nothing is."""
  found = []
  contrast = results["contrast"].value
  if contrast < 0.3:
    found.append(
      f"the faces are gray: they have {contrast:.2f} of the contrast of real ones. Try batch norm "
      "in the generator (model.generator_batch_norm), or a lower optimizer.lr_d."
    )
  diversity = results.get("spread_of_chunks")
  if diversity and diversity.value < 0.1:
    found.append(
      f"the faces have collapsed: those of a speaker differ {diversity.value:.2f} times as much as "
      "real ones. Try loss.energy_score with noise beside the embedding (model.noise)."
    )
  accuracy = results["identity_accuracy"]
  if accuracy.value < accuracy.baseline + 0.25 * (accuracy.real - accuracy.baseline):
    found.append(
      f"the faces ignore the speech: {accuracy.value:.0%} show the right person, and always "
      f"generating the same one would give {accuracy.baseline:.0%}. If classifier_accuracy is low "
      "too, the speech cannot be distinguished; otherwise try a higher loss.l1."
    )
  return found
