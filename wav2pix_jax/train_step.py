"""A training step as a pure function: how Wav2Pix learns (paper, section 4.2; PyTorch release)."""

import itertools
import zlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from wav2pix_jax import losses
from wav2pix_jax.common import schema
from wav2pix_jax.train_state import GanState, NetworkState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


def train_step(
  state: GanState, batch: Batch, root_key: jax.Array, *, config: Any, axis_name: str | None = None
) -> tuple[GanState, Metrics]:
  """One round: D learns from real, generated and mismatched faces, then G answers the new D.

  Where `loss.matching` is above 0, G's half also trains the face encoder, and the speech encoder to
  match its features.

  Args:
    state: The state after the step before, whose networks were built for the same `axis_name`.
    batch: This device's share of a batch, as `schema.py` defines it.
    root_key: The run's key, the same in every step and on every device.
    config: The run's config; `loss`, `model`, `ema_decay` and `speaker_steps` are read.
    axis_name: The axis of the devices to average over; None for a single device.

  Returns:
    The state after the step and its metrics, float32 scalars that are equal on all devices: each
    term of the losses, the discriminator's mean scores, norms of gradients and parameters, and
    `finite`, which is 1 if none of these and of the statistics is NaN or Inf.
  """
  key = stream(root_key, "discriminator step", state.step, axis_name)
  state, d_metrics, fake = discriminator_step(state, batch, key, config=config, axis_name=axis_name)
  key = stream(root_key, "generator step", state.step, axis_name)
  state, g_metrics = generator_step(state, batch, key, fake, config=config, axis_name=axis_name)
  metrics = {**d_metrics, **g_metrics}
  networks = filter(None, (state.generator, state.discriminator, state.face_encoder))
  changed = (metrics, [network.stats for network in networks])
  finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(changed)]).all()
  state = _same_statistics(state, config, axis_name)
  state = state.replace(ema=_average(state, config.ema_decay, since=config.speaker_steps))
  return state, {**metrics, "finite": finite.astype(jnp.float32)}


def speaker_step(
  state: GanState, batch: Batch, root_key: jax.Array, *, config: Any, axis_name: str | None = None
) -> tuple[GanState, Metrics]:
  """A step of `config.speaker_steps`: speech encoder and classifier learn who speaks (ours).

  Arguments and results are those of `train_step`, with fewer metrics. The other networks and the
  rest of the generator stay as they are, and after the last such step the generator's optimizer is
  as at the start.
  """
  generator, key = state.generator, stream(root_key, "speaker step", state.step, axis_name)

  def loss(params):
    (_, logits), stats = generator.apply_fn(
      {"params": params, **generator.stats},
      batch[schema.SPEECH],
      True,
      rngs={"dropout": key},
      mutable=list(generator.stats),
      method="listen",
    )
    identity = batch[schema.IDENTITY]
    error = optax.softmax_cross_entropy_with_integer_labels(logits, identity).mean()
    return error, (stats, error, jnp.mean(logits.argmax(-1) == identity))

  grads, (stats, error, accuracy) = jax.grad(loss, has_aux=True)(generator.params)
  grads = _pmean(grads, axis_name)
  generator = generator.apply_gradients(grads=grads, stats={**generator.stats, **stats})
  opt_state = lax.cond(
    generator.step == config.speaker_steps,
    lambda: generator.tx.init(generator.params),
    lambda: generator.opt_state,
  )
  state = state.replace(generator=generator.replace(opt_state=opt_state))
  state = _same_statistics(state, config, axis_name)
  state = state.replace(ema=_average(state, config.ema_decay, since=0))
  metrics = {"g_loss/softmax": error, "classifier_accuracy": accuracy}
  changed = (error, optax.tree.norm(grads), stats)
  finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(changed)]).all()
  return state, _pmean(metrics | {"finite": finite.astype(jnp.float32)}, axis_name)


