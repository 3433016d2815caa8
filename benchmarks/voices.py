"""Measures whether an encoder knows people from videos that it never heard.

python -m benchmarks.voices --source=pairs.csv

The encoder and the auxiliary classifier of `configs/voices.py` are trained alone, as in the first
`speaker_steps` of a run, in folds over videos: each video of a person with several is held out
once. Beside them is logistic regression on 30 cepstral coefficients of the log-mel spectrum. A
recording is named by the mean of the logarithmic probabilities of its seconds. Intervals (95%) are
of a bootstrap over recordings.
"""

import ast
import csv
import dataclasses
import functools
import os
import runpy
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from scipy import fft
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import turns
from data_builders.pairs import table
from data_builders.tables import read_table
from wav2pix_jax import cli, data, models
from wav2pix_jax.common import audio, schema
from wav2pix_jax.configs import voices
from wav2pix_jax.models.log_mel_encoder import log_mel
from wav2pix_jax.train_state import create_state
from wav2pix_jax.train_step import speaker_step

HELD_OUT = (schema.VALIDATION, schema.TEST)
CEPSTRA = 30
LOUD = 0.3  # quantile of the frames' levels above which a frame counts
HOP = schema.SAMPLE_RATE // 4  # samples between the windows that the regression learns from
BEST, RESAMPLES = 15, 1000
Name = Callable[[np.ndarray], np.ndarray]  # from windows [N, T] to log probabilities [N, people]


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__, rounds=False)
  parser.add_argument("--source", type=Path, required=True, help="the CSV file of pairs")
  parser.add_argument("--data_dir", type=Path, default=Path("data"))
  parser.add_argument("--folds", type=int, default=3)
  parser.add_argument("--seeds", type=int, default=2)
  parser.add_argument("--steps", type=int, default=voices.get_config().speaker_steps)
  parser.add_argument("--encoders", nargs="*", default=models.ENCODERS)
  parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="of the config")
  flags = parser.parse_args()
  sides: dict[str, Callable[[Any, data.Records], Name]] = {
    "mean and deviation of the log-mel spectrum, logistic regression": regression(_statistics),
    "the same of its cepstra, logistic regression": regression(cepstra),
  }
  for encoder in flags.encoders:
    for seed in range(flags.seeds):
      sides[f"{encoder}, seed {seed}"] = functools.partial(
        _trained, encoder=encoder, seed=seed, steps=flags.steps
      )
  found: dict[str, list[np.ndarray]] = {side: [] for side in sides}
  heard: list[Heard] = []
  for fold in range(flags.folds):
    config = config_of("voices", flags.set)
    config.dataset.pairs.match = table.LINE
    config.dataset.source = str(_fold(flags.source, flags.data_dir, fold, flags.folds))
    config.dataset.data_dir = str(flags.data_dir)
    builder = data.prepare(config.dataset)
    learned = data.load(builder, schema.TRAIN, config.image_size)
    held_out = [data.load(builder, split, config.image_size) for split in HELD_OUT]
    heard.append(_seconds(held_out, sum(len(one.windows) for one in heard)))
    for side, train in sides.items():
      found[side].append(train(config, learned)(heard[-1].windows))
      print(
        f"fold {fold}, {side}: {_accuracy(found[side][-1], heard[-1].identity):.3f}", flush=True
      )
  identity = np.concatenate([one.identity for one in heard])
  recording = np.concatenate([one.recording for one in heard])
  most = _most(flags.source, data.identity_names(builder))
  rows = {
    side: _row(np.concatenate(scores), identity, recording, most) for side, scores in found.items()
  }
  turns.show(rows)
  print(f"{len(identity)} seconds of {len(np.unique(recording))} recordings, {turns.machine()}")
  turns.write(flags.json, {"rows": rows, "steps": flags.steps, "set": flags.set})


def config_of(name: str, fields: Sequence[str]) -> Any:
  """Returns a config by its name or path, with fields set by `FIELD=VALUE`."""
  config = runpy.run_path(str(cli.config_path(name)))["get_config"]()
  for assignment in fields:
    field, _, value = assignment.partition("=")
    try:
      config.update_from_flattened_dict({field: ast.literal_eval(value)})
    except (ValueError, SyntaxError):
      config.update_from_flattened_dict({field: value})
  return config


@dataclasses.dataclass(frozen=True)
class Heard:
  """The seconds that are held out."""

  windows: np.ndarray  # int16 [N, T]
  identity: np.ndarray  # labels, int32 [N]
  recording: np.ndarray  # the number of each one's recording, int [N]


def _fold(source: Path, out: Path, fold: int, folds: int) -> Path:
  """Writes the table with every `folds`-th video of each person held out, and returns its path."""
  lines = [row for _, row in read_table(source, table.COLUMNS, table.OPTIONAL)]
  lines = [row for row in lines if row["split"] != schema.UNSEEN]
  videos: dict[str, list[str]] = {}
  for row in lines:
    own = videos.setdefault(row["identity"], [])
    if row["video"] not in own:
      own.append(row["video"])
  for i, row in enumerate(lines):
    own = videos[row["identity"]]
    held_out = len(own) > 1 and own.index(row["video"]) % folds == fold
    row["split"] = HELD_OUT[i % 2] if held_out else schema.TRAIN  # or TFDS would be asked for both
    for column in ("face", "speech"):
      row[column] = os.path.relpath(source.parent / row[column], out)
  out.mkdir(parents=True, exist_ok=True)
  path = out / f"voices_fold_{fold}_of_{folds}.csv"
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, [*table.COLUMNS, *table.OPTIONAL])
    writer.writeheader()
    writer.writerows(lines)
  return path


