"""Measures the quality of the synthetic speakers: python -m data_builders.synthetic.quality.

It runs face detectors on frames and crops, and predicts the speaker, the mouth's opening and the
smile from speech. It needs the extra `eval`.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import tqdm
from scipy import signal

from data_builders.prepare.faces import CASCADE
from data_builders.synthetic import clips, video, voice
from data_builders.synthetic.face.head import View
from data_builders.synthetic.face.pose import random_scene
from data_builders.synthetic.identity import TEN, Microphone, Person, people
from wav2pix_jax.common import schema
from wav2pix_jax.common.workers import workers

try:
  import dlib
  from sklearn.kernel_ridge import KernelRidge
  from sklearn.linear_model import LogisticRegression, RidgeCV
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler
except ModuleNotFoundError as error:
  sys.exit(f"error: {error.name} is not installed; pip install -e '.[eval]'")

FRAMES = {"ten speakers": 40, "forty random speakers": 12}  # number per speaker
LEARNED, HELD_OUT = 160, 40  # number of utterances per speaker
SEED = 1
BANDS = 40  # number of bands of the log-mel spectrum
HOP = 160  # number of samples between spectra
NEAR = 6  # number of spectra (60 ms) before and after an instant that predict the mouth


@dataclasses.dataclass(frozen=True)
class Heard:
  """An utterance of 4 s, through the same microphone for all, and the pose in its middle."""

  person: int
  spectra: np.ndarray  # log-mel, float32 [T, BANDS], one each HOP samples
  pitch: np.ndarray  # log Hz, the mean of each second, float32 [4]
  opening: float
  smile: float


def main() -> None:
  """Prints the measurements."""
  random = people(len(TEN) + 40)[len(TEN) :]
  for (title, count), found in zip(FRAMES.items(), (TEN, random), strict=True):
    jobs = [(person, i) for person in found for i in range(count)]
    frames, crops = np.mean(_mapped(_detected, jobs, f"Faces of {title}"), axis=0)
    print(
      f"{title}: Haar finds a face in {frames:.2%} of {len(jobs)} frames of 640x480, dlib in "
      f"{crops:.2%} of as many crops of 128x128"
    )
  for title, found in (("ten speakers", TEN), ("thirty random speakers", random[:30])):
    learned, held_out = (
      _mapped(
        _hear,
        [(person, i, number) for i, person in enumerate(found) for number in numbers],
        f"Voices of {title}",
      )
      for numbers in (range(LEARNED), range(LEARNED, LEARNED + HELD_OUT))
    )
    by_sound, by_pitch = _speaker_accuracy(learned, held_out)
    print(
      f"{title}, held-out second of speech: accuracy {by_sound:.1%} from its log-mel spectrum, "
      f"{by_pitch:.1%} from its mean pitch, {1 / len(found):.1%} by chance"
    )
    opening, smile = _expression(learned, held_out)
    print(
      f"{title}, R2 within a speaker, predicted from held-out speech: mouth opening {opening:.2f}, "
      f"smile {smile:.2f}"
    )


def _mapped(work: Callable, jobs: Sequence[Any], title: str) -> list:
  with workers(len(jobs)) as pool:
    return list(tqdm.tqdm(pool.map(work, jobs, chunksize=20), title, len(jobs), leave=False))


def _detected(job: tuple[Person, int]) -> tuple[bool, bool]:
  """Returns whether Haar finds a face in a frame, and dlib in a crop."""
  person, number = job
  _, pose, rng = clips.say(person, number, SEED)
  scale = rng.uniform(0.65, 1.0) * video.FINEST
  view = View(video.WIDTH, video.HEIGHT, scale, 0.5 * video.WIDTH, 0.47 * video.HEIGHT)
  frame = clips.head_of(person, video.FINEST).render(pose, random_scene(rng), view, rng)
  cascade = cv2.CascadeClassifier(cv2.data.haarcascades + CASCADE)  # type: ignore[attr-defined]
  found = cascade.detectMultiScale(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 1.1, 5)
  crop = clips.make_clip(person, number, 128, SEED).face
  return len(found) > 0, len(dlib.get_frontal_face_detector()(crop, 1)) > 0


def _hear(job: tuple[Person, int, int]) -> Heard:
  person, label, number = job
  said, pose, rng = clips.say(person, number, SEED)
  seconds = said.pitch.reshape(schema.CLIP_SECONDS, -1)
  spectra = _log_mel(voice.record(said.samples, Microphone(), rng))
  return Heard(label, spectra, np.log(seconds).mean(1), pose.opening, pose.smile)


def _log_mel(speech: np.ndarray) -> np.ndarray:
  """Returns log-mel spectra, float32 [about T / HOP, BANDS], of windows of 25 ms."""
  _, _, spectra = signal.stft(
    speech / 32768, nperseg=400, noverlap=400 - HOP, nfft=512, boundary=None
  )
  hertz = np.fft.rfftfreq(512, 1 / schema.SAMPLE_RATE)
  mel = 2595 * np.log10(1 + hertz / 700)
  edges = np.linspace(mel[2], mel[-1], BANDS + 2)
  rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
  falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
  bank = np.clip(np.minimum(rising, falling), 0, None)
  return np.log(np.square(np.abs(spectra)).T @ bank + 1e-10).astype(np.float32)


def _speaker_accuracy(learned: list[Heard], held_out: list[Heard]) -> tuple[float, float]:
  """Returns the accuracy on held-out seconds, from the whole sound and from the pitch."""

  def by_second(heard: list[Heard]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pieces = [piece for h in heard for piece in np.array_split(h.spectra, schema.CLIP_SECONDS)]
    sound = np.stack([np.concatenate([piece.mean(0), piece.std(0)]) for piece in pieces])
    pitch = np.concatenate([h.pitch for h in heard])
    people = np.repeat([h.person for h in heard], schema.CLIP_SECONDS)
    return sound, np.stack([pitch, pitch**2], 1), people

  sound, pitch, people = by_second(learned)
  new_sound, new_pitch, new_people = by_second(held_out)

  def score(features: np.ndarray, new: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=3000))
    return float(model.fit(features, people).score(new, new_people))

  return score(sound, new_sound), score(pitch, new_pitch)


def _expression(learned: list[Heard], held_out: list[Heard]) -> tuple[float, float]:
  """Returns R2 within a speaker of the mouth's opening and the smile, predicted from speech."""

  def near(heard: list[Heard]) -> np.ndarray:
    middle = len(heard[0].spectra) // 2
    chosen = slice(middle - NEAR, middle + NEAR + 1, 2)
    return np.stack([(h.spectra[chosen] - h.spectra.mean()).ravel() for h in heard])

  def around(heard: list[Heard]) -> np.ndarray:
    half = schema.SAMPLE_RATE // HOP // 2
    middle = len(heard[0].spectra) // 2
    second = [h.spectra[middle - half : middle + half] for h in heard]
    labels = np.eye(max(h.person for h in learned) + 1)[[h.person for h in heard]]
    return np.hstack([np.stack([np.hstack([s.mean(0), s.std(0)]) for s in second]), labels])

  gamma = 0.3 / near(learned[:1]).size
  mouth = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", alpha=0.1, gamma=gamma))
  truth = np.array([h.opening for h in learned])
  mouth.fit(near(learned), truth - truth.mean())
  opening = mouth.predict(near(held_out)) + truth.mean()
  smiles = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 4, 9)))
  smiles.fit(around(learned), [h.smile for h in learned])
  smile = smiles.predict(around(held_out))
  return (
    _r2_within(held_out, opening, [h.opening for h in held_out]),
    _r2_within(held_out, smile, [h.smile for h in held_out]),
  )


def _r2_within(heard: list[Heard], predicted: np.ndarray, truth: Sequence[float]) -> float:
  """Returns the fraction of the variance around each speaker's mean that is predicted."""
  people, true = np.array([h.person for h in heard]), np.array(truth)
  means = np.array([true[people == person].mean() for person in range(people.max() + 1)])
  return float(1 - np.square(predicted - true).sum() / np.square(true - means[people]).sum())


if __name__ == "__main__":
  main()
