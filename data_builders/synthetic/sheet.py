"""A picture of the ten speakers: python -m data_builders.synthetic.sheet docs/ten_speakers.jpg."""

import sys
from pathlib import Path

from data_builders.synthetic import clips
from data_builders.synthetic.identity import TEN
from wav2pix_jax.common import images
from wav2pix_jax.common.files import write_whole

COLUMNS = 8


def main(path: str) -> None:
  """Four clips of each, a row for two people."""
  rows, labels = [], []
  for left, right in zip(TEN[:5], TEN[5:], strict=True):
    faces = [
      clips.make_clip(person, number, 96, 0).face
      for person in (left, right)
      for number in range(COLUMNS // 2)
    ]
    rows.append(faces)
    labels.append(f"{left.name}, {right.name}")
  write_whole(Path(path), images.encode_jpeg(images.grid(rows, labels)))


if __name__ == "__main__":
  if len(sys.argv) != 2:
    sys.exit("error: name the picture: python -m data_builders.synthetic.sheet FILE.jpg")
  main(sys.argv[1])
