"""The mode `train`: from a config to checkpoints, curves and grids in a workdir."""

import contextlib
import functools
import sys
from pathlib import Path

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from data_builders.builder import PairsBuilder
from wav2pix_jax import data, metrics, models
from wav2pix_jax.common import audio, schema
from wav2pix_jax.common.errors import UserError, listed
from wav2pix_jax.common.files import exclusively, writing
from wav2pix_jax.metrics.identity_classifier import load_classifier
from wav2pix_jax.metrics.snapshot import SnapshotTaker
from wav2pix_jax.runtime import checkpoint, distributed, history, metric_writer, run_config
from wav2pix_jax.runtime.preemption import Stopped, stop_requests
from wav2pix_jax.runtime.profiler import profile
from wav2pix_jax.runtime.training_log import TrainingLog
from wav2pix_jax.sampler import Sampler
from wav2pix_jax.train_state import GanState, create_state
from wav2pix_jax.train_step import speaker_step, stream, train_step

HELD_OUT, LEARNED, REFERENCE = 128, 64, 400  # chunks in snapshots, and real faces to compare with
RECORDINGS = 20  # held-out recordings that are written
RUNS_ONCE = {"xla_backend_optimization_level": 1}  # half the time to compile, the same numbers
FIRST_SNAPSHOTS = 5  # without warnings, since every run generates bad faces at first


def check(config: ConfigDict) -> None:
  """Refuses a config that cannot be trained, before anything is read or written.

  Raises:
    UserError: The message names the field, its value and the values that it may have.
  """
  models.check(config)
  data.check(config.dataset, config.image_size)
  metric_writer.check(config)
  distributed.process_batch_size(config.batch_size)
  devices, both = jax.device_count(), config.loss.mismatched and config.loss.mismatched_moment
  if both and config.batch_size % (2 * devices):
    raise UserError(
      f"batch_size is {config.batch_size}; with loss.mismatched and loss.mismatched_moment it must "
      f"be a multiple of twice the number of devices, {2 * devices}."
    )
  group = config.model.batch_norm_devices
  if group < 0 or group and devices % group:
    raise UserError(
      f"model.batch_norm_devices is {group}; it must be 0, or divide the number of devices, "
      f"{devices}."
    )
  for field in ("num_steps", "log_every", "eval_every", "save_every"):
    if config[field] < 1:
      raise UserError(f"{field} is {config[field]}; it must be at least 1.")
  if not 0 <= config.speaker_steps < config.num_steps:
    raise UserError(
      f"speaker_steps is {config.speaker_steps}; it must be from 0 to below num_steps, "
      f"{config.num_steps}."
    )
  if not 0 <= config.ema_decay < 1:
    raise UserError(f"ema_decay is {config.ema_decay}; it must be from 0 (none) to below 1.")
  model = config.model
  samples_differ = (
    model.noise or model.dropout and (model.dropout_embedding or model.dropout_layers)
  )
  if config.loss.energy_score and not samples_differ:
    raise UserError(
      "loss.energy_score compares two samples, which are equal without noise or dropout; "
      "set it to False, or model.noise above 0."
    )


