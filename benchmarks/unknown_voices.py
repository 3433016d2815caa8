"""Measures whether a run knows voices from unknown ones, and speech from what is none.

python -m benchmarks.unknown_voices --workdir=runs/demo

For runs on the synthetic speakers: they say something new (dataset seed 2), and so do others, whom
the run has never heard. The score of a recording is the largest probability of a speaker, averaged
over its seconds.
"""

import functools
from pathlib import Path

import jax
import numpy as np
import tqdm
from scipy import stats

from benchmarks import turns
from data_builders.synthetic import clips, voice
from data_builders.synthetic.identity import Person, people
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.workers import workers
from wav2pix_jax.runtime import checkpoint
from wav2pix_jax.sampler import FAMILIAR, sampling_keys

SEED = 2
OTHERS = 30  # unknown speakers
UTTERANCES = 20  # of each speaker, of which a second is heard
RECORDINGS = (1, 4, 10)  # seconds of utterances, one after the other


def main() -> None:
  """Runs the command line."""
  parser = turns.parser(__doc__, rounds=False)
  parser.add_argument("--workdir", type=Path, required=True)
  flags = parser.parse_args()
  run = checkpoint.load(flags.workdir)
  synthetic, window = run.config.dataset.synthetic, run.config.dataset.window_samples
  everyone = people(synthetic.identities + OTHERS, synthetic.seed, synthetic.share)
  with workers(len(everyone)) as pool:
    speak = functools.partial(_seconds, window=window)
    spoken = list(tqdm.tqdm(pool.map(speak, everyone), "Speaking", len(everyone)))
  windows = np.concatenate(spoken)
  _, logits = run.sampler.sample(windows, sampling_keys(0, "", np.arange(len(windows)), 0))
  score = np.asarray(jax.nn.softmax(logits)).max(-1).reshape(len(everyone), UTTERANCES)
  figures = {}
  for seconds in RECORDINGS:
    mean = score[:, : UTTERANCES // seconds * seconds].reshape(len(everyone), -1, seconds).mean(-1)
    known, unknown = mean[: synthetic.identities].ravel(), mean[synthetic.identities :].ravel()
    figures[f"recordings of {seconds} s"] = {
      "auroc": float(stats.mannwhitneyu(known, unknown).statistic / known.size / unknown.size),
      "known in doubt": float((known < FAMILIAR).mean()),
      "unknown in doubt": float((unknown < FAMILIAR).mean()),
    }
  none = float(np.mean([bool(audio.unlike_speech(window)) for window in windows]))
  turns.show(figures)
  print(f"\n{none:.1%} of {len(windows)} seconds of speech are taken for silence or noise.\n")
  sounds = no_speech(window)
  found = {
    name: " or ".join(sorted(set(run.sampler.doubts(sound, schema.SAMPLE_RATE)))) or "no doubt"
    for name, sound in sounds.items()
  }
  turns.show({name: {"": doubt} for name, doubt in found.items()})
  turns.write(flags.json, {"recordings": figures, "speech_in_doubt": none, "sounds": found})


def no_speech(window: int) -> dict[str, np.ndarray]:
  """Returns sounds that are no speech, int16 [window], by name."""
  rng, times = np.random.default_rng(0), np.arange(window) / schema.SAMPLE_RATE
  beats = np.exp(-12 * (4 * times % 1))
  notes = sum(np.sin(2 * np.pi * hertz * times) for hertz in (262, 330, 392, 523))
  return {
    name: (3_000 * sound).astype(np.int16)
    for name, sound in {
      "silence": np.zeros(window),
      "50 samples": np.where(np.arange(window) < 50, rng.standard_normal(window), 0),
      "white noise": rng.standard_normal(window),
      "pink noise": audio.coloured_noise(window, 0.5, rng),
      "brown noise": audio.coloured_noise(window, 1.0, rng),
      "a tone": np.sin(2 * np.pi * 440 * times),
      "hum": np.sign(np.sin(2 * np.pi * 50 * times)),
      "chords": np.asarray(notes) * beats,
      "drums": rng.standard_normal(window) * beats,
    }.items()
  }


def _seconds(person: Person, window: int) -> np.ndarray:
  """Returns what a speaker says, int16 [UTTERANCES, window]."""
  spoken = []
  for number in range(UTTERANCES):
    said, _, rng = clips.say(person, number, SEED)
    recorded = voice.record(said.samples, person.microphone, rng)
    spoken.append(audio.cut(recorded, (len(recorded) - window) // 2, window))
  return np.stack(spoken)


if __name__ == "__main__":
  main()
