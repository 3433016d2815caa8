"""Faces from speech: training, sampling and evaluation all draw through here."""

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wav2pix_jax.common import images
from wav2pix_jax.models.generator import Generator

BATCH = 64  # windows at a time


def key(seed: int, *parts: str | int) -> jax.Array:
  """A key for one drawing, from a seed and what names the drawing: file, window, draw."""
  folded = jax.random.key(seed)
  for part in parts:
    number = zlib.crc32(part.encode()) if isinstance(part, str) else part
    folded = jax.random.fold_in(folded, number)
  return folded


def draw_one(
  generator: Generator, variables: Any, window: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """A face [S, S, 3] in [-1, 1] and logits [identities] of a conditioned window [T], float32.

  Normalisation uses the running statistics, dropout stays on and takes the key. All is computed in
  float32, whatever it was trained in, so that faces are the same on all machines but for rounding.
  """
  out: Any = generator.clone(dtype=jnp.float32).apply(
    variables, window[None], False, False, rngs={"dropout": key}
  )
  faces, _, logits = out
  return faces[0], logits[0]


def drawer(
  generator: Generator,
) -> Callable[[Any, np.ndarray, Sequence[jax.Array]], tuple[np.ndarray, np.ndarray]]:
  """A function that draws: (variables, speech, keys) -> (faces, logits).

  Its arguments are the generator's variables; conditioned speech, float32 [N, T]; and N keys, one
  for each face, so that a face does not depend on which others are drawn with it. It returns faces,
  uint8 [N, S, S, 3], and the auxiliary classifier's logits, float32 [N, identities]. It compiles
  once for each power of two up to `BATCH`, to which N is padded.
  """
  draw_batch = jax.jit(jax.vmap(functools.partial(draw_one, generator), in_axes=(None, 0, 0)))

  def draw(variables, speech, keys):
    faces, logits = [], []
    size = min(BATCH, 1 << (len(speech) - 1).bit_length())
    for start in range(0, len(speech), size):
      picked = np.arange(start, start + size).clip(max=len(speech) - 1)
      keys_now = jnp.stack([keys[i] for i in picked])
      drawn, names = draw_batch(variables, speech[picked], keys_now)
      kept = min(size, len(speech) - start)
      faces.append(images.to_uint8(np.asarray(drawn)[:kept]))
      logits.append(np.asarray(names)[:kept])
    return np.concatenate(faces), np.concatenate(logits)

  return draw
