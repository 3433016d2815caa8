"""Wav2Pix from the command line: flags, then one call.

python main.py --config=configs/base.py --config.dataset.source=PATH
python main.py --mode=sample --workdir=runs/base --speech=speech.wav
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from wav2pix_jax.errors import UserError

MODES = ("train", "sample")
SAMPLE_FLAGS = ("speech", "num_draws", "seed", "out")

config_flags.DEFINE_config_file("config", None, "train: the config, as configs/base.py.")
flags.DEFINE_enum("mode", "train", MODES, "What to do.")
flags.DEFINE_string("workdir", None, "Where the run lives; default: runs/<config's name>.")
flags.DEFINE_string("speech", None, "sample: a recording, or a folder of recordings.")
flags.DEFINE_integer("num_draws", 1, "sample: faces for each second of speech.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "sample: of the drawings.", lower_bound=0, upper_bound=2**32 - 1)
flags.DEFINE_string("out", "samples", "sample: folder for the pictures.")
FLAGS = flags.FLAGS


def main(argv: list[str]) -> None:
  """Does what --mode says.

  Raises:
    UserError: flags that do not fit the mode.
  """
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; flags begin with --, see --help.")
  cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "wav2pix_jax", "compiled").expanduser()
  os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1")
  logging.set_verbosity(logging.ERROR)  # the libraries' own progress; ours is printed

  other = {"train": SAMPLE_FLAGS, "sample": ["config"]}[FLAGS.mode]
  for name in other:
    if FLAGS[name].present:
      raise UserError(f"--{name} does not go with --mode={FLAGS.mode}.")
  if FLAGS.mode == "train":
    if FLAGS.config is None:
      raise UserError("--config is missing; name one, as --config=configs/base.py.")
    from wav2pix_jax.train import train

    name = Path(config_flags.get_config_filename(FLAGS["config"])).stem
    train(FLAGS.config, Path(FLAGS.workdir or Path("runs", name)))
  else:
    if FLAGS.workdir is None or FLAGS.speech is None:
      raise UserError("--mode=sample needs --workdir=RUN and --speech=FILE or FOLDER.")
    from wav2pix_jax.sample import sample

    sample(Path(FLAGS.workdir), Path(FLAGS.speech), FLAGS.num_draws, FLAGS.seed, Path(FLAGS.out))


def run(argv: list[str]) -> None:
  """`main`, with one line and exit status 2 for what the user can mend."""
  try:
    main(argv)
  except UserError as error:
    _leave(str(error))
  except OSError as error:
    _leave(f"{error.filename or 'a file'}: {error.strerror or error}.")
  except KeyboardInterrupt:
    _leave(
      "interrupted; started again, training goes on from its last checkpoint, if it has one.", 130
    )


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
    if isinstance(error, AttributeError) and last.startswith('"'):  # what a locked config raises
      _leave(f"no config field {last.strip(chr(34))}; configs/base.py has them all.")
    _leave(f"--config cannot be loaded ({last}).")


def _leave(line: str, status: int = 2) -> NoReturn:
  print(f"error: {line}", file=sys.stderr)
  sys.exit(status)


if __name__ == "__main__":
  app.run(run, flags_parser=parse)
