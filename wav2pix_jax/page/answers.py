"""What the page answers, without the library that shows it."""

import base64
import html
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax.common import audio, images, movie, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.sampler import FAMILIAR, Sampler, frame_times, sampling_keys

# Of recordings; playlists such as HLS would make the server read other files.
LIMITS = audio.Limits(
  seconds=120,
  patience=20,
  formats="aac,aiff,amr,asf,au,avi,caf,flac,flv,matroska,webm,mov,mp4,m4a,mp3,mpeg,mpegts,ogg,wav,w64",
)
FILMED = 256  # pixels of a face in a movie, at least
WAITING = 5  # people who speak live and wait for a picture, at most
PATIENCE = 2.0  # seconds for which they wait
HIGHEST_RATE = 192_000  # Hz, of a microphone
BUSY = "Others are speaking with the page; wait a moment."


class Answers:
  """A sampler for many people, one at a time."""

  def __init__(self, sampler: Sampler, folder: Path, about: dict[str, str]):
    """Creates it, with a folder for movies and what is written into the files, by name."""
    self._sampler, self._folder, self._about = sampler, folder, about
    self._sampling, self._places = threading.Lock(), threading.Semaphore(WAITING)

  def warm_up(self) -> None:
    """Compiles what most answers need; more faces than one a second are compiled when asked for."""
    silence = np.zeros(self._sampler.config.dataset.window_samples, np.int16)
    for seconds in (1, 2, 4, 8):
      self._sampler.draw(np.tile(silence, seconds), schema.SAMPLE_RATE)
    next(self._sampler.film(silence, schema.SAMPLE_RATE))
    self.live({"speech": _base64(silence.tobytes()), "rate": schema.SAMPLE_RATE, "seed": 0})

  def faces(self, path: str | None, num_draws: int, seed: int) -> str:
    """Returns the faces of each second of a recording as HTML, with who is heard.

    Raises:
      UserError: There is no recording, it cannot be read, or it is longer than `LIMITS` say.
    """
    speech, name = self._read(path)
    with self._sampling:
      faces = self._sampler.draw(speech, schema.SAMPLE_RATE, num_draws, seed, name)
      heard = self._sampler.name(speech, schema.SAMPLE_RATE)
      doubts = self._sampler.doubts(speech, schema.SAMPLE_RATE)
    about = self._about | {"Seed": str(seed)}
    seconds = "".join(
      self._second(second, draws, probabilities, doubt, about)
      for second, (draws, probabilities, doubt) in enumerate(zip(faces, heard, doubts, strict=True))
    )
    warning = (
      f"<p role='alert'>{sum(map(bool, doubts))} of {len(doubts)} seconds are in doubt: their "
      "faces may mean nothing.</p>"
      if any(doubts)
      else ""
    )
    return f"{warning}{self._names(heard)}<ol class='seconds'>{seconds}</ol>"

  def talking(self, path: str | None, num_draws: int, seed: int) -> str:
    """Writes a movie of faces that speak a recording; returns its path. Raises as `faces`."""
    speech, name = self._read(path)
    out = self._folder / f"{uuid.uuid4().hex}.mp4"
    times = frame_times(len(speech), 25)
    with self._sampling:
      film = self._sampler.film(speech, schema.SAMPLE_RATE, num_draws, seed, name)
      about = self._about | {"Seed": str(seed)}
      movie.write_mp4(out, movie.side_by_side(film, FILMED), times, speech, about)
    return str(out)

  def live(self, message: dict[str, Any]) -> dict[str, Any]:
    """Returns the picture of the last second of speech, from a browser and for it.

    Args:
      message: `speech`, int16 of at most a second in base64, its sample `rate`, and `seed`.

    Returns:
      `picture`, a JPEG file in base64, and `heard`, who or what is heard. Or `error`, a sentence.
    """
    with self._place() as free:
      if not free:
        return {"error": BUSY}
      try:
        rate, seed = int(message["rate"]), int(message["seed"]) % 2**32
        sent = message["speech"]
        if not 8_000 <= rate <= HIGHEST_RATE or len(sent) > 3 * rate:
          raise ValueError("too much")
        speech = audio.from_array(np.frombuffer(base64.b64decode(sent, validate=True), "<i2"), rate)
      except (KeyError, TypeError, ValueError, OverflowError, UserError):
        return {"error": "The browser sent something that is not speech."}
      window = audio.cut(speech, 0, self._sampler.config.dataset.window_samples)
      if not self._sampling.acquire(timeout=PATIENCE):
        return {"error": BUSY}
      try:
        keys = sampling_keys(seed, "live", None, np.zeros(1, int))
        faces, logits = self._sampler.sample(window[None], keys)
      finally:
        self._sampling.release()
    name = self._sampler.speakers[int(logits[0].argmax())]
    probability = 1 / np.exp(logits[0] - logits[0].max()).sum()
    voice = name if probability >= FAMILIAR else f"a voice unlike any it knows, most like {name}"
    return {
      "picture": _base64(images.encode_jpeg(faces[0])),
      "heard": f"Heard: {audio.unlike_speech(window) or voice}",
    }

  @contextmanager
  def _place(self) -> Iterator[bool]:
    """Yields whether there is a place among those who wait, which is taken meanwhile."""
    free = self._places.acquire(blocking=False)
    try:
      yield free
    finally:
      if free:
        self._places.release()

  def _read(self, path: str | None) -> tuple[np.ndarray, str]:
    if not path:
      raise UserError("There is no recording yet: record, upload, or choose one.")
    try:
      return audio.read(path, LIMITS), Path(path).name
    except UserError as error:
      raise UserError(str(error).replace(str(path), Path(path).name)) from error

  def _second(
    self,
    second: int,
    draws: np.ndarray,
    probabilities: np.ndarray,
    doubt: str,
    about: dict[str, str],
  ) -> str:
    most = int(probabilities.argmax())
    name, share = html.escape(self._sampler.speakers[most]), probabilities[most]
    pictures = "".join(
      f"<img src='data:image/png;base64,{_base64(images.encode_png(face, about))}' "
      f"alt='Face {number}, drawn from second {second + 1}, in which {name} is heard'>"
      for number, face in enumerate(draws, 1)
    )
    said = html.escape(doubt) or f"{name}, {share:.0%}"
    return f"<li><p>{second} to {second + 1} s: {said}</p>{pictures}</li>"

  def _names(self, heard: np.ndarray) -> str:
    mean = heard.mean(0)
    rows = "".join(
      f"<tr><th scope='row'>{html.escape(self._sampler.speakers[i])}</th>"
      f"<td><meter min='0' max='1' value='{mean[i]:.3f}'></meter> {mean[i]:.0%}</td></tr>"
      for i in np.argsort(-mean)[:3]
    )
    return f"<table><caption>Who is heard, in all seconds</caption>{rows}</table>"


def _base64(content: bytes) -> str:
  return base64.b64encode(content).decode()
