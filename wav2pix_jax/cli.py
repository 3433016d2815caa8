"""The command line: flags, then one call.

wav2pix --config=demo
wav2pix --mode=sample --workdir=runs/demo --speech=speech.wav
"""

import logging as standard_logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import expanded

CONFIGS = Path(__file__).parent / "configs"
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # JAX's errors begin with it
FLAGS = flags.FLAGS
TRACEBACK = "Traceback (most recent call last)"
TRAIN, DOCTOR, ABLATE = "train", "doctor", "ablate"


def _train() -> None:
  from wav2pix_jax.runtime import device, distributed
  from wav2pix_jax.runtime.allocator import keep_freed_memory
  from wav2pix_jax.runtime.preemption import Stopped
  from wav2pix_jax.train import check, train

  config = FLAGS.config
  if FLAGS.dry_run:
    from wav2pix_jax.dry_run import dry_run

    check(config)
    dry_run(config)
    return
  keep_freed_memory()
  if FLAGS.distributed:
    distributed.join()
    if not distributed.is_first():
      sys.stdout = open(os.devnull, "w")  # noqa: SIM115, only the first process prints
  device.announce()
  name = Path(config_flags.get_config_filename(FLAGS["config"])).stem
  try:
    workdir = _path("workdir") or Path("runs", name)
    train(config, workdir, FLAGS.profile, _path("init"))
  except Stopped as stopped:
    _leave(f"{stopped}; the same command resumes from there.", stopped.status, "stopped")


def _sample() -> None:
  from wav2pix_jax.sample import sample

  out = _path("out") or Path("samples")
  sample(_weights(), _path("speech"), FLAGS.num_draws or 1, FLAGS.seed, out, FLAGS.pool)


def _video() -> None:
  from wav2pix_jax.video import video

  out = _path("out") or Path("videos")
  faces = FLAGS.num_draws or 1, FLAGS.seed, FLAGS.fps, FLAGS.blend
  video(_weights(), _path("speech"), *faces, out)


def _evaluate() -> None:
  from wav2pix_jax import evaluate
  from wav2pix_jax.metrics import evaluation_set, noise

  workdir, faces, out = _path("workdir"), _path("faces"), _path("out")
  added = noise.parse(FLAGS.noise) if FLAGS.noise else None
  if workdir:
    _refuse("--workdir was given, whose faces are sampled", "config", "faces", "list")
    draws = FLAGS.num_draws or evaluation_set.DRAWS
    evaluate.evaluate(workdir, FLAGS.split, out or workdir, _path("vgg_face"), added, draws)
    return
  if not FLAGS.config or bool(faces) == FLAGS.list:
    raise UserError(
      "--mode=evaluate needs --workdir=RUN, or --config=FILE with --list or --faces=FOLDER."
    )
  _refuse("no --workdir was given", "num_draws", "vgg_face")
  if faces:
    evaluate.evaluate_faces(faces, FLAGS.config, FLAGS.split, out or faces, added)
  else:
    evaluate.list_clips(FLAGS.config, FLAGS.split, out or Path("clips_to_draw"), added)


def _refuse(why: str, *names: str) -> None:
  """Raises UserError if one of the flags was given."""
  for name in names:
    if FLAGS[name].present:
      raise UserError(f"{why}; --{name} does not go with that.")


def _figures() -> None:
  from wav2pix_jax.reports.paper_figures import figures

  workdir = _path("workdir")
  compare = [expanded(path) for path in FLAGS.compare]
  figures(workdir, compare, FLAGS.split, _path("out") or workdir / "figures")


def _ablate() -> None:
  from wav2pix_jax.ablate import ablate

  ablate(FLAGS.config, _path("out") or Path("runs/ablations"))


def _import() -> None:
  from wav2pix_jax.configs import release
  from wav2pix_jax.weights.import_weights import import_weights

  files = _path("generator"), _path("discriminator")
  import_weights(*files, _path("workdir"), release.get_config())


def _export() -> None:
  from wav2pix_jax.weights.export import export

  workdir = _path("workdir")
  export(workdir, _path("out") or workdir / "export")


def _demo() -> None:
  from wav2pix_jax.demo import demo

  demo(_weights(), FLAGS.host, FLAGS.port)


def _doctor() -> None:
  from wav2pix_jax.doctor import doctor
  from wav2pix_jax.runtime import run_config

  workdir = _path("workdir")
  if workdir and FLAGS.config:
    raise UserError("--config and --workdir were given; --mode=doctor looks at the data of one.")
  config = run_config.read(workdir)[0] if workdir else FLAGS.config
  doctor(config, workdir)


