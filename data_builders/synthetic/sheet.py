"""Writes a picture of the ten speakers: python -m data_builders.synthetic.sheet FILE.jpg."""

import sys
from pathlib import Path

from data_builders.synthetic import clips
from data_builders.synthetic.identity import TEN
from wav2pix_jax.common import images
from wav2pix_jax.common.files import write_whole


def main(path: str) -> None:
  """Writes four faces of each speaker, two speakers per row, as JPEG."""
  rows, labels = [], []
  for pair in zip(TEN[:5], TEN[5:], strict=True):
    rows.append([clips.make_clip(person, i, 96, 0).face for person in pair for i in range(4)])
    labels.append(", ".join(person.name for person in pair))
  write_whole(Path(path), images.encode_jpeg(images.grid(rows, labels)))


if __name__ == "__main__":
  if len(sys.argv) != 2:
    sys.exit("error: expected one argument: python -m data_builders.synthetic.sheet FILE.jpg")
  main(sys.argv[1])
