"""Writes the synthetic speakers as videos: python -m data_builders.synthetic --out=raw/."""

import argparse
import functools
import sys
from fractions import Fraction
from pathlib import Path

import tqdm

from data_builders.synthetic import video
from data_builders.synthetic.identity import Person, people
from data_builders.workers import workers
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, write_whole

HEADER = "Name,Gender\n"


def main(arguments: list[str] | None = None) -> int:
  """The command; what it wrote before it was stopped is kept and not made again."""
  wanted = _parse(arguments)
  found = people(wanted.identities)
  try:
    jobs = [
      (person, number)
      for person in found
      for number in range(wanted.videos)
      if not video.is_written(video.path_of(wanted.out, person, number), wanted.seconds, wanted.fps)
    ]
    listed = "".join(f"{person.name},{person.gender}\n" for person in found)
    write_whole(wanted.out / "identities.csv", HEADER + listed)
    _write(jobs, wanted)
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print("stopped; the same command goes on with the videos that are missing.", file=sys.stderr)
    return 130
  print(f"{len(found) * wanted.videos} videos of {len(found)} people are in {wanted.out}.")
  return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(prog="python -m data_builders.synthetic", description=__doc__)
  parser.add_argument("--out", type=Path, required=True, help="folder for the videos")
  parser.add_argument("--identities", type=_count, default=10, help="people (default 10)")
  parser.add_argument("--videos", type=_count, default=2, help="of each (default 2)")
  parser.add_argument("--seconds", type=_seconds, default=12.0, help="of each video (default 12)")
  parser.add_argument(
    "--fps", type=_rate, default="25", help="as 25, 30000/1001 or variable (default 25)"
  )
  return parser.parse_args(arguments)


def _count(text: str) -> int:
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
  return int(text)


def _seconds(text: str) -> float:
  try:
    seconds = float(text)
  except ValueError:
    seconds = 0
  if not 1 <= seconds <= 300:
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 300")
  return seconds


def _rate(text: str) -> str:
  try:
    if text == video.VARIABLE or 1 <= Fraction(text) <= 240:
      return text
  except (ValueError, ZeroDivisionError):
    pass
  raise argparse.ArgumentTypeError(
    f"{text!r} is neither a rate from 1 to 240, as 25 or 30000/1001, nor variable"
  )


def _write(jobs: list[tuple[Person, int]], wanted: argparse.Namespace) -> None:
  work = functools.partial(
    video.write_speaker, out=wanted.out, seconds=wanted.seconds, rate=wanted.fps
  )
  with exclusively(wanted.out, wait=False), workers(len(jobs)) as pool:
    made = pool.map(work, *zip(*jobs, strict=True)) if jobs else ()
    for _ in tqdm.tqdm(made, "Filming", len(jobs), unit=" videos"):
      pass


if __name__ == "__main__":
  sys.exit(main())