# Each mode with its function, the flags that it needs with an example, and those that it may have.
MODES: dict[str, tuple[Callable[[], None], dict[str, str], tuple[str, ...]]] = {
  TRAIN: (_train, {"config": "demo"}, ("workdir", "init", "dry_run", "distributed", "profile")),
  "sample": (
    _sample,
    {"speech": "FILE or FOLDER"},
    ("workdir", "num_draws", "seed", "pool", "out"),
  ),
  "video": (
    _video,
    {"speech": "FILE or FOLDER"},
    ("workdir", "num_draws", "seed", "fps", "blend", "out"),
  ),
  "demo": (_demo, {}, ("workdir", "host", "port")),
  "evaluate": (
    _evaluate,
    {},
    ("workdir", "config", "faces", "list", "split", "num_draws", "noise", "vgg_face", "out"),
  ),
  "figures": (_figures, {"workdir": "RUN"}, ("compare", "split", "out")),
  ABLATE: (_ablate, {"config": "ablations"}, ("out",)),
  "import": (_import, {"generator": "FILE", "discriminator": "FILE", "workdir": "NEW"}, ()),
  "export": (_export, {"workdir": "RUN"}, ("out",)),
  DOCTOR: (_doctor, {}, ("config", "workdir")),
}

config_flags.DEFINE_config_file(
  "config",
  None,
  "train, ablate, evaluate, doctor: a config file, or the name of one that ships: "
  f"{', '.join(sorted(path.stem for path in CONFIGS.glob('[a-z]*.py')))}. "
  "--config.FIELD=VALUE overrides a field.",
)
flags.DEFINE_enum("mode", TRAIN, MODES, "What to do.")
flags.DEFINE_string(
  "workdir",
  None,
  "The run's directory; if not given, train: runs/<name of the config>, sample, video and demo: "
  "the weights that ship.",
)
flags.DEFINE_string(
  "init",
  None,
  "train: a workdir to start from, also of other speakers: all but the softmax layer is kept.",
)
flags.DEFINE_bool("dry_run", False, "train: print what the config needs, without touching data.")
flags.DEFINE_bool("distributed", False, "train: be one of several processes.")
flags.DEFINE_integer(
  "profile", 0, "train: profile this many steps after the first 20.", lower_bound=0
)
flags.DEFINE_string("speech", None, "sample, video: a recording, or a folder of recordings.")
flags.DEFINE_integer(
  "num_draws",
  None,
  "Faces per second of speech, in a video side by side; sample, video: 1, evaluate: 3.",
  lower_bound=1,
)
flags.DEFINE_integer(
  "seed", 0, "sample, video: seed of the faces.", lower_bound=0, upper_bound=2**32 - 1
)
flags.DEFINE_bool(
  "pool", False, "sample: one face per recording, from the mean of its seconds' embeddings."
)
flags.DEFINE_float("fps", 25, "video: frames per second.", lower_bound=1, upper_bound=240)
flags.DEFINE_float(
  "blend",
  0,
  "video: seconds; changes of the predicted speaker that are briefer are cross-faded.",
  lower_bound=0,
  upper_bound=60,
)
flags.DEFINE_string("host", "127.0.0.1", "demo: the address to serve, 0.0.0.0 for all networks.")
flags.DEFINE_integer("port", 7860, "demo: the port to serve.", lower_bound=1, upper_bound=65_535)
flags.DEFINE_string(
  "out",
  None,
  "The directory for results; sample: samples, video: videos, evaluate: the workdir or the "
  "folder of faces, with --list clips_to_draw, figures and export: figures and export in the "
  "workdir, ablate: runs/ablations.",
)
flags.DEFINE_enum(
  "split",
  "validation",
  ("train", "validation", "test", "unseen"),
  "evaluate, figures: the split whose speech is used.",
)
flags.DEFINE_string(
  "noise", None, "evaluate: noise in the speech, KIND:DECIBELS such as babble:10, or silence."
)
flags.DEFINE_string(
  "faces", None, "evaluate: a folder of faces that another system drew, <clip>_<draw>.png."
)
flags.DEFINE_bool("list", False, "evaluate: write the speech of the clips to draw faces for.")
flags.DEFINE_string("vgg_face", None, "evaluate: vgg_face.mat, for the paper's identity accuracy.")
flags.DEFINE_multi_string("compare", [], "figures: a workdir of another run; may be repeated.")
flags.DEFINE_string("generator", None, "import: .npz, .safetensors, or with PyTorch .pth.")
flags.DEFINE_string("discriminator", None, "import: as --generator.")


