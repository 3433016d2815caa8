"""Writes videos of the synthetic speakers: python -m data_builders.synthetic --out=raw/."""

import argparse
import functools
import sys
from fractions import Fraction

import tqdm

from data_builders import command
from data_builders.prepare.videos import write_identities
from data_builders.synthetic import video
from data_builders.synthetic.identity import people
from wav2pix_jax.common.files import exclusively
from wav2pix_jax.common.workers import workers


def main(arguments: list[str] | None = None) -> int:
  """Runs the command line, and returns the exit status. Videos that exist are not made again."""
  flags = _parse(arguments)
  return command.exit_status(lambda: _write(flags))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
  seconds = command.checked(float, lambda s: 1 <= s <= 300, "a number of seconds from 1 to 300")
  rate = command.checked(
    str,
    lambda text: text == video.VARIABLE or 1 <= Fraction(text) <= 240,
    "a rate from 1 to 240, such as 25 or 30000/1001, or variable",
  )
  parser = argparse.ArgumentParser(prog="python -m data_builders.synthetic", description=__doc__)
  add = parser.add_argument
  add("--out", type=command.path, required=True, help="folder for the videos")
  add("--identities", type=command.count, default=10, help="number of speakers (default 10)")
  add("--videos", type=command.count, default=2, help="number of videos per speaker (default 2)")
  add("--seconds", type=seconds, default=12.0, help="length of each video (default 12)")
  add("--fps", type=rate, default="25", help="25, 30000/1001, variable or the like (default 25)")
  return parser.parse_args(arguments)


def _write(flags: argparse.Namespace) -> int:
  found = people(flags.identities)
  jobs = [
    (person, number)
    for person in found
    for number in range(flags.videos)
    if not video.is_written(video.path_of(flags.out, person, number), flags.seconds, flags.fps)
  ]
  write_identities(flags.out, ((person.name, person.gender) for person in found))
  work = functools.partial(
    video.write_speaker, out=flags.out, seconds=flags.seconds, rate=flags.fps
  )
  with exclusively(flags.out, wait=False), workers(len(jobs)) as pool:
    made = pool.map(work, *zip(*jobs, strict=True)) if jobs else ()
    for _ in tqdm.tqdm(made, "Filming", len(jobs), unit=" videos"):
      pass
  print(f"{len(found) * flags.videos} videos of {len(found)} speakers are in {flags.out}.")
  return 0


if __name__ == "__main__":
  sys.exit(main())