def train(
  config: ConfigDict, workdir: Path, profile_steps: int = 0, init: Path | None = None
) -> GanState:
  """Trains until `config.num_steps`, resuming from the workdir's latest checkpoint if it has one.

  `profile_steps` of the steps are profiled. A new run starts from the weights in the workdir `init`
  if it is given, see `checkpoint.start_from`. Returns the final state.

  Raises:
    UserError: The config cannot be trained, the workdir contains another run or is in use, or a
      step has NaN or Inf; earlier checkpoints stay.
    Stopped: A signal asked to stop, and the state is saved.
  """
  check(config)
  run_config.refuse_changes(workdir, config)
  initial = checkpoint.load(init) if init and not run_config.saved_steps(workdir) else None
  builder = data.prepare(config.dataset)
  speakers = run_config.speakers(workdir, data.identity_names(builder))
  split = data.held_out_split(builder)
  records, held_out = (
    data.load(builder, name, config.image_size, config.dataset.largest_instant_error)
    for name in (schema.TRAIN, split)
  )
  digests = {schema.TRAIN: records.digest, split: held_out.digest}
  if not distributed.same_everywhere(f"{digests} {speakers}"):
    raise UserError("the processes read different records; give them one dataset.data_dir.")

  networks = models.build(config, len(speakers), distributed.AXIS)
  root_key = jax.random.key(config.seed)
  init_key = stream(root_key, "initialise", 0)
  make_state = functools.partial(create_state, config, networks, init_key)
  feed = data.Feed(records, config)

  def on_devices(step):
    def step_function(state, batch, key_data):
      key = jax.random.wrap_key_data(key_data)
      return step(state, batch, key, config=config, axis_name=distributed.AXIS)

    return distributed.pmapped(feed.into(step_function))

  first_step_on_devices, step_on_devices = on_devices(speaker_step), on_devices(train_step)
  # As an array, since pmap of several processes copies keys to the host in every step.
  constants = distributed.replicate((jax.random.key_data(root_key), feed.resident))
  snapshot_takers = functools.cache(  # the first snapshot trains the identity classifier
    lambda: _snapshot_takers(config, networks, builder, speakers, records, held_out, split)
  )

  with contextlib.ExitStack() as stack:

    def take_workdir() -> None:
      stack.enter_context(exclusively(workdir, wait=False))
      run_config.write(workdir, config, speakers, digests)
      _write_recordings(workdir / "samples" / "held_out", held_out, speakers)

    distributed.in_first(take_workdir)
    stop_asked = stack.enter_context(stop_requests())  # until the last checkpoint is written
    checkpoints = stack.enter_context(checkpoint.Checkpoints(workdir))
    if checkpoints.latest_step is None:
      state = jax.jit(make_state, compiler_options=RUNS_ONCE)()
      if initial:
        state = checkpoint.start_from(initial, state)
        print(f"Starting from the weights in {init}.")
      state = distributed.replicate(state)
    else:
      state = checkpoints.restore(checkpoints.latest_step, distributed.abstract(make_state))
      instead = ", not from --init" if init else ""
      print(f"Resuming from step {int(state.step)} in {workdir}{instead}.")
    start = int(state.step)
    distributed.in_first(lambda: history.record_start(workdir, start))
    _print_overview(state, records, held_out, split, speakers)
    log = stack.enter_context(TrainingLog(workdir, start, config))
    share = distributed.process_batch_size(config.batch_size)
    batches = log.timed(feed.batches(share, jax.process_index(), jax.process_count(), start))
    after_step = stack.enter_context(profile(workdir / "profile", profile_steps))

    figures: dict[str, float] = {}
    first = FIRST_SNAPSHOTS * config.eval_every
    for step in range(start + 1, config.num_steps + 1):
      batch = next(batches)
      advance = step_on_devices if step > config.speaker_steps else first_step_on_devices
      with jax.transfer_guard("disallow"):
        state, step_metrics = advance(state, distributed.shard(batch), constants)
      log.add(step_metrics)
      after_step(step_metrics)

      last = step == config.num_steps
      signal = 0 if last else stop_asked(step)
      save = last or signal or step % config.save_every == 0
      if save or step % config.log_every == 0 or step == config.speaker_steps:
        log.write(step)  # refuses NaN and Inf, so before any save
      figures = {}
      if step > config.speaker_steps and (last or step % config.eval_every == 0):
        for name, take_snapshot in snapshot_takers().items():
          last_weights = state.generator.variables if state.ema else None
          snapshot = take_snapshot(state.sampling_variables, last_weights)
          figures |= snapshot.figures
          warn = name == "held_out" and step >= config.speaker_steps + first
          warnings = snapshot.warnings if warn else []
          log.write_snapshot(step, name, snapshot.figures, snapshot.grid, warnings)
      if save:
        comparable = figures if split == schema.VALIDATION else {}  # never choose by test
        checkpoints.save(state, comparable)
      if signal:
        raise Stopped(f"step {step} of {config.num_steps} is saved in {workdir}", signal)
  if distributed.is_first():
    _print_end(int(state.step), figures, workdir)
  return state


def _snapshot_takers(
  config: ConfigDict,
  networks: models.Networks,
  builder: PairsBuilder,
  speakers: list[str],
  records: data.Records,
  held_out: data.Records,
  split: str,
) -> dict[str, SnapshotTaker]:
  """Returns what takes snapshots on speech that is not learned from, and on learned speech."""
  classify = load_classifier(builder, config.image_size)
  chosen = records.spread(max(REFERENCE, 2 * len(speakers)))
  take = functools.partial(
    SnapshotTaker,
    reference=metrics.describe_faces(records.faces[chosen], records.identity[chosen], classify),
    classify=classify,
    make_sampler=functools.partial(Sampler, config, speakers, networks.generator),
    config=config,
    speakers=speakers,
  )
  return {
    "held_out": take("held_out", held_out, split, HELD_OUT),
    "learned": take("learned", records, schema.TRAIN, LEARNED),
  }


def _print_overview(
  state: GanState, records: data.Records, held_out: data.Records, split: str, speakers: list[str]
) -> None:
  """Prints the parameters and the data."""
  params = {"generator": state.generator.params, "discriminator": state.discriminator.params}
  if state.face_encoder:
    params["face_encoder"] = state.face_encoder.params
  params = jax.tree.map(np.atleast_1d, params)  # clu counts scalars as floats
  print(parameter_overview.get_parameter_overview(params, include_stats=False))
  print(
    f"{len(records)} records to train on, {len(held_out)} of {split} to evaluate: "
    f"{listed(speakers)}."
  )


def _print_end(step: int, figures: dict[str, float], workdir: Path) -> None:
  """Prints what was reached, where to look, and what to type next."""
  samples = workdir / "samples"
  print(f"Trained to step {step}.")
  if figures:
    print(
      f"Of faces generated from speech that it has not learned from, "
      f"{figures['held_out/identity_accuracy']:.1%} show the right person; they are in\n"
      f"  {samples}/step_{step:06d}_held_out.png"
    )
  python, here = Path(sys.executable), Path.cwd()
  shown = python.relative_to(here) if python.is_relative_to(here) else python
  command = f"{shown} main.py" if sys.argv[0].endswith("main.py") else "wav2pix"
  print(
    "Sample from these recordings, or name one of your own:\n"
    f"  {command} --mode=sample --workdir={workdir} --speech={samples / 'held_out'}"
  )


def _write_recordings(folder: Path, records: data.Records, speakers: list[str]) -> None:
  """Writes a held-out recording of each of the first speakers, to sample from later."""
  with writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
  for label, name in enumerate(speakers[:RECORDINGS]):
    of_speaker = np.flatnonzero(records.identity == label)
    if len(of_speaker):
      audio.write_wav(folder / f"{name}.wav", records.speech_of(of_speaker[0]))
