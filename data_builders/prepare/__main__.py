"""From channels to curated clips: python -m data_builders.prepare VERB --help."""

import argparse
import math
import sys
from pathlib import Path

from data_builders.prepare import curate, cut, cut_all, download, on_beam
from wav2pix_jax.common.errors import UserError


def main(arguments: list[str] | None = None) -> int:
  """The command.

  Returns:
    0 where all is well; 1 where some of it has problems, which are listed, and the rest was done;
    2 for a mistake, with one line; 130 for Ctrl-C.
  """
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="backslashreplace")  # names of files can be anything
  parser = _parser()
  wanted, others = parser.parse_known_args(arguments)
  if others and not getattr(wanted, "runner", None):
    parser.error(f"unrecognized arguments: {' '.join(others)}")
  try:
    return wanted.verb(wanted, others)
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print("stopped; the same command goes on with what is missing.", file=sys.stderr)
    return 130


def _download(wanted: argparse.Namespace, _: list[str]) -> int:
  reports = download.download(wanted.channels, wanted.out, wanted.videos)
  print(download.summary(reports, wanted.out))
  return int(any(report.problems for report in reports))


def _clips(wanted: argparse.Namespace, beam_flags: list[str]) -> int:
  settings = cut.Settings(wanted.rate, wanted.confidence, wanted.frames)
  run: cut_all.Run = cut_all.run_here
  if wanted.runner:
    run = on_beam.run_on([f"--runner={wanted.runner}", *beam_flags], wanted.out)
  reports = cut_all.make(wanted.videos, wanted.out, settings, run)
  print(cut_all.summary(reports, wanted.out))
  return int(any(report.problem for report in reports))


def _curate(wanted: argparse.Namespace, _: list[str]) -> int:
  limits = curate.LIMITS | dict(wanted.limit)
  curated = curate.curate(wanted.clips, limits, wanted.decisions, wanted.review)
  print(curate.summary(curated, wanted.clips))
  if wanted.review:
    print(f"Open {wanted.clips / curate.REVIEW} in a browser.")
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(prog="python -m data_builders.prepare", description=__doc__)
  verbs = parser.add_subparsers(required=True, metavar="VERB")

  verb = verbs.add_parser("download", help="channels to videos (extra download)")
  verb.set_defaults(verb=_download)
  verb.add_argument(
    "--channels", type=Path, required=True, help=f"CSV file with {','.join(download.COLUMNS)}"
  )
  verb.add_argument("--out", type=Path, required=True, help="folder for the videos")
  verb.add_argument(
    "--videos", type=_count, default=20, help="of each channel, at most (default 20)"
  )

  verb = verbs.add_parser(
    "clips", help="videos to clips: faces and the speech around them", allow_abbrev=False
  )
  verb.set_defaults(verb=_clips)
  verb.add_argument(
    "--videos", type=Path, required=True, help="folder with a folder of videos for each identity"
  )
  verb.add_argument("--out", type=Path, required=True, help="folder for the clips")
  verb.add_argument(
    "--rate", type=_rate, default=1.0, help="faces looked for, each second (default 1)"
  )
  verb.add_argument(
    "--confidence", type=float, default=3.0, help="of the detector, at least (default 3)"
  )
  verb.add_argument("--frames", action="store_true", help="keep whole pictures too")
  verb.add_argument(
    "--runner",
    help="of Apache Beam, with its own flags behind, as DirectRunner or FlinkRunner (extra beam); "
    "all workers need to see both folders. Without it: this machine's cores",
  )

  verb = verbs.add_parser("curate", help="which clips are kept: by limits, and by a review")
  verb.set_defaults(verb=_curate)
  verb.add_argument("--clips", type=Path, required=True, help="folder of the clips")
  verb.add_argument("--review", action="store_true", help="write a page to review them on")
  verb.add_argument("--decisions", type=Path, help="what the page exported")
  verb.add_argument(
    "--limit",
    type=_limit,
    action="append",
    default=[],
    metavar="SCORE=NUMBER",
    help="another limit than that of "
    + ", ".join(f"{name} {limit}" for name, limit in curate.LIMITS.items()),
  )
  return parser


def _count(text: str) -> int:
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
  return int(text)


def _rate(text: str) -> float:
  try:
    rate = float(text)
  except ValueError:
    rate = math.nan
  if not 0 < rate <= 60:
    raise argparse.ArgumentTypeError(f"{text!r} is not a rate above 0, up to 60")
  return rate


def _limit(text: str) -> tuple[str, float]:
  name, _, limit = text.partition("=")
  try:
    if name in curate.LIMITS:
      return name, float(limit)
  except ValueError:
    pass
  raise argparse.ArgumentTypeError(
    f"{text!r} is not SCORE=NUMBER with a score of {', '.join(curate.LIMITS)}"
  )


if __name__ == "__main__":
  sys.exit(main())
