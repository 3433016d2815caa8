"""Wav2Pix from the command line: flags, then one call.

python main.py --config=configs/base.py
python main.py --mode=sample --workdir=runs/base --speech=speech.wav
"""

import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.runtime.allocator import keep_freed_memory

MODES = {  # and the flags that go with each
  "train": ("config", "workdir", "dry_run", "distributed"),
  "sample": ("workdir", "speech", "num_draws", "seed", "out"),
  "evaluate": ("workdir", "split", "num_draws", "noise", "vgg_face", "out"),
  "figures": ("workdir", "compare", "split", "out"),
  "ablate": ("config", "out"),
  "import": ("generator", "discriminator", "workdir"),
  "export": ("workdir", "out"),
}
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # as JAX's errors begin

config_flags.DEFINE_config_file(
  "config", None, "train: the config, as configs/base.py; ablate: configs/ablations.py."
)
flags.DEFINE_enum("mode", "train", MODES, "What to do.")
flags.DEFINE_string("workdir", None, "Where the run lives; train: runs/<config's name>.")
flags.DEFINE_bool("dry_run", False, "train: only say what the config makes; touch no data.")
flags.DEFINE_bool("distributed", False, "train: as one of several processes.")
flags.DEFINE_string("speech", None, "sample: a recording, or a folder of recordings.")
flags.DEFINE_integer(
  "num_draws",
  None,
  "Faces for each second of speech; sample: 1; evaluate: 3.",
  lower_bound=1,
)
flags.DEFINE_integer("seed", 0, "sample: of the drawings.", lower_bound=0, upper_bound=2**32 - 1)
flags.DEFINE_string(
  "out",
  None,
  "Folder; sample: samples; evaluate: the workdir; figures, export: figures/, export/ in it; "
  "ablate: runs/ablations.",
)
flags.DEFINE_enum(
  "split", "validation", ("train", "validation", "test", "unseen"), "evaluate, figures: of what."
)
flags.DEFINE_string("noise", None, "evaluate: in the speech, KIND:DECIBELS as babble:10; silence.")
flags.DEFINE_string("vgg_face", None, "evaluate: vgg_face.mat, for the paper's identity accuracy.")
flags.DEFINE_multi_string("compare", [], "figures: workdirs of other runs, a flag for each.")
flags.DEFINE_string("generator", None, "import: .npz, .safetensors, or .pth with PyTorch.")
flags.DEFINE_string("discriminator", None, "import: the same.")
FLAGS = flags.FLAGS


def main(argv: list[str]) -> None:
  """Does what --mode says.

  Raises:
    UserError: flags that do not fit the mode.
  """
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; flags begin with --, see --help.")
  keep_freed_memory()
  cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "wav2pix_jax", "compiled").expanduser()
  os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1")

  for name in sorted(set().union(*MODES.values()) - set(MODES[FLAGS.mode])):
    if FLAGS[name].present:
      raise UserError(f"--{name} does not go with --mode={FLAGS.mode}.")
  verbs = {
    "train": _train,
    "sample": _sample,
    "evaluate": _evaluate,
    "figures": _figures,
    "ablate": _ablate,
    "import": _import,
    "export": _export,
  }
  verbs[FLAGS.mode]()


def _train() -> None:
  _need("config", "configs/base.py")
  name = Path(config_flags.get_config_filename(FLAGS["config"])).stem
  from wav2pix_jax.runtime import distributed, preemption
  from wav2pix_jax.train import check, train

  if FLAGS.dry_run:
    from wav2pix_jax.dry_run import dry_run

    check(FLAGS.config)
    dry_run(FLAGS.config)
    return
  if FLAGS.distributed:
    distributed.join()
    if not distributed.is_first():
      sys.stdout = open(os.devnull, "w")  # noqa: SIM115, one process speaks for all
  try:
    train(FLAGS.config, Path(FLAGS.workdir or Path("runs", name)))
  except preemption.Stopped as stopped:
    _leave(f"{stopped}; the same command goes on from there.", stopped.status, "stopped")


def _sample() -> None:
  _need("workdir", "RUN")
  _need("speech", "FILE or FOLDER")
  from wav2pix_jax.sample import sample

  out = Path(FLAGS.out or "samples")
  sample(Path(FLAGS.workdir), Path(FLAGS.speech), FLAGS.num_draws or 1, FLAGS.seed, out)


