"""A judge of whether a face goes with speech: networks that match real faces with real speech.

It is trained on the real training pairs of a dataset only, once for each dataset and image size;
see `taught.py`. It shares nothing with a run's networks.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm
from jax import lax

from data_builders.builder import PairsBuilder
from wav2pix_jax import data, losses
from wav2pix_jax.common import audio, images, schema
from wav2pix_jax.common.indices import in_batches
from wav2pix_jax.metrics.taught import taught
from wav2pix_jax.models.matcher import Matcher

RECIPE = 1  # increase it with every change of the training: it invalidates what is cached
EXACT = schema.SAMPLE_RATE // 25  # samples by which an instant may be wrong: one frame of a film
WINDOW = schema.SAMPLE_RATE * 2 // 5  # samples around the face's instant; a syllable has half of it
PEOPLE, EACH = 2, 16  # speakers of a batch, and moments of each: they have to be told apart
STEPS, RATE = 600, 1e-3
JITTER = schema.SAMPLE_RATE // 100  # samples by which windows are moved in training
SHIFT = 32  # faces are moved by up to this part of their size
BATCH = 64
AUDIO_STEPS = (audio.PEAK, audio.PREEMPHASIS)

See = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Judge:
  """Unit vectors of faces and of speech: the larger their product, the better they go together."""

  see: See  # of faces uint8 [N, S, S, 3]: float32 [N, C]
  hear: Callable[[np.ndarray], np.ndarray]  # of windows of speech int16 [N, WINDOW]: float32 [N, C]


def load_judge(builder: PairsBuilder, image_size: int) -> Judge:
  """Returns the judge of a prepared dataset, which is trained on first use.

  Raises UserError if its file cannot be written.
  """

  def teach() -> dict[str, Any]:
    return train_judge(data.load(builder, schema.TRAIN, image_size, EXACT))

  return as_judge(taught(builder, f"sync_{image_size}px_{RECIPE}", teach), image_size)


def as_judge(variables: dict[str, Any], image_size: int) -> Judge:
  """Returns the judge with the variables of a `Matcher`, for faces of a size."""
  matcher = Matcher(image_size).bind(variables)
  seeing = jax.jit(lambda faces: matcher.see(_to_input(faces)))
  hearing = jax.jit(lambda windows: matcher.hear(_condition(windows)))

  def see(faces: np.ndarray) -> np.ndarray:
    (seen,) = in_batches(lambda chosen: [seeing(faces[chosen])], len(faces), BATCH)
    return seen

  def hear(windows: np.ndarray) -> np.ndarray:
    (heard,) = in_batches(lambda chosen: [hearing(windows[chosen])], len(windows), BATCH)
    return heard

  return Judge(see, hear)


def train_judge(records: data.Records) -> dict[str, Any]:
  """Returns the variables of a `Matcher` that learned to match the records' faces and speech."""
  size = records.faces.shape[1]
  net, optimizer = Matcher(size), optax.adam(optax.cosine_decay_schedule(RATE, STEPS))
  variables: Any = net.init(
    jax.random.key(0), jnp.zeros((1, size, size, 3)), jnp.zeros((1, WINDOW)), False
  )
  opt_state = optimizer.init(variables["params"])

  @functools.partial(jax.jit, donate_argnums=(0, 1))
  def step(variables, opt_state, faces, windows, chosen, key):
    def loss(params):
      (seen, heard, scale), stats = net.apply(
        variables | {"params": params},
        _shifted(key, _to_input(faces)),
        _condition(windows),
        True,
        mutable=["batch_stats"],
      )
      matching = losses.matching_loss(
        speech=heard,
        faces=seen[:, None],
        scale=scale,
        records=chosen[:, None],
        gather=lambda x: x,
      )
      return matching, stats

    grads, stats = jax.grad(loss, has_aux=True)(variables["params"])
    updates, opt_state = optimizer.update(grads, opt_state)
    return {"params": optax.apply_updates(variables["params"], updates), **stats}, opt_state

  rng = np.random.default_rng(0)
  people = [np.flatnonzero(records.identity == label) for label in np.unique(records.identity)]
  for i in tqdm.trange(STEPS, desc="Training the judge of sync", unit=" steps"):
    picked = rng.choice(len(people), PEOPLE, replace=len(people) < PEOPLE)
    chosen = np.concatenate([rng.choice(people[k], EACH, len(people[k]) < EACH) for k in picked])
    offsets = rng.integers(-JITTER, JITTER, len(chosen), endpoint=True)
    windows = around(records, chosen, offsets)
    key = jax.random.fold_in(jax.random.key(1), i)
    variables, opt_state = step(
      variables, opt_state, records.faces[chosen], windows, chosen.astype(np.int32), key
    )
  return variables


def around(records: data.Records, chosen: np.ndarray, offsets: np.ndarray) -> np.ndarray:
  """Returns speech around the instants of chosen records, int16 [N, WINDOW].

  Windows are moved by offsets, int [N], in samples, and have zeros beyond a record's speech.
  """
  starts = records.instant[chosen] + offsets - WINDOW // 2
  cut = [
    audio.cut(records.speech_of(record), int(start), WINDOW)
    for record, start in zip(chosen, starts, strict=True)
  ]
  return np.stack(cut)


def _condition(windows: Any) -> Any:
  return audio.condition(windows, AUDIO_STEPS)


def _to_input(faces: Any) -> Any:
  return images.to_float(faces)


def _shifted(key: jax.Array, faces: jax.Array) -> jax.Array:
  """Returns faces [B, S, S, 3], each moved a little."""
  size = faces.shape[1]
  far = max(size // SHIFT, 1)
  padded = jnp.pad(faces, ((0, 0), (far, far), (far, far), (0, 0)), "edge")
  corners = jax.random.randint(key, (len(faces), 2), 0, 2 * far + 1)
  return jax.vmap(lambda x, at: lax.dynamic_slice(x, (*at, 0), (size, size, 3)))(padded, corners)
