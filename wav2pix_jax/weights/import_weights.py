"""The mode `import`: a workdir from the PyTorch release's checkpoint files, or from an export."""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from wav2pix_jax import models
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, from_json
from wav2pix_jax.runtime import checkpoint, distributed, history, run_config
from wav2pix_jax.train_state import create_state, state_from_variables
from wav2pix_jax.weights import pytorch_names, tensor_files


def import_weights(generator: Path, discriminator: Path, workdir: Path, config: ConfigDict) -> None:
  """Writes a checkpoint at step 0, to sample from and to train further.

  Optimizers are new, and so is the face encoder where the config has one.

  The files are the PyTorch release's, or of an export, into a workdir without a run. The config is
  the release's, for everything that the tensors do not show. Speakers are called "0", "1", ..., as
  a checkpoint of the release does not know their names. What `--mode=export` wrote carries its
  config and names, which are used.

  Raises:
    UserError: A file cannot be read; tensors are missing, of a wrong shape or unknown; or the
      workdir contains a run or cannot be written.
  """
  tensors, text = tensor_files.read(generator)
  d_tensors, _ = tensor_files.read(discriminator)
  if run_config.EXPORTED in text:
    config, speakers = _exported(generator, text[run_config.EXPORTED])
  else:
    config.update_from_flattened_dict(pytorch_names.config_fields(tensors, d_tensors))
    speakers = [str(label) for label in range(pytorch_names.identity_count(tensors))]
  networks = models.build(config, len(speakers))
  window, embedding = config.dataset.window_samples, config.model.embedding
  face_encoder = create_state(config, networks, jax.random.key(config.seed)).face_encoder
  state = state_from_variables(
    config,
    networks,
    pytorch_names.read_generator(tensors, networks.generator, window),
    pytorch_names.read_discriminator(d_tensors, networks.discriminator, embedding),
    face_encoder.variables if face_encoder else None,
  )
  with exclusively(workdir, wait=False):
    if run_config.saved_steps(workdir):
      raise UserError(f"{workdir} contains a run already; name another --workdir.")
    run_config.write(workdir, config, speakers, records={})
    with checkpoint.Checkpoints(workdir) as checkpoints:
      checkpoints.save(distributed.replicate(state), held_out={})
    history.record_start(workdir, 0)
  print(
    f"Imported {config.image_size} px networks for {len(speakers)} speakers and windows of "
    f"{window:,} samples into {workdir}."
  )


def _exported(path: Path, text: str) -> tuple[ConfigDict, list[str]]:
  """Returns the config and the speakers that exported tensors carry."""
  try:
    saved = from_json(text)
    fields = ConfigDict(saved["config"]).to_dict()
    config = ConfigDict(run_config.completed(fields, f"{path} is from an earlier version")).lock()
    models.check(config)
    return config, list(saved[run_config.SPEAKERS])
  except (ValueError, KeyError, AttributeError, TypeError) as error:
    raise UserError(f"{path}: its config is not one of this version ({error}).") from error