def _evaluate() -> None:
  _need("workdir", "RUN")
  from wav2pix_jax.evaluate import evaluate
  from wav2pix_jax.metrics import evaluation_set, noise

  added = noise.parse(FLAGS.noise) if FLAGS.noise else None
  vgg = Path(FLAGS.vgg_face) if FLAGS.vgg_face else None
  draws = FLAGS.num_draws or evaluation_set.DRAWS
  evaluate(Path(FLAGS.workdir), FLAGS.split, Path(FLAGS.out or FLAGS.workdir), vgg, added, draws)


def _figures() -> None:
  _need("workdir", "RUN")
  from wav2pix_jax.figures import figures

  workdir = Path(FLAGS.workdir)
  out = Path(FLAGS.out or workdir / "figures")
  figures(workdir, list(map(Path, FLAGS.compare)), FLAGS.split, out)


def _ablate() -> None:
  _need("config", "configs/ablations.py")
  from wav2pix_jax.ablate import ablate

  ablate(FLAGS.config, Path(FLAGS.out or "runs/ablations"))


def _import() -> None:
  for name in ("generator", "discriminator"):
    _need(name, "FILE")
  _need("workdir", "NEW")
  from configs import release
  from wav2pix_jax.weights.import_weights import import_release

  generator, discriminator = Path(FLAGS.generator), Path(FLAGS.discriminator)
  import_release(generator, discriminator, Path(FLAGS.workdir), release.get_config())


def _export() -> None:
  _need("workdir", "RUN")
  from wav2pix_jax.weights.export import export

  export(Path(FLAGS.workdir), Path(FLAGS.out or Path(FLAGS.workdir, "export")))


def _need(flag: str, example: str) -> None:
  if FLAGS[flag].value is None:
    raise UserError(f"--{flag} is missing; --mode={FLAGS.mode} needs --{flag}={example}.")


def run(argv: list[str]) -> None:
  """`main`, with one line and exit status 2 for what the user can mend."""
  signal.signal(signal.SIGTERM, _interrupt)  # training has its own way to stop
  # What fails in a library's thread is raised again where its work is waited for: once is enough.
  threading.excepthook = lambda args: None
  sys.unraisablehook = lambda args: None
  warnings.filterwarnings("ignore", "coroutine .* was never awaited")  # a save given up
  logging.set_verbosity(logging.FATAL)
  try:
    main(argv)
  except UserError as error:
    _leave(str(error))
  except OSError as error:
    _leave(f"{error.filename or 'a file'}: {error.strerror or error}.")
  except RuntimeError as error:
    reason = str(error).partition("\n")[0]
    if not reason.startswith(OUT_OF_MEMORY):
      raise
    _leave(
      f"a device has too little memory ({reason}); see that nothing else uses it, or train with a "
      "smaller --config.batch_size."
    )
  except KeyboardInterrupt as error:
    goes_on = "; the same command goes on from its last checkpoint, if it has one"
    line = f"--mode={FLAGS.mode}{goes_on if FLAGS.mode == 'train' else ''}."
    _leave(line, 128 + (error.args[0] if error.args else signal.SIGINT), "interrupted")


def _interrupt(number, frame):
  raise KeyboardInterrupt(number)


def parse(argv: list[str]) -> list[str]:
  """Sets the flags and loads the config; what is wrong with them as in `run`."""
  try:
    rest = FLAGS(argv)
    _ = FLAGS.config and FLAGS.config.is_locked  # a file that did not load says so when touched
    return rest
  except flags.Error as error:
    _leave(f"{' '.join(str(error).split())}; see --help.")
  except Exception as error:  # noqa: BLE001, whatever a config file raises
    last = str(error).strip().splitlines()[-1].strip()
    if isinstance(error, AttributeError | KeyError) and last[0] in "\"'":  # of a locked config
      _leave(f"no config field {last.strip(chr(34))}; configs/base.py has them all.")
    _leave(f"--config cannot be loaded ({last}).")


def _leave(line: str, status: int = 2, what: str = "error") -> NoReturn:
  print(f"{what}: {line}", file=sys.stderr, flush=True)
  if FLAGS.is_parsed() and FLAGS.distributed and what != "stopped":
    os._exit(status)  # an orderly exit waits for the other processes, which wait for this one
  sys.exit(status)


if __name__ == "__main__":
  app.run(run, flags_parser=parse)