def _seconds(held_out: Sequence[data.Records], first: int) -> Heard:
  """Returns the full seconds of all recordings, which are numbered from `first` on."""
  windows, identity, recording = [], [], []
  for records in held_out:
    for i in range(len(records)):
      first += 1
      speech = records.speech_of(i)
      for second in range(len(speech) // schema.SAMPLE_RATE):
        windows.append(audio.cut(speech, second * schema.SAMPLE_RATE, schema.SAMPLE_RATE))
        identity.append(records.identity[i])
        recording.append(first)
  return Heard(np.stack(windows), np.array(identity), np.array(recording))


def _trained(config: Any, records: data.Records, *, encoder: str, seed: int, steps: int) -> Name:
  """Trains an encoder and the classifier as `train` does in its first steps."""
  config = config.copy_and_resolve_references()
  config.unlock()
  config.seed, config.speaker_steps, config.model.encoder = seed, steps, encoder
  networks = models.build(config, int(records.identity.max()) + 1)
  feed = data.Feed(records, config)
  key = jax.random.key(seed)
  state = create_state(config, networks, key)
  step = jax.jit(feed.into(functools.partial(speaker_step, config=config)), donate_argnums=0)
  batches = feed.batches(config.batch_size)
  for _ in tqdm.trange(steps, desc=f"Training {encoder}, seed {seed}", unit=" steps", leave=False):
    state, metrics = step(state, next(batches), (key, feed.resident))
    jax.block_until_ready(metrics)

  @jax.jit
  def name(windows):
    speech = audio.condition(windows, config.dataset.audio_steps)
    variables = state.sampling_variables
    out: Any = networks.generator.apply(variables, speech, False, method="listen")
    return jax.nn.log_softmax(out[1])

  return lambda windows: np.concatenate(
    [np.asarray(name(windows[i : i + 64])) for i in range(0, len(windows), 64)]
  )


def regression(features: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Name]:
  """Returns a function that learns to name people from features of seconds of their speech."""

  def train(config: Any, records: data.Records) -> Name:
    windows, identity = [], []
    for i in range(len(records)):
      speech = records.speech_of(i)
      for start in range(0, len(speech) - schema.SAMPLE_RATE + 1, HOP):
        windows.append(speech[start : start + schema.SAMPLE_RATE])
        identity.append(records.identity[i])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=1000))
    model.fit(features(np.stack(windows)), identity)

    def name(windows: np.ndarray) -> np.ndarray:
      known = np.full((len(windows), int(records.identity.max()) + 1), -30.0)
      known[:, model.classes_] = model.predict_log_proba(features(windows))
      return known

    return name

  return train


def _statistics(windows: np.ndarray) -> np.ndarray:
  mel = _log_mel(windows)
  return np.concatenate([mel.mean(1), mel.std(1)], 1)


def cepstra(windows: np.ndarray) -> np.ndarray:
  """Returns mean and deviation of the cepstra of the louder frames, without the mean's level."""
  cepstra = np.asarray(fft.dct(_log_mel(windows), norm="ortho"))[..., :CEPSTRA]
  level = cepstra[..., :1]
  loud = level > np.quantile(level, LOUD, axis=1, keepdims=True)
  mean = cepstra.mean(1, where=loud)
  return np.concatenate([mean[:, 1:], cepstra.std(1, where=loud)], 1)


def _log_mel(windows: np.ndarray) -> np.ndarray:
  parts = [windows[i : i + 64] for i in range(0, len(windows), 64)]
  return np.concatenate(
    [np.asarray(log_mel(jnp.asarray(audio.normalise_peak(part)))) for part in parts]
  )


def _most(source: Path, names: Sequence[str]) -> np.ndarray:
  """Returns the labels of the people with most lines."""
  rows = read_table(source, table.COLUMNS, table.OPTIONAL)
  count = Counter(row["identity"] for _, row in rows if row["split"] != schema.UNSEEN)
  return np.array([names.index(name) for name, _ in count.most_common(BEST)])


def _row(
  scores: np.ndarray, identity: np.ndarray, recording: np.ndarray, most: np.ndarray
) -> dict[str, str]:
  """Returns the cells of a side: shares of seconds and of recordings that it names right."""
  among = np.isin(identity, most)
  few = np.full_like(scores, -np.inf)
  few[:, most] = scores[:, most]
  of_recordings = [_pooled(scores, identity, recording)]
  of_recordings.append(_pooled(few[among], identity[among], recording[among]))
  parts = (scores, identity, recording), (few[among], identity[among], recording[among])
  row = {}
  for people, seconds, pooled in zip(
    (len(np.unique(identity)), BEST), parts, of_recordings, strict=True
  ):
    row[f"seconds, {people} people"] = _interval(*seconds)
    row[f"recordings, {people} people"] = _interval(*pooled)
  return row


def _pooled(
  scores: np.ndarray, identity: np.ndarray, recording: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the means of the scores over each recording, with its label and its number."""
  numbers, first = np.unique(recording, return_index=True)
  means = np.stack([scores[recording == number].mean(0) for number in numbers])
  return means, identity[first], numbers


def _interval(scores: np.ndarray, identity: np.ndarray, recording: np.ndarray) -> str:
  right = scores.argmax(1) == identity
  numbers = np.unique(recording)
  counts = np.array([(recording == number).sum() for number in numbers])
  hits = np.array([right[recording == number].sum() for number in numbers])
  chosen = np.random.default_rng(0).integers(len(numbers), size=(RESAMPLES, len(numbers)))
  low, high = np.quantile(hits[chosen].sum(1) / counts[chosen].sum(1), (0.025, 0.975))
  return f"{right.mean():.3f} ({low:.3f} to {high:.3f})"


def _accuracy(scores: np.ndarray, identity: np.ndarray) -> float:
  return float((scores.argmax(1) == identity).mean())


if __name__ == "__main__":
  main()
