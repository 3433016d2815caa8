"""How fast `prepare clips` cuts videos, compared with decoding and detecting alone, on one core.

python -m benchmarks.cutting --videos=raw/

A second of 480p25 video has 25 pictures to decode, of which one is searched for faces. All sides
process the same videos, in turns, and their processor time is compared:

- every picture: decode all, and search one per second, as a tool without skipping does;
- wanted pictures: decode only what is needed, and search: the least that `clips` can take;
- clips: everything, from the file to crops, speech, scores and manifest.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import tqdm

from benchmarks import turns
from data_builders.prepare import cut, cut_all, faces, media, videos

SETTINGS = cut.Settings(rate=1.0, confidence=3.0, frames=False)


def main() -> None:
  """Runs the command line."""
  parser = argparse.ArgumentParser(description="Compares the speed of clips with its limit.")
  parser.add_argument("--videos", type=Path, required=True, help="folder as for prepare clips")
  parser.add_argument("--rounds", type=int, default=5, help="rounds, whose medians are shown")
  wanted = parser.parse_args()
  found = videos.find(wanted.videos)
  with tempfile.TemporaryDirectory() as folder:
    reports = cut_all.make(wanted.videos, Path(folder), SETTINGS, one_by_one)
  seconds = sum(report.seconds for report in reports)
  chosen = {video: _searched(video) for video in found}

  def every() -> None:
    for video in found:
      _decode_all_and_search(video, chosen[video])

  def skipping() -> None:
    for video in found:
      for _, picture in media.pictures(video.path, chosen[video]):
        faces.find(picture.gray(), SETTINGS.confidence)

  def whole() -> None:
    with tempfile.TemporaryDirectory() as folder:
      cut_all.make(wanted.videos, Path(folder), SETTINGS, one_by_one)

  sides = {"every picture": every, "wanted pictures": skipping, "clips": whole}
  spent: dict[str, list[float]] = {side: [] for side in sides}
  for _ in tqdm.trange(wanted.rounds, desc="Measuring", unit=" rounds"):
    for side, work in sides.items():
      spent[side].append(_processor_seconds(work))
  print(f"{len(found)} videos, {seconds:.0f} s; {sum(r.clips for r in reports)} clips")
  rows = {
    side: {
      "video_seconds_per_second_and_core": seconds / float(np.median(times)),
      "clips_takes_times_as_long": turns.spread(np.array(spent["clips"]) / times),
    }
    for side, times in spent.items()
  }
  turns.show(rows)


def one_by_one(work: cut_all.Work, found: Sequence[videos.Video]) -> list[cut.VideoReport]:
  """Does the work in this process; otherwise like `cut_all.run_here`."""
  return [work(video) for video in found]


def _searched(video: videos.Video) -> set[int]:
  """Returns the timestamps of the pictures that `clips` searches."""
  contents = media.read(video.path)
  return cut.wanted(contents, SETTINGS)


def _decode_all_and_search(video: videos.Video, chosen: set[int]) -> None:
  with av.open(str(video.path)) as container:
    container.streams.video[0].codec_context.thread_count = 1
    for frame in container.decode(video=0):
      if frame.pts in chosen:
        faces.find(frame.to_ndarray(format="gray"), SETTINGS.confidence)


def _processor_seconds(work: Callable[[], None]) -> float:
  start = time.process_time()
  work()
  return time.process_time() - start


if __name__ == "__main__":
  main()