def discriminator_step(
  state: GanState, batch: Batch, key: jax.Array, *, config: Any, axis_name: str | None = None
) -> tuple[GanState, Metrics, jax.Array]:
  """The discriminator's half; of the generator only running statistics change (PyTorch release).

  Returns:
    The state, the metrics, and the generated faces [B, S, S, 3] that the discriminator saw.
  """
  (fake, embedding, _), generator = _generate(state.generator, batch, key)
  fake, embedding = lax.stop_gradient((fake, embedding))
  groups = {"real": (batch[schema.FACE], embedding), "fake": (fake, embedding)}
  mismatched = {}
  if config.loss.mismatched:
    mismatched["mismatched"] = batch[schema.MISMATCHED_FACE]
  if config.loss.mismatched_moment:
    mismatched["mismatched_moment"] = batch[schema.FURTHER_FACES][:, 0]
  kinds = len(mismatched)  # of two kinds, every other example has each
  for first, (name, faces) in enumerate(mismatched.items()):
    groups[name] = faces[first::kinds], embedding[first::kinds]

  def loss(params):
    discriminator = state.discriminator.replace(params=params)
    judged, discriminator = _judge(discriminator, list(groups.values()), config)
    scores = {name: score for name, (score, _) in zip(groups, judged, strict=True)}
    terms = losses.discriminator_loss(scores=scores, weights=config.loss)
    return terms["total"], (discriminator.stats, terms, jax.tree.map(jnp.mean, scores))

  grads, (stats, terms, means) = jax.grad(loss, has_aux=True)(state.discriminator.params)
  grads = _pmean(grads, axis_name)
  discriminator = state.discriminator.apply_gradients(grads=grads, stats=stats)
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
  other_faces: jax.Array,
  *,
  config: Any,
  axis_name: str | None = None,
) -> tuple[GanState, Metrics]:
  """The generator's half, with new noise; of D only the power iterations' vectors change.

  The energy score compares its faces with `other_faces` [B, S, S, 3] of the same generator and
  speech, generated with another key.
  """

  def loss(params):
    generator_params, face_encoder_params = params
    (fake, embedding, logits), generator = _generate(
      state.generator.replace(params=generator_params), batch, key, not config.loss.faces_teach
    )
    judged, discriminator = _judge(state.discriminator, [(fake, embedding)], config)
    ((fake_scores, fake_features),) = judged
    # Real faces need no gradient, so they have a pass of their own. Where passes are batched, it
    # starts from the same power iteration.
    before = state.discriminator if config.model.discriminator_batched_passes else discriminator
    judged, discriminator = _judge(before, [(batch[schema.FACE], embedding)], config)
    ((_, real_features),) = judged
    terms = losses.generator_loss(
      scores=fake_scores,
      features=fake_features,
      real_features=lax.stop_gradient(real_features),
      faces=fake,
      real_faces=batch[schema.FACE],
      other_faces=other_faces,
      logits=logits,
      identities=batch[schema.IDENTITY],
      weights=config.loss,
      pmean=lambda x: _pmean(x, axis_name),
    )
    face_encoder = state.face_encoder
    if face_encoder:
      terms["matching"], face_encoder = _match(
        face_encoder.replace(params=face_encoder_params), batch, embedding, config, axis_name
      )
      terms["total"] += config.loss.matching * terms["matching"]
    accuracy = jnp.mean(logits.argmax(-1) == batch[schema.IDENTITY])
    stats = generator.stats, face_encoder and face_encoder.stats
    return terms["total"], (stats, discriminator, terms, accuracy)

  face_encoder = state.face_encoder
  params = state.generator.params, face_encoder and face_encoder.params
  grads, (stats, discriminator, terms, accuracy) = jax.grad(loss, has_aux=True)(params)
  grads, face_encoder_grads = _pmean(grads, axis_name)
  generator = state.generator.apply_gradients(grads=grads, stats=stats[0])
  if face_encoder:
    face_encoder = face_encoder.apply_gradients(grads=face_encoder_grads, stats=stats[1])
  metrics = {f"g_loss/{name}": term for name, term in terms.items()}
  metrics["g_grad_norm"] = optax.tree.norm(grads)
  metrics["g_param_norm"] = optax.tree.norm(generator.params)
  metrics["classifier_accuracy"] = accuracy
  state = state.replace(generator=generator, discriminator=discriminator, face_encoder=face_encoder)
  return state, _pmean(metrics, axis_name)