def run(argv: list[str]) -> None:
  """Does what --mode says; a `UserError` becomes one line and exit status 2."""
  signal.signal(signal.SIGTERM, _interrupt)  # training replaces it with its own handler
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="backslashreplace")  # file names can be arbitrary bytes
  if not FLAGS["verbosity"].present:
    logging.set_verbosity(logging.ERROR)  # of libraries, which report their progress otherwise
    standard_logging.getLogger("jax").setLevel("WARNING")  # such as a GPU that it cannot start
  try:
    if argv[1:]:
      raise UserError(f"unexpected argument {argv[1]!r}; flags begin with --, see --help.")
    function, needed, allowed = MODES[FLAGS.mode]
    known = {name for _, needs, others in MODES.values() for name in (*needs, *others)}
    for name in sorted(known - {*needed, *allowed}):
      if FLAGS[name].present:
        raise UserError(f"--{name} does not go with --mode={FLAGS.mode}.")
    for name, example in needed.items():
      if FLAGS[name].value is None:
        raise UserError(f"--{name} is missing; --mode={FLAGS.mode} needs --{name}={example}.")
    _keep_compiled_programs()
    # Some say it themselves, or in the processes that they start, which need the GPU's memory.
    if FLAGS.mode not in (TRAIN, DOCTOR, ABLATE):
      from wav2pix_jax.runtime import device
      from wav2pix_jax.runtime.allocator import keep_freed_memory

      keep_freed_memory()
      device.announce()
    function()
  except UserError as error:
    _leave(str(error), error.status)
  except RuntimeError as error:
    reason = str(error).partition("\n")[0]
    if not reason.startswith(OUT_OF_MEMORY):
      raise
    _leave(
      f"a device has too little memory ({reason}); see that nothing else uses it, or train with a "
      "smaller --config.batch_size."
    )
  except KeyboardInterrupt as error:
    resumes = "; the same command resumes from its last checkpoint, if it has one"
    line = f"--mode={FLAGS.mode}{resumes if FLAGS.mode == TRAIN else ''}."
    _leave(line, 128 + (error.args[0] if error.args else signal.SIGINT), "interrupted")


def parse(argv: list[str]) -> list[str]:
  """Sets the flags and loads the config; reports errors in them in one line."""
  try:
    argv = _with_paths_of_configs(argv)
  except UserError as error:
    _leave(str(error))
  sys.argv[:] = argv  # config_flags reads overrides from there
  try:
    rest = FLAGS(argv)
    _ = FLAGS.config and FLAGS.config.is_locked  # raises what loading the file raised
    return rest
  except flags.Error as error:
    message = str(error)
    if TRACEBACK in message:  # of a config file
      message = f"--config cannot be loaded ({message.strip().splitlines()[-1].strip()})"
    _leave(f"{' '.join(message.split())}; see --help.")
  except Exception as error:  # noqa: BLE001, a config file may raise anything
    message = str(error.args[0] if error.args else error).strip() or type(error).__name__
    place, unknown = _place(error), re.match(r"['\"]+(\w+)['\"]+", message)
    if unknown and not place:  # an override of a locked config
      _leave(f"no config field {unknown[1]!r}; configs/base.py has all fields.")
    last = message.splitlines()[-1].strip()
    if len(last) > 240:  # it has all fields in it
      last = f"{last[:120]} ... {last[-80:]}"
    _leave(f"--config cannot be loaded ({place}{type(error).__name__}: {last}).")


def _with_paths_of_configs(argv: list[str]) -> list[str]:
  """Returns arguments with a path in `--config=PATH` and in `--config PATH`, see `config_path`."""
  changed = list(argv)
  for i, argument in enumerate(argv):
    flag, equals, name = argument.partition("=")
    if flag not in ("--config", "-config"):
      continue
    if equals:
      changed[i] = f"{flag}={config_path(name)}"
    elif i + 1 < len(argv):
      changed[i + 1] = str(config_path(argv[i + 1]))
  return changed


def config_path(name: str) -> Path:
  """Returns the path of the config that ships under a name, unless there is a file of that name."""
  path = expanded(name)
  shipped = CONFIGS / f"{name}.py"
  return shipped if shipped.is_file() and not path.is_file() else path


def _place(error: Exception) -> str:
  """Returns file and line of an error in somebody's config; empty if it is not in a file."""
  if isinstance(error, SyntaxError) and error.filename:
    return f"{error.filename}, line {error.lineno}: "
  frames = traceback.extract_tb(error.__traceback__)
  own = [f for f in frames if f.filename.endswith(".py") and "/ml_collections/" not in f.filename]
  inside = [f for f in own if f.filename != __file__ and "absl" not in Path(f.filename).parts]
  return f"{inside[-1].filename}, line {inside[-1].lineno}: " if inside else ""


def _path(flag: str) -> Any:
  """Returns a flag's value as a path, with `~` expanded; None if it was not given."""
  value = FLAGS[flag].value
  return expanded(value) if value else None


def _weights() -> Path:
  """Returns the workdir to sample from: the one that is given, or the weights that ship."""
  from wav2pix_jax.runtime import pretrained

  return _path("workdir") or pretrained.SHIPPED


def _keep_compiled_programs() -> None:
  """Keeps programs that XLA compiled for the next start, if there is a directory for caches."""
  try:
    caches = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
  except RuntimeError:  # there is no home directory
    return
  os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(caches / "wav2pix_jax" / "compiled"))
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1")


def _interrupt(number, frame):
  raise KeyboardInterrupt(number)


def _leave(line: str, status: int = 2, what: str = "error") -> NoReturn:
  print(f"{what}: {line}", file=sys.stderr, flush=True)
  if FLAGS.is_parsed() and FLAGS.distributed and what != "stopped":
    os._exit(status)  # an orderly exit waits for the other processes, which wait for this one
  sys.exit(status)


def main() -> None:
  """The command `wav2pix`."""
  here = FLAGS.find_module_defining_flag("mode")
  for flag in FLAGS.get_flags_for_module(here):  # --help lists the flags of the main script alone
    FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  app.run(run, flags_parser=parse)


if __name__ == "__main__":
  main()
