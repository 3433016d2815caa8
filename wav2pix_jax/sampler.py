"""Sampling faces from speech: the one way for sampling, evaluation, figures and snapshots."""

import functools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy import ndimage

from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.indices import in_batches
from wav2pix_jax.models.generator import Generator

BATCH = 64  # windows at a time
FAMILIAR = 0.9  # the least probability of a voice that is known


class Sampler:
  """A generator with its weights, which samples faces from speech and names the speaker.

  Noise, and dropout where the network has it, stay on, so samples of one window differ. A face
  depends on its window and its key only, whatever else is sampled with it (float within 1e-5,
  uint8 within 1). Computation is in float32, whatever the precision of training.

  Attributes:
    config: The config that the generator was trained with.
    speakers: Names of the speakers, in the order of the labels.
  """

  def __init__(
    self, config: Any, speakers: Sequence[str], generator: Generator, variables: dict[str, Any]
  ):
    """Creates a sampler of a generator with its variables; see the attributes."""
    self.config = config
    self.speakers = list(speakers)
    self._variables = variables
    self._static: dict[str, Any] = {
      "generator": generator.clone(dtype=jnp.float32),
      "audio_steps": tuple(config.dataset.audio_steps),
    }

  def draw(
    self,
    speech: np.ndarray,
    sample_rate: int,
    num_draws: int = 1,
    seed: int = 0,
    name: str = "",
    pool: bool = False,
  ) -> np.ndarray:
    """Returns faces for each second of a recording, uint8 [windows, num_draws, S, S, 3].

    Args:
      speech: The recording, int16, or float in [-1, 1]; [T] or [T, channels], which are averaged. A
        window starts at each full second. What remains below one second is dropped; a recording
        shorter than one window is padded with zeros.
      sample_rate: Samples per second of the recording.
      num_draws: Faces per window.
      seed: Seed of the noise, from 0 to 2**32 - 1.
      name: Name of the recording, which is part of the seed: `--mode=sample` gives the file's name.
      pool: Whether to average the embeddings of all windows, for one face of the whole recording:
        the result is [1, num_draws, S, S, 3], with the keys of the first window.

    Raises:
      UserError: The speech has another shape or dtype, values out of range, or no samples.
    """
    windows = self._windows(speech, sample_rate)
    if pool:
      embeddings, _ = self.listen(windows)
      keys = sampling_keys(seed, name, 0, np.arange(num_draws))
      pooled = mean_embedding(embeddings)[None]
      return np.asarray(_draw_batch(self._variables, pooled, keys, self._static["generator"]))
    count = len(windows)
    keys = sampling_keys(seed, name, np.arange(count), np.arange(num_draws)[:, None])
    faces, _ = self.sample(np.tile(windows, (num_draws, 1)), keys.ravel())
    return faces.reshape(num_draws, count, *faces.shape[1:]).swapaxes(0, 1)

  def name(self, speech: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the probability of each speaker in each second, float32 [windows, speakers].

    The probabilities are those of the auxiliary classifier; the recording is as in `draw`.

    Raises:
      UserError: As in `draw`.
    """
    _, logits = self.listen(self._windows(speech, sample_rate))
    return np.asarray(jax.nn.softmax(logits))

  def doubts(self, speech: np.ndarray, sample_rate: int) -> list[str]:
    """Returns for each second why its face may mean nothing, in a few words; "" without a reason.

    A second may be nearly silent, or a steady noise or tone (`audio.unlike_speech`). Or the whole
    recording is "unlike anyone it knows, most like ana", if the largest probability of a speaker is
    below `FAMILIAR` in the mean over its other seconds (Hendrycks and Gimpel 2017; docs/demo.md has
    figures). The recording is as in `draw`.

    Raises:
      UserError: As in `draw`.
    """
    found = [audio.unlike_speech(window) for window in self._windows(speech, sample_rate)]
    spoken = [i for i, doubt in enumerate(found) if not doubt]
    probabilities = self.name(speech, sample_rate)[spoken]
    if spoken and probabilities.max(1).mean() < FAMILIAR:
      speaker = self.speakers[probabilities.mean(0).argmax()]
      for i in spoken:
        found[i] = f"unlike anyone it knows, most like {speaker}"
    return found

  def film(
    self,
    speech: np.ndarray,
    sample_rate: int,
    num_draws: int = 1,
    seed: int = 0,
    name: str = "",
    fps: float = 25,
    blend: float = 0,
  ) -> Iterator[np.ndarray]:
    """Yields the frames of faces that speak a recording, each uint8 [num_draws, S, S, 3].

    Frame i is sampled from the window around i / fps seconds, with zeros beyond both ends, and
    frames last until the recording ends. Each draw has one key for the whole recording, so that the
    face stays while its mouth moves.

    Args:
      speech: The recording, as in `draw`.
      sample_rate: As in `draw`.
      num_draws: Faces that speak at the same time.
      seed: As in `draw`.
      name: As in `draw`.
      fps: Frames per second.
      blend: Seconds. Where the predicted speaker differs from the one that prevails in so much
        speech around it, embeddings are cross-faded from those before to those after. 0: as they
        are.

    Raises:
      UserError: As in `draw`.
    """
    recording = audio.from_array(speech, sample_rate)
    length = self.config.dataset.window_samples
    instants = frame_times(len(recording), fps) * schema.SAMPLE_RATE
    starts = instants.round().astype(int) - length // 2

    embeddings, logits = self._listen(
      len(starts),
      lambda chosen: np.stack([audio.cut(recording, start, length) for start in starts[chosen]]),
    )
    embeddings = cross_fade(embeddings, np.asarray(jax.nn.softmax(logits)), round(blend * fps))
    keys = sampling_keys(seed, name, None, np.arange(num_draws))
    for first in range(0, len(embeddings), BATCH):
      padded = np.arange(first, first + BATCH).clip(max=len(embeddings) - 1)
      faces = _draw_batch(self._variables, embeddings[padded], keys, self._static["generator"])
      yield from np.asarray(faces)[: len(embeddings) - first]

  def sample(self, windows: np.ndarray, keys: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Returns one face for each window and key, and the auxiliary classifier's logits.

    Compiles once per dtype and power of two up to `BATCH`, to which the windows are padded.

    Args:
      windows: Windows of speech at 16 kHz as recorded, int16 or float [N, window_samples].
      keys: Keys [N].

    Returns:
      Faces uint8 [N, S, S, 3], and logits float32 [N, speakers].
    """

    def forward(chosen: np.ndarray) -> tuple[jax.Array, jax.Array]:
      return _sample_batch(self._variables, windows[chosen], keys[chosen], **self._static)

    size = min(BATCH, 1 << (len(windows) - 1).bit_length())
    faces, logits = in_batches(forward, len(windows), size)
    return faces, logits

  def _listen(
    self, count: int, windows: Callable[[np.ndarray], np.ndarray]
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns embeddings [count, E] and logits; `windows` returns those of some indices."""

    def listen(chosen: np.ndarray) -> tuple[jax.Array, jax.Array]:
      return _listen_batch(self._variables, windows(chosen), **self._static)

    embeddings, logits = in_batches(listen, count, BATCH)
    return embeddings, logits

  def listen(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns embeddings [N, E] and the auxiliary classifier's logits [N, speakers], float32.

    The windows are as in `sample`.
    """
    return self._listen(len(windows), windows.__getitem__)

  def function(self) -> Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Returns the sampler as a pure function of a window and a key (see `sample_one`)."""
    return functools.partial(sample_one, jax.device_get(self._variables), **self._static)

  def _windows(self, speech: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns a window at each full second, int16 [windows, window_samples]."""
    recording = audio.from_array(speech, sample_rate)
    rate, length = schema.SAMPLE_RATE, self.config.dataset.window_samples
    seconds = max(len(recording) // rate, 1)
    return np.stack([audio.cut(recording, second * rate, length) for second in range(seconds)])


def sample_one(
  variables: Any,
  window: jax.Array,
  key: jax.Array,
  *,
  generator: Generator,
  audio_steps: Sequence[str],
) -> tuple[jax.Array, jax.Array]:
  """Samples one face; a pure function for `jit`, `vmap` and export.

  From the generator's variables, a window of speech at 16 kHz as recorded, int16 or float32 [T],
  and the key of the noise. Batch norm uses the running statistics; dropout is on.

  Returns:
    The face, uint8 [S, S, 3], and the auxiliary classifier's logits, float32 [speakers].
  """
  speech: Any = audio.condition(window, audio_steps)  # type: ignore[arg-type]
  out: Any = generator.apply(variables, speech[None], False, False, rngs={"dropout": key})
  faces: Any
  faces, _, logits = out
  picture: Any = images.to_uint8(faces[0])
  return picture, logits[0]


@functools.partial(jax.jit, static_argnames=("generator", "audio_steps"))
def _sample_batch(variables, windows, keys, *, generator, audio_steps):
  sample = functools.partial(sample_one, generator=generator, audio_steps=audio_steps)
  return jax.vmap(sample, in_axes=(None, 0, 0))(variables, windows, keys)


@functools.partial(jax.jit, static_argnames=("generator", "audio_steps"))
def _listen_batch(variables, windows, *, generator, audio_steps):
  """Returns embeddings float32 [B, E] and logits [B, speakers] of windows [B, T]."""
  speech: Any = audio.condition(windows, audio_steps)
  return generator.apply(variables, speech, False, method="listen")


@functools.partial(jax.jit, static_argnames="generator")
def _draw_batch(variables, embeddings, keys, generator):
  """Returns faces uint8 [B, D, S, S, 3] of embeddings [B, E], each with all keys [D]."""

  def draw(embedding, key):
    faces = generator.apply(
      variables, embedding[None], False, False, rngs={"dropout": key}, method="draw"
    )
    return images.to_uint8(faces[0])

  each = jax.vmap(jax.vmap(draw, in_axes=(None, 0)), in_axes=(0, None))
  return each(embeddings, keys)


def frame_times(samples: int, fps: float) -> np.ndarray:
  """Returns the times in seconds of the frames of 16 kHz speech of a length: float64 [frames]."""
  return np.arange(math.ceil(samples / schema.SAMPLE_RATE * fps)) / fps


def mean_embedding(embeddings: np.ndarray) -> np.ndarray:
  """Returns the mean of embeddings [N, E], float32 [E], as long as they are in the mean square."""
  mean = embeddings.mean(0)
  lengths = np.sqrt(np.square(embeddings).sum(1).mean())
  return (mean * lengths / max(float(np.linalg.norm(mean)), 1e-8)).astype(np.float32)


def cross_fade(embeddings: np.ndarray, probabilities: np.ndarray, frames: int) -> np.ndarray:
  """Returns embeddings without brief changes of the predicted speaker.

  Where the most probable speaker is not the one who prevails in the frames around, embeddings are
  interpolated between the nearest where it is, in direction and in length.

  Args:
    embeddings: Embeddings of consecutive frames, float32 [F, E].
    probabilities: Probabilities of the speakers, float32 [F, speakers].
    frames: The number of frames around, in which the prevailing speaker is looked for.
  """
  if frames < 2 or len(embeddings) < 2:
    return embeddings
  around = ndimage.uniform_filter1d(probabilities, frames, axis=0, mode="nearest")
  kept = np.flatnonzero(probabilities.argmax(1) == around.argmax(1))
  if not len(kept):
    return embeddings
  order = np.arange(len(embeddings))
  lengths = np.linalg.norm(embeddings, axis=1)
  faded = np.stack([np.interp(order, kept, e[kept]) for e in embeddings.T], 1)
  faded *= (np.interp(order, kept, lengths[kept]) / np.linalg.norm(faded, axis=1))[:, None]
  faded[kept] = embeddings[kept]
  return faded.astype(np.float32)


def sampling_keys(seed: int, name: str, windows: ArrayLike | None, draws: ArrayLike) -> jax.Array:
  """Returns a key [...] for each sample: of the seed, a name, a window and a draw.

  The seed is from 0 to 2**32 - 1, the name that of the recording or split, and `windows` and
  `draws` are numbers, int [...], which are broadcast. `windows` is None where the key is to be the
  same in all windows, as in a film.
  """
  number = zlib.crc32(name.encode(errors="backslashreplace"))
  root = jax.random.fold_in(jax.random.key(seed), number)
  if windows is not None:
    root = _fold_in(root, jnp.asarray(windows, jnp.uint32))
  return _fold_in(root, jnp.asarray(draws, jnp.uint32))


@jax.jit
@jnp.vectorize
def _fold_in(key: jax.Array, number: jax.Array) -> jax.Array:
  return jax.random.fold_in(key, number)
