"""A small release in the published layout, with the truth about where everything was cut."""

import dataclasses
import wave
from pathlib import Path

import numpy as np
from PIL import Image

RATE = 16_000
CHUNKS = 5  # published per face
IDENTITIES = ("ada", "bo")


@dataclasses.dataclass
class Cut:
  """Where a published pair comes from: chunk of 1 s at `start` in the recording, clip at `clip`."""

  video: int
  clip: int
  start: int
  face: np.ndarray


@dataclasses.dataclass
class SmallRelease:
  folder: Path
  recordings: list[np.ndarray]
  cuts: dict[tuple[str, int], Cut]  # (identity, number) -> truth


def make(
  folder: Path, videos: int = 4, seconds: int = 14, seed: int = 0, write: bool = True
) -> SmallRelease:
  """Writes `folder/dataset/...`: two identities, some videos each, a face a second.

  Without `write` it only returns the truth about what lies there.
  """
  rng = np.random.default_rng(seed)
  recordings, cuts, number = [], {}, 100
  for i, identity in enumerate(IDENTITIES):
    for _ in range(videos):
      recordings.append(speech(rng, seconds * RATE))
      phase = int(rng.integers(RATE))
      for clip in range(phase, (seconds - 4) * RATE, RATE):
        split = "test" if rng.random() < 0.2 else "train"
        picture = face(rng, i)
        for _ in range(CHUNKS):
          start = clip + int(rng.integers(3 * RATE + 1))
          cuts[identity, number] = Cut(len(recordings) - 1, clip, start, picture)
          if write:
            place = folder / "dataset" / split / identity
            place.mkdir(parents=True, exist_ok=True)
            write_face(place / f"cropped_face_frame_{number}.png", picture)
            chunk = recordings[-1][start : start + RATE]
            write_wav(place / f"preprocessed_frame_{number}.wav", chunk)
          number += 1
  return SmallRelease(folder, recordings, cuts)


def speech(rng: np.random.Generator, samples: int) -> np.ndarray:
  """Smooth noise with stretches of digital silence, int16."""
  noise = np.convolve(rng.standard_normal(samples + 15), np.ones(16) / 16, "valid")
  loudness = np.repeat(rng.uniform(0.2, 1, samples // 4000 + 1), 4000)[:samples]
  recording = (noise * loudness * 9000).astype(np.int16)
  for start in rng.integers(0, samples - 2000, 3):
    recording[start : start + 2000] = 0
  return recording


def face(rng: np.random.Generator, identity: int, size: int = 48) -> np.ndarray:
  """A blob whose colour tells the identity, RGB: red for the first, blue for the second."""
  y, x = np.mgrid[:size, :size] / size
  cx, cy = rng.uniform(0.4, 0.6, 2)
  blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) * 12)
  picture = np.full((size, size, 3), rng.uniform(40, 60), np.float64)
  picture[..., 2 if identity else 0] += 180 * blob
  return picture.astype(np.uint8)


def write_face(path: Path, picture: np.ndarray) -> None:
  """JPEG data in BGR order under a `.png` name, as the release has it."""
  Image.fromarray(picture[..., ::-1]).save(path, "JPEG", quality=95, subsampling=0)


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
  with wave.open(str(path), "wb") as sound:
    sound.setnchannels(1)
    sound.setsampwidth(2)
    sound.setframerate(rate)
    sound.writeframes(samples.astype("<i2").tobytes())
