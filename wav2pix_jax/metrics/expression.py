"""A regressor of lip spread and smile, which landmarks hardly see: for synthetic speakers only.

It is taught on faces of the dataset's speakers that are rendered with random expressions, whose
truth is known, once for each dataset and image size; see `taught.py`. For other faces nothing tells
whether it would be right.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm

from data_builders.builder import PairsBuilder
from data_builders.synthetic import clips
from data_builders.synthetic.identity import Person
from data_builders.synthetic.synthetic_dataset_builder import SyntheticConfig
from wav2pix_jax.common import images
from wav2pix_jax.common.indices import in_batches
from wav2pix_jax.common.workers import workers
from wav2pix_jax.metrics.taught import taught
from wav2pix_jax.models.face_classifier import FaceClassifier

RECIPE = 1  # increase it with every change of the training: it invalidates what is cached
SPREAD, SMILE = range(2)  # what it tells of a face
EACH, STEPS, BATCH, RATE = 120, 600, 64, 1e-3  # faces of each person, and the training

Express = Callable[[np.ndarray], np.ndarray]


def load_regressor(builder: PairsBuilder, image_size: int) -> Express | None:
  """Returns the regressor of a dataset of synthetic speakers; None for any other dataset.

  It is a function of faces, uint8 [N, S, S, 3], that returns lip spread and smile, float32 [N, 2].
  Raises UserError if its file cannot be written.
  """
  chosen = builder.builder_config
  if not isinstance(chosen, SyntheticConfig):
    return None

  def teach() -> dict[str, Any]:
    return train_regressor(*expressions(chosen.people(), image_size))

  return as_function(taught(builder, f"expression_{image_size}px_{RECIPE}", teach))


def expressions(everyone: list[Person], image_size: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns faces of people with random expressions, uint8 [N, S, S, 3], and their truth [N, 2]."""
  work = functools.partial(clips.random_expressions, count=EACH, size=image_size)
  with workers(len(everyone)) as pool:
    made = list(
      tqdm.tqdm(pool.map(work, everyone), "Rendering expressions", len(everyone), unit=" speakers")
    )
  faces = np.concatenate([faces for faces, _ in made])
  truth = [(pose.spread, pose.smile) for _, poses in made for pose in poses]
  return faces, np.array(truth, np.float32)


def train_regressor(faces: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
  """Returns the variables of a network that tells the truth [N, K] from faces [N, S, S, 3]."""
  net, optimizer = (
    FaceClassifier(truth.shape[1]),
    optax.adam(optax.cosine_decay_schedule(RATE, STEPS)),
  )
  variables: Any = net.init(jax.random.key(0), images.to_float(faces[:1]), False)
  opt_state = optimizer.init(variables["params"])

  @functools.partial(jax.jit, donate_argnums=(0, 1))
  def step(variables, opt_state, faces, truth):
    def loss(params):
      (told, _), stats = net.apply(
        variables | {"params": params}, images.to_float(faces), True, mutable=["batch_stats"]
      )
      return jnp.square(told - truth).mean(), stats

    grads, stats = jax.grad(loss, has_aux=True)(variables["params"])
    updates, opt_state = optimizer.update(grads, opt_state)
    return {"params": optax.apply_updates(variables["params"], updates), **stats}, opt_state

  rng = np.random.default_rng(0)
  for _ in tqdm.trange(STEPS, desc="Training the regressor of expressions", unit=" steps"):
    chosen = rng.integers(len(faces), size=BATCH)
    variables, opt_state = step(variables, opt_state, faces[chosen], truth[chosen])
  return variables


def as_function(variables: dict[str, Any]) -> Express:
  """Returns what `train_regressor` returns as a function of faces; see `load_regressor`."""
  net = FaceClassifier(variables["params"]["logits"]["bias"].size)
  forward = jax.jit(lambda faces: net.apply(variables, images.to_float(faces), False)[0])

  def express(faces: np.ndarray) -> np.ndarray:
    (told,) = in_batches(lambda chosen: [forward(faces[chosen])], len(faces), BATCH)
    return told

  return express
