"""Training: from a config to checkpoints, curves and grids in a workdir."""

import contextlib
import functools
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from wav2pix_jax import data, models
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, writing
from wav2pix_jax.data import on_device
from wav2pix_jax.metrics import metrics
from wav2pix_jax.metrics.identity_classifier import identifier
from wav2pix_jax.runtime import checkpoint, distributed, run_config
from wav2pix_jax.runtime.metric_writer import Log, Look
from wav2pix_jax.runtime.preemption import Stopped, stop_requests
from wav2pix_jax.train_state import build_optimizers, initialise
from wav2pix_jax.train_step import step_of, stream

# Examples to look at, of speech not learned from and learned from, and real faces to compare with.
HELD_OUT, LEARNED, REFERENCE = 128, 64, 400
FIRST_LOOKS = 5  # before which any run draws badly, and no warning is given


def check(config: ConfigDict) -> None:
  """Refuses a config that cannot run, before anything is read or written.

  Raises:
    UserError: naming the field, its value and what it may be.
  """
  models.check(config)
  data.check(config.dataset, config.image_size)
  distributed.process_batch_size(config.batch_size)
  for field in ("num_steps", "log_every", "eval_every", "save_every"):
    if config[field] < 1:
      raise UserError(f"{field} is {config[field]}; it must be at least 1.")
  if not 0 <= config.ema_decay < 1:
    raise UserError(f"ema_decay is {config.ema_decay}; it must be from 0 (none) to below 1.")
  model = config.model
  draws_differ = model.dropout and (model.dropout_embedding or model.dropout_layers)
  if config.loss.energy_score and not draws_differ:
    raise UserError(
      "loss.energy_score compares two draws, which are the same without dropout; set it to False, "
      "or model.dropout above 0 with model.dropout_embedding or model.dropout_layers."
    )


def train(config: ConfigDict, workdir: Path) -> None:
  """Trains until `config.num_steps`, going on from the workdir's latest checkpoint if it has one.

  Raises:
    UserError: a config that cannot run, a workdir of another run or in use, or a step whose losses
      or gradients are not finite; checkpoints saved before stay.
    Stopped: a signal asked to stop, and the state is saved.
  """
  check(config)
  run_config.refuse_changes(workdir, config)
  builder = data.prepare(config.dataset)
  identities = run_config.identities(workdir, data.identity_names(builder))
  records = data.load(builder, schema.TRAIN, config.image_size)
  split = data.held_out_split(builder)
  held_out = data.load(builder, split, config.image_size)

  nets = models.build(config, len(identities), distributed.AXIS)
  optimizers = build_optimizers(config)
  root_key = jax.random.key(config.seed)
  init_key = stream(root_key, "initialise", 0)
  make_state = functools.partial(initialise, nets, optimizers, init_key, config)
  step: Any = step_of(config, nets, optimizers, distributed.AXIS)
  constants: Any = root_key
  train_batches: Any = data.train_batches
  if config.dataset.on_device:
    train_batches = on_device.train_batches
    step = on_device.step_of(step, config, distributed.AXIS)
    constants = root_key, on_device.place(records, config)
  step_on_devices = distributed.pmapped(step)
  who = identifier(builder, config.image_size)
  chosen = data.evenly(records, REFERENCE)
  reference = metrics.make_out(records.faces[chosen], records.identity[chosen], who)
  compare = (reference, who, nets, config, identities)
  looks = {
    "held_out": Look("held_out", held_out, split, HELD_OUT, *compare),
    "learned": Look("learned", records, schema.TRAIN, LEARNED, *compare),
  }
  samples = workdir / "samples"
  digests = {schema.TRAIN: records.digest, split: held_out.digest}
  if not distributed.same_everywhere(f"{digests} {identities}"):
    raise UserError("the processes read different records; give them one dataset.data_dir.")

  with contextlib.ExitStack() as stack:

    def take_workdir() -> None:
      stack.enter_context(exclusively(workdir, wait=False))
      run_config.write(workdir, config, identities, digests)
      _write_recordings(samples / "held_out", held_out, identities)

    distributed.in_first(take_workdir)
    stop_asked = stack.enter_context(stop_requests())  # until the last checkpoint is written
    checkpoints = stack.enter_context(checkpoint.Checkpoints(workdir))
    if checkpoints.latest_step is None:
      state = distributed.replicate(make_state())
    else:
      state = checkpoints.restore(checkpoints.latest_step, distributed.abstract(make_state))
      print(f"Going on from step {int(state.step)} in {workdir}.")
    start = int(state.step)
    distributed.in_first(lambda: run_config.record_start(workdir, start))
    params = {"generator": state.generator.params, "discriminator": state.discriminator.params}
    print(parameter_overview.get_parameter_overview(params, include_stats=False))
    print(
      f"{len(records)} records to train on, {len(held_out)} of {split} to look at: "
      f"{', '.join(identities)}."
    )
    batches = train_batches(
      records,
      config,
      distributed.process_batch_size(config.batch_size),
      jax.process_index(),
      jax.process_count(),
      start,
    )

    log = stack.enter_context(Log(workdir, start, config))
    figures: dict[str, float] = {}
    steps = range(start + 1, config.num_steps + 1)
    for step, batch in zip(steps, log.timed(batches), strict=False):
      state, measured = step_on_devices(state, distributed.shard(batch), constants)
      log.add(measured)
      last = step == config.num_steps
      signal = 0 if last else stop_asked(step)
      save = last or signal or step % config.save_every == 0
      if save or step % config.log_every == 0:
        log.write(step)  # stops a run that is not finite, so before any save
      figures = {}
      if last or step % config.eval_every == 0:
        for name, look in looks.items():
          seen = look(state)
          figures |= seen.figures
          warn = name == "held_out" and step >= FIRST_LOOKS * config.eval_every
          log.write_look(step, name, seen, warn)
      if save:
        comparable = figures if split == schema.VALIDATION else {}  # never choose by test
        checkpoints.save(state, run_config.as_dict(config), comparable)
      if signal:
        raise Stopped(f"step {step} of {config.num_steps} is saved in {workdir}", signal)
  if distributed.is_first():
    _print_end(int(state.step), figures, samples, workdir)


def _print_end(step: int, figures: dict[str, float], samples: Path, workdir: Path) -> None:
  """What was reached, where to look, and what to type next."""
  print(f"Trained to step {step}.")
  if figures:
    print(
      f"Of faces drawn from speech it has not learned from, "
      f"{figures['held_out/identity_accuracy']:.1%} show the right person; they are in\n"
      f"  {samples}/step_{step:06d}_held_out.png"
    )
  python, here = Path(sys.executable), Path.cwd()
  shown = python.relative_to(here) if python.is_relative_to(here) else python
  print(
    "Draw from these recordings, or name one of your own:\n"
    f"  {shown} main.py --mode=sample --workdir={workdir} --speech={samples / 'held_out'}"
  )


def _write_recordings(folder: Path, records: data.Records, identities: list[str]) -> None:
  """A held-out recording of each identity, to draw from later."""
  with writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
  for who, name in enumerate(identities):
    of_identity = np.flatnonzero(records.identity == who)
    if len(of_identity):
      audio.write_wav(folder / f"{name}.wav", records[of_identity[0]][schema.SPEECH])
