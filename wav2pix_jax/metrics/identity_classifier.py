"""A classifier of real faces, which names the person in generated ones.

It is trained on the real training faces of a dataset only, once for each dataset and image size;
see `taught.py`.
"""

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
from wav2pix_jax import data
from wav2pix_jax.common import images, schema
from wav2pix_jax.common.indices import in_batches
from wav2pix_jax.metrics.taught import taught
from wav2pix_jax.models.face_classifier import FaceClassifier

RECIPE = 2  # increase it with every change of the training: it invalidates what is cached
BATCH, RATE = 64, 1e-3
# Ten people need 600 steps: after 300 it names 97.5% of held-out synthetic faces, then 100%.
EPOCHS, STEPS_PER_PERSON, LEAST_STEPS, MOST_STEPS = 12, 60, 150, 2_000
LARGEST = 64  # pixels; larger faces are averaged down to it
DEVIATION = "deviation"

Classify = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_classifier(builder: PairsBuilder, image_size: int) -> Classify:
  """Returns the classifier of a prepared dataset's people, which is trained on first use.

  Raises UserError if its file cannot be written.
  """

  def teach() -> dict[str, Any]:
    return train_classifier(data.load(builder, schema.TRAIN, image_size))

  return as_function(taught(builder, f"classifier_{image_size}px_{RECIPE}", teach))


def as_function(learned: dict[str, Any]) -> Classify:
  """Returns what `train_classifier` returns as a function.

  Returns:
    A function of faces, uint8 [N, S, S, 3], that returns logits, float32 [N, identities], and
    features, float32 [N, C], each with standard deviation 1 over the real training faces.
  """
  variables = {name: tree for name, tree in learned.items() if name != DEVIATION}
  forward = jax.jit(lambda faces: _network(learned).apply(variables, _to_input(faces), False))

  def classify(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, features = in_batches(lambda chosen: forward(faces[chosen]), len(faces), BATCH)
    return logits, features / learned[DEVIATION]

  return classify


def train_classifier(records: data.Records) -> dict[str, Any]:
  """Returns a classifier's variables, and the deviation of its features over the training faces.

  It learns to distinguish everybody in `records`.
  """
  size = min(records.faces.shape[1], LARGEST)
  people = int(records.identity.max()) + 1
  net = FaceClassifier(people)
  least = max(STEPS_PER_PERSON * people, LEAST_STEPS)
  steps = min(max(EPOCHS * len(records) // BATCH, least), MOST_STEPS)
  optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps))
  variables: Any = net.init(jax.random.key(0), jnp.zeros((1, size, size, 3)), False)
  opt_state = optimizer.init(variables["params"])

  @functools.partial(jax.jit, donate_argnums=(0, 1))
  def step(variables, opt_state, faces, identity, key):
    def loss(params):
      seen = _augmented(key, _to_input(faces))
      out, stats = net.apply(variables | {"params": params}, seen, True, mutable=["batch_stats"])
      losses = optax.softmax_cross_entropy_with_integer_labels(out[0], identity)
      return losses.mean(), stats

    grads, stats = jax.grad(loss, has_aux=True)(variables["params"])
    updates, opt_state = optimizer.update(grads, opt_state)
    return {"params": optax.apply_updates(variables["params"], updates), **stats}, opt_state

  rng = np.random.default_rng(0)
  for i in tqdm.trange(steps, desc="Training the identity classifier", unit=" steps"):
    chosen = rng.integers(len(records), size=BATCH)
    key = jax.random.fold_in(jax.random.key(1), i)
    batch = records.faces[chosen], records.identity[chosen]
    variables, opt_state = step(variables, opt_state, *batch, key)
  learned = jax.device_get(variables) | {DEVIATION: np.float32(1)}
  _, features = as_function(learned)(records.faces[: 64 * BATCH])
  return learned | {DEVIATION: features.std(0).clip(1e-3)}


def _network(learned: dict[str, Any]) -> FaceClassifier:
  return FaceClassifier(learned["params"]["logits"]["bias"].size)


def _to_input(faces: Any) -> jax.Array:
  """Returns faces uint8 [B, S, S, 3] as float32 in [-1, 1], at most `LARGEST` pixels wide."""
  batch, size = faces.shape[:2]
  times = max(size // LARGEST, 1)
  tiles = images.to_float(faces).reshape(batch, size // times, times, size // times, times, 3)
  return tiles.mean((2, 4))


def _augmented(key: jax.Array, faces: jax.Array) -> jax.Array:
  """Returns faces [B, S, S, 3] changed so that only the face itself identifies a person.

  They are mirrored, shifted by up to an eighth, in other colours, and most of them have another
  background: a flat colour or another picture outside of an ellipse.
  """
  batch, size = faces.shape[:2]
  keys = iter(jax.random.split(key, 12))

  def uniform(low: float, high: float, *shape: int) -> jax.Array:
    return jax.random.uniform(next(keys), (batch, *shape), minval=low, maxval=high)

  def one_half() -> jax.Array:
    return uniform(0, 1, 1, 1, 1) < 0.5

  faces = jnp.where(one_half(), faces[:, :, ::-1], faces)
  far = size // 8
  padded = jnp.pad(faces, ((0, 0), (far, far), (far, far), (0, 0)), "edge")
  corners = jax.random.randint(next(keys), (batch, 2), 0, 2 * far + 1)
  faces = jax.vmap(lambda x, at: lax.dynamic_slice(x, (*at, 0), (size, size, 3)))(padded, corners)

  gray = faces.mean(-1, keepdims=True)
  faces = gray + (faces - gray) * uniform(0.2, 1.5, 1, 1, 1)  # saturation
  faces = faces * uniform(0.6, 1.4, 1, 1, 1) + uniform(-0.3, 0.3, 1, 1, 3)  # contrast, colour

  flat = jnp.broadcast_to(uniform(-1, 1, 1, 1, 3), faces.shape)
  behind = jnp.where(one_half(), flat, jnp.roll(faces, 1, 0))
  down, right = jnp.meshgrid(*2 * [jnp.linspace(-1, 1, size)], indexing="ij")
  reach = (down / uniform(0.75, 1.1, 1, 1)) ** 2 + (right / uniform(0.55, 0.9, 1, 1)) ** 2
  outside = jnp.clip((reach - 0.9) * 5, 0, 1)[..., None] * (uniform(0, 1, 1, 1, 1) < 0.75)
  return jnp.clip(faces + (behind - faces) * outside, -1, 1)