def stream(
  root_key: jax.Array, name: str, step: jax.Array | int, axis_name: str | None = None
) -> jax.Array:
  """Returns a key for one purpose, step and replica, so that resumed runs use the same numbers."""
  key = jax.random.fold_in(jax.random.fold_in(root_key, zlib.crc32(name.encode())), step)
  return jax.random.fold_in(key, lax.axis_index(axis_name) if axis_name else 0)


def _generate(
  generator: NetworkState, batch: Batch, key: jax.Array, detached: bool = False
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], NetworkState]:
  """Returns faces, embeddings and logits for a batch's speech, and the new statistics.

  `detached` is that of `Generator`.
  """
  out, stats = generator.apply_fn(
    generator.variables,
    batch[schema.SPEECH],
    True,
    False,
    detached,
    rngs={"dropout": key},
    mutable=list(generator.stats),
  )
  return out, generator.replace(stats=stats)


def _judge(
  discriminator: NetworkState, groups: Sequence[tuple[jax.Array, jax.Array]], config: Any
) -> tuple[list[tuple[jax.Array, jax.Array]], NetworkState]:
  """Returns scores and features of each group of faces and embeddings of speech.

  Either each group has a pass, and with it a power iteration, of its own (PyTorch release), or one
  pass serves all groups: without batch norm in D the results differ only by the power iterations.
  """

  def one_pass(discriminator, faces, embedding):
    out, stats = discriminator.apply_fn(
      discriminator.variables, faces, embedding, True, mutable=list(discriminator.stats)
    )
    return out, discriminator.replace(stats=stats)

  if config.model.discriminator_batched_passes:
    faces, embeddings = map(jnp.concatenate, zip(*groups, strict=True))
    judged, discriminator = one_pass(discriminator, faces, embeddings)
    ends = list(itertools.accumulate(len(faces) for faces, _ in groups))[:-1]
    scores, features = (jnp.split(x, ends) for x in judged)
    return list(zip(scores, features, strict=True)), discriminator
  judged = []
  for faces, embedding in groups:
    out, discriminator = one_pass(discriminator, faces, embedding)
    judged.append(out)
  return judged, discriminator


def _match(
  face_encoder: NetworkState,
  batch: Batch,
  embedding: jax.Array,
  config: Any,
  axis_name: str | None,
) -> tuple[jax.Array, NetworkState]:
  """Returns the matching loss of a batch's embeddings and real faces, and the new statistics."""
  count = 1 + config.loss.matching_faces
  own, further = batch[schema.FACE][:, None], batch[schema.FURTHER_FACES]
  faces = jnp.concatenate([own, further], 1)[:, :count]
  (features, speech, scale), stats = face_encoder.apply_fn(
    face_encoder.variables,
    faces.reshape(-1, *faces.shape[2:]),
    embedding,
    True,
    mutable=list(face_encoder.stats),
  )

  def gather(x):
    return lax.all_gather(x, axis_name, tiled=True) if axis_name else x

  loss = losses.matching_loss(
    speech=speech,
    faces=features.reshape(-1, count, features.shape[-1]),
    scale=scale,
    records=batch[schema.RECORDS][:, :count],
    gather=gather,
  )
  return loss, face_encoder.replace(stats=stats)


def _same_statistics(state: GanState, config: Any, axis_name: str | None) -> GanState:
  """Returns a state whose running statistics are means over groups of devices, if there are any."""
  if not config.model.batch_norm_devices:
    return state  # they are the same already

  def averaged(network):
    return network and network.replace(stats=_pmean(network.stats, axis_name))

  return state.replace(
    generator=averaged(state.generator), face_encoder=averaged(state.face_encoder)
  )


def _average(state: GanState, decay: float, since: int) -> Any:
  """Returns the averaged generator; the first steps after `since`, far from any good, fade soon."""
  if not state.ema:
    return state.ema
  finished = state.step - 1 - since  # before this step
  kept = jnp.minimum(decay, (1 + finished) / (10 + finished))
  return optax.incremental_update(state.generator.variables, state.ema, 1 - kept)


def _pmean(tree: Any, axis_name: str | None) -> Any:
  """Returns the mean over devices; on one device no all-reduce, which would copy the tree."""
  return lax.pmean(tree, axis_name) if axis_name and lax.axis_size(axis_name) > 1 else tree
