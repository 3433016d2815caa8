"""One training step, pure: how Wav2Pix learns (paper section 4.2; release)."""

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from wav2pix_jax import losses
from wav2pix_jax.common import schema
from wav2pix_jax.models import Networks
from wav2pix_jax.train_state import GanState, Optimizers, Player

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


def step_of(
  config: Any, nets: Networks, optimizers: Optimizers, axis_name: str | None = None
) -> Callable[[GanState, Batch, jax.Array], tuple[GanState, Metrics]]:
  """`train_step` of a config, as a function of state, batch and root key."""
  return functools.partial(
    train_step,
    nets=nets,
    optimizers=optimizers,
    weights=config.loss,
    ema_decay=config.ema_decay,
    axis_name=axis_name,
  )


def train_step(
  state: GanState,
  batch: Batch,
  root_key: jax.Array,
  *,
  nets: Networks,
  optimizers: Optimizers,
  weights: Any,
  ema_decay: float,
  axis_name: str | None = None,
) -> tuple[GanState, Metrics]:
  """One round: D learns from real, generated and mismatched faces, then G answers the new D.

  Args:
    state: as left by the round before.
    batch: as `schema.py` says, this device's share.
    root_key: of the run; the same in every step and on every device.
    nets: both networks, built for the same `axis_name`.
    optimizers: of both players.
    weights: `config.loss`.
    ema_decay: `config.ema_decay`.
    axis_name: the devices to average over; None for one device.

  Returns:
    The state after the round and its metrics, float32 scalars, the same on every device:
    each loss term, D's mean scores, the norms of gradients and parameters, and `finite`, 1 where
    all of these and the statistics are.
  """
  context: dict[str, Any] = {
    "nets": nets,
    "optimizers": optimizers,
    "weights": weights,
    "axis_name": axis_name,
  }
  key = stream(root_key, "discriminator step", state.step, axis_name)
  state, d_metrics, fake = discriminator_step(state, batch, key, **context)
  key = stream(root_key, "generator step", state.step, axis_name)
  state, g_metrics = generator_step(state, batch, key, fake, **context)
  metrics = {**d_metrics, **g_metrics}
  moved = (metrics, state.generator.stats, state.discriminator.stats)
  finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(moved)]).all()
  state = state.replace(step=state.step + 1, ema=_average(state, ema_decay))
  return state, {**metrics, "finite": finite.astype(jnp.float32)}


def discriminator_step(
  state: GanState,
  batch: Batch,
  key: jax.Array,
  *,
  nets: Networks,
  optimizers: Optimizers,
  weights: Any,
  axis_name: str | None = None,
) -> tuple[GanState, Metrics, jax.Array]:
  """D's half: of the generator only the running statistics move, as in the release.

  Returns:
    The state, the metrics, and the faces that D judged.
  """
  (fake, embedding, _), generator = _draw(nets, state.generator, batch, key)
  fake, embedding = lax.stop_gradient((fake, embedding))
  groups = {"real": batch[schema.FACE], "fake": fake}
  if weights.mismatched:
    groups["mismatched"] = batch[schema.MISMATCHED_FACE]

  def loss(params):
    player = state.discriminator.replace(params=params)
    judged, player = _judge(nets, player, list(groups.values()), embedding)
    scores = {name: score for name, (score, _) in zip(groups, judged, strict=True)}
    terms = losses.discriminator(scores, weights)
    return terms["total"], (player.stats, terms, jax.tree.map(jnp.mean, scores))

  grads, (stats, terms, means) = jax.grad(loss, has_aux=True)(state.discriminator.params)
  grads = _pmean(grads, axis_name)
  discriminator = _update(state.discriminator, grads, optimizers.discriminator, stats)
  metrics = {f"d_loss/{name}": term for name, term in terms.items()}
  metrics |= {f"d_score/{name}": mean for name, mean in means.items()}
  metrics["d_grad_norm"] = optax.tree.norm(grads)
  metrics["d_param_norm"] = optax.tree.norm(discriminator.params)
  state = state.replace(generator=generator, discriminator=discriminator)
  return state, _pmean(metrics, axis_name), fake


