"""Turns channels into clips, and folders into pairs: python -m data_builders.prepare --help."""

import argparse
import math
import sys

from data_builders import command
from data_builders.prepare import curate, cut, cut_all, download, on_beam, pairs
from wav2pix_jax.common import schema


def main(arguments: list[str] | None = None) -> int:
  """Runs the command line.

  Returns:
    The exit status: 0 for success, 1 if some videos or channels had problems, which are listed, 2
    for an error of the user, and 130 for Ctrl-C.
  """
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="backslashreplace")  # file names can be arbitrary bytes
  parser = _parser()
  flags, others = parser.parse_known_args(arguments)
  if others and not getattr(flags, "runner", None):
    parser.error(f"unrecognized arguments: {' '.join(others)}")
  return command.exit_status(lambda: flags.run(flags, others))


def _download(flags: argparse.Namespace, _: list[str]) -> int:
  names = ("cookies_from_browser", "cookies", "proxy", "sleep_interval")
  given = {name.replace("_", "-"): getattr(flags, name) for name in names}
  more = download.passed_on([f"--{name}={value}" for name, value in given.items() if value])
  reports = download.download(flags.channels, flags.out, flags.videos, more)
  print(download.summary(reports, flags.out))
  return int(any(report.problems for report in reports))


def _clips(flags: argparse.Namespace, beam_flags: list[str]) -> int:
  settings = cut.Settings(flags.rate, flags.confidence, flags.frames, flags.speech_seconds)
  run: cut_all.Run = cut_all.run_here
  if flags.runner:
    run = on_beam.run_on([f"--runner={flags.runner}", *beam_flags], flags.out)
  reports = cut_all.make(flags.videos, flags.out, settings, run)
  print(cut_all.summary(reports, flags.out))
  return int(any(report.problem for report in reports))


def _curate(flags: argparse.Namespace, _: list[str]) -> int:
  limits = curate.LIMITS | dict(flags.limit)
  curated = curate.curate(flags.clips, limits, flags.decisions, flags.review)
  print(curate.summary(curated, flags.clips))
  if flags.review:
    print(f"Open {flags.clips / curate.REVIEW} in a browser.")
  return 0


def _pairs(flags: argparse.Namespace, _: list[str]) -> int:
  report = pairs.make(flags.faces, flags.speech, flags.out, flags.align)
  print(pairs.summary(report, flags.out))
  return int(bool(report.problems))


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(prog="python -m data_builders.prepare", description=__doc__)
  path = command.path
  commands = parser.add_subparsers(required=True, metavar="COMMAND")

  add = _command(commands, "download", _download, "download the videos of channels")
  add(
    "--channels",
    type=path,
    required=True,
    help=f"CSV file with {','.join(download.COLUMNS)}",
  )
  add("--out", type=path, required=True, help="folder for the videos")
  add("--videos", type=command.count, default=20, help="most videos per channel (default 20)")
  add("--cookies-from-browser", metavar="BROWSER", help="as in yt-dlp: firefox, chrome, ...")
  add("--cookies", metavar="FILE", help="as in yt-dlp: cookies in Netscape's format")
  add("--proxy", metavar="URL", help="as in yt-dlp")
  seconds = command.checked(float, lambda seconds: 0 <= seconds < math.inf, "a number of seconds")
  sleep = {"dest": "sleep_interval", "metavar": "SECONDS"}
  add("--sleep", type=seconds, help="pause before each video", **sleep)

  about = "cut videos into clips of a face and its speech"
  add = _command(commands, "clips", _clips, about, allow_abbrev=False)  # flags may be Beam's
  add(
    "--videos",
    type=path,
    required=True,
    help="folder with one folder of videos per identity",
  )
  add("--out", type=path, required=True, help="folder for the clips")
  rate = command.checked(float, lambda rate: 0 < rate <= 60, "a rate above 0 and up to 60")
  add("--rate", type=rate, default=1.0, help="pictures searched per second (default 1)")
  confidence = command.checked(float, math.isfinite, "a number")
  add("--confidence", type=confidence, default=3.0, help="least confidence of a face (default 3)")
  length = command.checked(
    float,
    lambda seconds: cut.SHORTEST <= seconds <= schema.CLIP_SECONDS,
    f"a length of {cut.SHORTEST} to {schema.CLIP_SECONDS} seconds",
  )
  add(
    "--speech_seconds",
    type=length,
    default=float(schema.CLIP_SECONDS),
    help="speech around a face, which must be whole (default 4, as in the paper); at least the "
    "window of the training, 1 by default",
  )
  add("--frames", action="store_true", help="keep the whole pictures, too")
  add(
    "--runner",
    help="Apache Beam runner, such as DirectRunner or FlinkRunner, followed by its own flags "
    "(needs the extra beam); all workers need access to both folders. Default: this machine's "
    "cores, without Beam",
  )

  add = _command(commands, "curate", _curate, "select clips by limits on scores and by a review")
  add("--clips", type=path, required=True, help="folder of the clips")
  add("--review", action="store_true", help="write a page for reviewing the clips")
  add("--decisions", type=path, help="file that the review page exported")
  add(
    "--limit",
    type=command.checked(
      _limit,
      lambda limit: limit[0] in curate.LIMITS,
      f"SCORE=NUMBER with a score of {', '.join(curate.LIMITS)}",
    ),
    action="append",
    default=[],
    metavar="SCORE=NUMBER",
    help="replaces a limit; the defaults are "
    + ", ".join(f"{name} {limit}" for name, limit in curate.LIMITS.items()),
  )

  about = "write a table of pictures beside recordings, for the dataset pairs"
  add = _command(commands, "pairs", _pairs, about)
  add("--faces", type=path, required=True, help="folder with a folder of pictures per person")
  add(
    "--speech",
    type=path,
    required=True,
    help="folder with a folder of recordings per person, in which a folder stands for a video",
  )
  add("--out", type=path, required=True, help="the CSV file")
  add("--align", action="store_true", help="crop each picture to its face, as clips does")
  return parser


def _command(commands, name, run, summary, allow_abbrev=True):
  """Adds a command and returns the function that adds its flags."""
  parser = commands.add_parser(name, help=summary, allow_abbrev=allow_abbrev)
  parser.set_defaults(run=run)
  return parser.add_argument


def _limit(text: str) -> tuple[str, float]:
  name, _, limit = text.partition("=")
  return name, float(limit)


if __name__ == "__main__":
  sys.exit(main())
