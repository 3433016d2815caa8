"""Ablations: runs that differ in one thing, for the paper's findings and each part of the recipe.

python main.py --mode=ablate --config=configs/ablations.py

The runs are small: the networks of `demo` for 600 steps. Time: 46 minutes on two cores of an AMD
EPYC (JAX 0.10.2, 2026-11-26), further seeds included, before the rows on matching and moments were
added. The results are in docs/results.md.

Full size, for a GPU, never run: --config.config=base
--config.flags="('image_size=128',)".
"""

from ml_collections import ConfigDict

NOISES = ("white:10", "white:0", "music:0", "babble:0", "silence")


def get_config() -> ConfigDict:
  """Returns the runs of `--mode=ablate`; the config is locked."""
  config = ConfigDict()
  config.config = "demo"  # for runs that do not name their own
  config.flags = (  # for all runs
    "num_steps=600",
    "log_every=100",
    "eval_every=600",
    "save_every=600",
  )
  config.num_draws = 1  # per chunk of speech
  config.seeds = 2  # of the first run, and of runs with overlapping intervals
  config.runs = runs = ConfigDict(sort_keys=False)  # one row each, in this order
  runs.base = _run("as it is: 1000 ms, 64 px", noises=NOISES)
  runs.ms_700 = _run("700 ms", "dataset.window_samples=11_200")
  runs.ms_300 = _run("300 ms", "dataset.window_samples=4_800")
  runs.px_128 = _run("128 px", "image_size=128")
  runs.paper = _run("paper.py", *_demo_in(), config="paper")
  runs.release = _run("release.py", *_demo_in(), config="release")
  runs.waveform = _run("the paper's encoder", "model.encoder=waveform")
  runs.no_noise = _run("dropout instead of noise", "model.noise=0", "model.dropout=0.3")
  runs.no_adversarial = _run("without D's scores", "loss.adversarial=0.0")
  runs.no_mismatched = _run("without mismatched faces", "loss.mismatched=0.0")
  runs.no_matching = _run("without matching speech and faces", "loss.matching=0.0")
  runs.no_moment = _run("without mismatched moments", "loss.mismatched_moment=0.0")
  runs.no_features = _run("without feature matching", "loss.feature_matching=0.0")
  runs.no_pixels = _run("without L1 and energy score", "loss.l1=0.0")
  runs.no_energy = _run("L1 without energy score", "loss.energy_score=False")
  runs.no_softmax = _run("without auxiliary softmax", "loss.softmax=0.0")
  runs.g_spectral = _run("spectral norm in G, too", "model.generator_spectral_norm=True")
  runs.d_plain = _run(
    "no spectral norm in D",
    "model.discriminator_spectral_norm=False",
    "model.discriminator_last_spectral_norm=False",
  )
  runs.distort = _run("trained on distorted speech", "dataset.distort=True", noises=NOISES)
  runs.unseen = _run(
    "speakers left out of training: two women, two men",
    "dataset.unseen=('diana','elsa','ivan','jon')",
    split="unseen",
  )
  return config.lock()


def _run(
  title: str, *flags: str, config: str = "", split: str = "test", noises: tuple[str, ...] = ()
) -> ConfigDict:
  """Returns a row of the table: a title, and the fields that differ, with their values.

  The config is empty if it is the common one. The split's speech is also evaluated with noises.
  """
  fields = {"flags": flags, "config": config, "split": split, "noises": noises}
  return ConfigDict({"title": title, **fields})


def _demo_in() -> tuple[str, ...]:
  """Returns the fields that make another recipe as small as `demo`, with its speakers."""
  return (
    "dataset.name=synthetic",
    "image_size=64",
    "batch_size=16",
    "model.encoder_widths=(16,32,64,128,256,512)",
    "model.generator_width=32",
    "model.discriminator_width=32",
  )