def generator_step(
  state: GanState,
  batch: Batch,
  key: jax.Array,
  drawn_before: jax.Array,
  *,
  nets: Networks,
  optimizers: Optimizers,
  weights: Any,
  axis_name: str | None = None,
) -> tuple[GanState, Metrics]:
  """G's half, with a fresh drawing: of D only the power iterations' vectors move.

  `drawn_before` are faces [B, S, S, 3] of the same generator and speech, drawn with another key.
  """

  def loss(params):
    player = state.generator.replace(params=params)
    (fake, embedding, logits), player = _draw(nets, player, batch, key)
    judged, discriminator = _judge(nets, state.discriminator, [fake], embedding)
    ((fake_scores, fake_features),) = judged
    # No gradient comes back through real faces, so they take a pass of their own; where passes are
    # batched, with the same power iteration.
    before = state.discriminator if nets.batched_passes else discriminator
    judged, discriminator = _judge(nets, before, [batch[schema.FACE]], embedding)
    ((_, real_features),) = judged
    terms = losses.generator(
      fake_scores,
      fake_features,
      lax.stop_gradient(real_features),
      fake,
      batch[schema.FACE],
      drawn_before,
      logits,
      batch[schema.IDENTITY],
      weights,
      lambda x: _pmean(x, axis_name),
    )
    accuracy = jnp.mean(logits.argmax(-1) == batch[schema.IDENTITY])
    return terms["total"], (player.stats, discriminator, terms, accuracy)

  grads, aux = jax.grad(loss, has_aux=True)(state.generator.params)
  stats, discriminator, terms, accuracy = aux
  grads = _pmean(grads, axis_name)
  generator = _update(state.generator, grads, optimizers.generator, stats)
  metrics = {f"g_loss/{name}": term for name, term in terms.items()}
  metrics["g_grad_norm"] = optax.tree.norm(grads)
  metrics["g_param_norm"] = optax.tree.norm(generator.params)
  metrics["classifier_accuracy"] = accuracy
  state = state.replace(generator=generator, discriminator=discriminator)
  return state, _pmean(metrics, axis_name)


def stream(
  root_key: jax.Array, name: str, step: jax.Array | int, axis_name: str | None = None
) -> jax.Array:
  """A key for one purpose at one step on one replica: resumed runs draw the same numbers."""
  key = jax.random.fold_in(jax.random.fold_in(root_key, zlib.crc32(name.encode())), step)
  return jax.random.fold_in(key, lax.axis_index(axis_name) if axis_name else 0)


def _draw(
  nets: Networks, generator: Player, batch: Batch, key: jax.Array
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Player]:
  """Faces, embeddings and logits of a batch's speech, and the generator with statistics moved."""
  out, stats = nets.generator.apply(
    generator.variables,
    batch[schema.SPEECH],
    True,
    False,
    rngs={"dropout": key},
    mutable=list(generator.stats),
  )
  return out, generator.replace(stats=stats)


def _judge(
  nets: Networks, discriminator: Player, groups: Sequence[jax.Array], embedding: jax.Array
) -> tuple[list[tuple[jax.Array, jax.Array]], Player]:
  """Scores and features of each group of faces, all with the same speech.

  A pass, and with it a power iteration, for each group (release), or one pass for all: without
  batch norm in D the same but for the power iterations, and faster.
  """

  def one_pass(player, faces, embedding):
    out, stats = nets.discriminator.apply(
      player.variables, faces, embedding, True, mutable=list(player.stats)
    )
    return out, player.replace(stats=stats)

  if nets.batched_passes:
    faces, tiled = jnp.concatenate(groups), jnp.tile(embedding, (len(groups), 1))
    (scores, features), discriminator = one_pass(discriminator, faces, tiled)
    count = len(groups)
    judged = list(zip(jnp.split(scores, count), jnp.split(features, count), strict=True))
    return judged, discriminator
  judged = []
  for faces in groups:
    out, discriminator = one_pass(discriminator, faces, embedding)
    judged.append(out)
  return judged, discriminator


def _update(
  player: Player, grads: Any, optimizer: optax.GradientTransformation, stats: Any
) -> Player:
  updates, opt_state = optimizer.update(grads, player.opt_state, player.params)
  params = optax.apply_updates(player.params, updates)
  return player.replace(params=params, opt_state=opt_state, stats=stats)


def _average(state: GanState, decay: float) -> Any:
  """The averaged generator after a round; early ones, far from any good, are soon forgotten."""
  if not state.ema:
    return state.ema
  kept = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
  return optax.incremental_update(state.generator.variables, state.ema, 1 - kept)


def _pmean(tree: Any, axis_name: str | None) -> Any:
  """Over the devices; of one alone without XLA's all-reduce, which would copy the tree (a CPU)."""
  return lax.pmean(tree, axis_name) if axis_name and lax.axis_size(axis_name) > 1 else tree
