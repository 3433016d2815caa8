"""Augmentation and conversion of raw batches, inside the training step.

Everything random comes from the plan: the seeds of distortions, and which faces are mirrored.
"""

from typing import Any

import jax
import jax.numpy as jnp

from wav2pix_jax.common import audio, images, schema

Batch = dict[str, jax.Array]

DISTORTED = 0.8  # share of windows that are distorted
DECIBELS, BANDS = 6, 8  # standard deviation and number of the filter's gains
NOISE_BELOW = (5, 40)  # decibels


def augment(raw: Batch, dataset: Any) -> Batch:
  """Returns a raw batch, or a device's share of it, as the networks take it; see `schema.py`.

  Of `dataset`, which is `config.dataset`, it reads `distort`, `flip` and `audio_steps`.
  """
  speech: Any = raw[schema.SPEECH]
  if dataset.distort:
    speech = jax.vmap(distort)(speech, raw[schema.LENGTH], raw[schema.SEED])
  faces = {
    schema.FACE: schema.MIRRORED,
    schema.MISMATCHED_FACE: schema.MISMATCHED_MIRRORED,
    schema.FURTHER_FACES: schema.FURTHER_MIRRORED,
  }
  batch: Batch = {
    schema.SPEECH: audio.condition(speech, dataset.audio_steps),  # type: ignore[dict-item]
    schema.IDENTITY: raw[schema.IDENTITY],
  }
  for face, mirrored in faces.items():
    if face in raw:
      pictures = raw[face]
      if dataset.flip:
        chosen = raw[mirrored][..., None, None, None]
        pictures = jnp.where(chosen, pictures[..., ::-1, :], pictures)
      batch[face] = images.to_float(pictures)  # type: ignore[assignment, arg-type]
  if schema.RECORDS in raw:
    batch[schema.RECORDS] = raw[schema.RECORDS]
  return batch


def distort(window: jax.Array, length: jax.Array, seed: jax.Array) -> jax.Array:
  """Returns a window as another room and microphone might record it (ours).

  It is int16 or float [T], with zeros from `length` (int32 []) on; the result is float32 [T], at
  about the same level. Four of five windows are filtered, with gains that are normal with 6 dB at
  eight frequencies from 50 Hz to 8 kHz, and get noise, from white to pink, 5 to 40 dB below the
  speech. The others stay as they are, and silence stays nearly silent. The seed is uint32 [].
  """
  often, bands, white, slope, below = jax.random.split(jax.random.key(seed), 5)
  valid = jnp.arange(len(window)) < length
  gains = DECIBELS * jax.random.normal(bands, (BANDS,))
  speech: Any = audio.equalise(window.astype(jnp.float32), gains)  # type: ignore[arg-type]
  noise: Any = audio.colour(
    jax.random.normal(white, window.shape),  # type: ignore[arg-type]
    jax.random.uniform(slope),  # type: ignore[arg-type]
  )
  level = speech.std(where=valid)
  decibels = jax.random.uniform(below, minval=NOISE_BELOW[0], maxval=NOISE_BELOW[1])
  distorted = (speech + noise * level * 10 ** (-decibels / 20)) * valid
  return jnp.where(jax.random.bernoulli(often, DISTORTED), distorted, window).astype(jnp.float32)
