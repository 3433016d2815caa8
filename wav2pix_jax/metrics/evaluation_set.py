"""What a run is evaluated on: chunks of speech spread over a split, and faces sampled from them."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats

from wav2pix_jax import data
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.indices import spread_evenly
from wav2pix_jax.metrics import noise
from wav2pix_jax.metrics.noise import Noise
from wav2pix_jax.runtime import run_config
from wav2pix_jax.sampler import Sampler, sampling_keys

DRAWS = 3  # samples of each chunk
MOST, EACH = 200, 2  # chunks of the split, and of a speaker where there are many
REFERENCE = 400  # real faces of the training split, or two of each speaker
SEED = 0  # of samples and of noise


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
  """Chunks of a split's speech, and the real faces that generated ones are compared with."""

  builder: Any  # the dataset's builder
  config: Any  # the run's config
  split: str  # the split's name
  names: list[str]  # names of everyone with a label
  records: data.Records  # the records of the split
  chosen: np.ndarray  # indices of the records whose speech is used, int [N]
  windows: np.ndarray  # that speech, int16 [N, window_samples]
  noise: Noise | None  # the noise in it; None where it is as recorded
  # Real faces to compare with, uint8 [M, S, S, 3], none of them of the chosen records. They are of
  # the training split, and for the split `unseen` of the unseen speakers as well.
  known: np.ndarray
  known_identity: np.ndarray  # their labels, int32 [M]

  @property
  def title(self) -> str:
    """The split, and the noise if there is any."""
    return f"{self.split}, {self.noise}" if self.noise else self.split

  @property
  def clips(self) -> list[str]:
    """Names of the chosen records, which tell other content of the split by other names."""
    return [f"{self.split}_{self.records.digest[:4]}_{record:06d}" for record in self.chosen]

  @property
  def identity(self) -> np.ndarray:
    """Labels of the chosen records, int32 [N]."""
    return self.records.identity[self.chosen]

  @property
  def real(self) -> np.ndarray:
    """Faces of the chosen records, uint8 [N, S, S, 3]."""
    return self.records.faces[self.chosen]


def choose(
  workdir: Path | None, config: Any, split: str, added: Noise | None = None
) -> EvaluationSet:
  """Returns the evaluation set of a config: a split of its dataset, with noise in the speech.

  Raises:
    UserError: There is no such split, or the run in `workdir`, if that is not None, was trained on
      another dataset.
  """
  builder = data.prepare(config.dataset)
  if split not in builder.info.splits:
    splits = ", ".join(sorted(builder.info.splits))
    raise UserError(f"--split={split}: dataset {builder.info.full_name} has {splits}.")
  size = config.image_size
  records, training = (
    data.load(builder, name, size, config.dataset.largest_instant_error)
    for name in (split, schema.TRAIN)
  )
  if workdir:
    run_config.speakers(workdir, data.identity_names(builder))
    run_config.refuse_other_records(workdir, {schema.TRAIN: training.digest})
  kept = None  # half of each unseen person's records, to compare with
  if split == schema.UNSEEN:
    kept = np.argsort(records.identity, kind="stable")[1::2]
  chosen = records.spread(MOST, kept, EACH)
  count = max(REFERENCE, 2 * len(data.identity_names(builder)))
  known = [(training, training.spread(count, chosen if split == schema.TRAIN else None))]
  if kept is not None:
    known.append((records, spread_evenly(kept, MOST)))
  faces = np.concatenate([of.faces[picked] for of, picked in known])
  identity = np.concatenate([of.identity[picked] for of, picked in known])
  windows = records.centred_windows(chosen, config.dataset.window_samples)
  if added:
    windows = noise.add(windows, added, records.identity[chosen], SEED)
  return EvaluationSet(
    builder=builder,
    config=config,
    split=split,
    names=data.everyone(builder),
    records=records,
    chosen=chosen,
    windows=windows,
    noise=added,
    known=faces,
    known_identity=identity,
  )


def sample(sampler: Sampler, of: EvaluationSet, draws: int = DRAWS) -> np.ndarray:
  """Returns faces sampled from the chosen chunks, uint8 [draws, N, S, S, 3]."""
  keys = (sampling_keys(SEED, of.split, of.chosen, draw) for draw in range(draws))
  return np.stack([sampler.sample(of.windows, draw_keys)[0] for draw_keys in keys])


def tells_unknown_voices(sampler: Sampler, known: np.ndarray, unknown: np.ndarray) -> float:
  """Returns how well a sampler tells windows of unknown voices from those of known ones: the AUROC.

  It is the share of pairs in which the largest probability of a speaker is larger for the known
  voice; 0.5 by chance, 1 at best. Both are windows int16 [N, window_samples].
  """
  scores = [
    np.asarray(jax.nn.softmax(sampler.listen(windows)[1])).max(1) for windows in (known, unknown)
  ]
  return float(stats.mannwhitneyu(*scores).statistic / len(known) / len(unknown))


def speakers_named(sampler: Sampler, of: EvaluationSet) -> tuple[float, float]:
  """Returns the shares of seconds and of recordings whose speaker the sampler names.

  These are all full seconds of the chosen records, without noise. A recording is named by the mean
  of the logarithmic probabilities of its seconds.
  """
  windows, record = [], []
  for i in of.chosen:
    speech, rate = of.records.speech_of(i), schema.SAMPLE_RATE
    for start in range(0, max(len(speech) - rate, 0) + 1, rate):
      windows.append(audio.cut(speech, start, of.config.dataset.window_samples))
      record.append(i)
  _, logits = sampler.listen(np.stack(windows))
  scores, records = np.asarray(jax.nn.log_softmax(logits)), np.array(record)
  pooled = np.stack([scores[records == i].mean(0) for i in of.chosen])
  seconds = (scores.argmax(1) == of.records.identity[records]).mean()
  return float(seconds), float((pooled.argmax(1) == of.identity).mean())
