"""Importing: a workdir from the checkpoint files of the published release, or of an export."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from wav2pix_jax import models
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively
from wav2pix_jax.runtime import checkpoint, distributed, run_config
from wav2pix_jax.train_state import build_optimizers, start
from wav2pix_jax.weights import pytorch_names, tensor_files


def import_release(generator: Path, discriminator: Path, workdir: Path, config: ConfigDict) -> None:
  """Writes a checkpoint at step 0 with fresh optimizers, to draw with and to train on from.

  Speakers are called "0", "1", ...: a checkpoint of the release does not know their names. What
  `--mode=export` wrote carries its config and names, and these are taken.

  Args:
    generator: the release's generator, or `generator.safetensors` of an export.
    discriminator: its discriminator.
    workdir: without a run in it.
    config: of the release, for all that tensors do not show.

  Raises:
    UserError: a file that cannot be read; tensors that are missing, wrong or unknown; or a workdir
      that has a run or cannot be written.
  """
  tensors, text = tensor_files.read(generator)
  d_tensors, _ = tensor_files.read(discriminator)
  if run_config.EXPORTED in text:
    config, identities = _exported(generator, text[run_config.EXPORTED])
  else:
    config.update_from_flattened_dict(pytorch_names.config_fields(tensors, d_tensors))
    identities = [str(label) for label in range(pytorch_names.identity_count(tensors))]
  nets = models.build(config, len(identities))
  g_variables = pytorch_names.read_generator(tensors, nets.generator, config.dataset.window_samples)
  d_variables = pytorch_names.read_discriminator(
    d_tensors, nets.discriminator, config.model.embedding
  )
  state = start(g_variables, d_variables, build_optimizers(config), config.ema_decay)
  with exclusively(workdir, wait=False):
    if run_config.has_checkpoint(workdir):
      raise UserError(f"{workdir} holds a run already; name another --workdir.")
    run_config.write(workdir, config, identities, records={})
    with checkpoint.Checkpoints(workdir) as checkpoints:
      checkpoints.save(distributed.replicate(state), run_config.as_dict(config), held_out={})
    run_config.record_start(workdir, 0)
  print(
    f"Imported {config.image_size} px networks for {len(identities)} speakers and windows of "
    f"{config.dataset.window_samples:,} samples into {workdir}."
  )


def _exported(path: Path, text: str) -> tuple[ConfigDict, list[str]]:
  """Config and speakers that an export carries."""
  try:
    saved = json.loads(text)
    config = ConfigDict(saved["config"]).lock()
    models.check(config)
    return config, list(saved[run_config.IDENTITIES])
  except (ValueError, KeyError, AttributeError, TypeError) as error:
    raise UserError(f"{path}: carries a config that is none of this version ({error}).") from error
