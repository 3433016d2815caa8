"""A training step on however many devices this process has; state and batch are always the same.

XLA_FLAGS=--xla_force_host_platform_device_count=4 python tests/one_step.py waveform OUT.npz
"""

import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import jax
import numpy as np

from wav2pix_jax import models
from wav2pix_jax.common import schema
from wav2pix_jax.configs import base
from wav2pix_jax.models import log_mel_encoder
from wav2pix_jax.runtime import distributed
from wav2pix_jax.train_state import create_state
from wav2pix_jax.train_step import train_step

BATCH, SIZE = 16, 16


def main(encoder: str, out: str) -> None:
  config = base.get_config()
  config.image_size = SIZE
  config.model.encoder = encoder
  config.model.encoder_widths = (4, 4, 4, 8, 8, 8)
  config.model.generator_width = config.model.discriminator_width = 8
  config.model.classifier_batch_norm = True  # statistics of every part of the generator
  # Each replica has its own noise and masks.
  config.model.noise, config.model.dropout, log_mel_encoder.DROPOUT = 0, 0.0, 0.0
  config.loss.energy_score = False  # without noise two samples differ by rounding alone
  rng, further = np.random.default_rng(0), config.loss.matching_faces
  faces = (BATCH, SIZE, SIZE, 3)
  batch = {
    schema.SPEECH: rng.uniform(-1, 1, (BATCH, config.dataset.window_samples)).astype("f4"),
    schema.FACE: rng.uniform(-1, 1, faces).astype("f4"),
    schema.MISMATCHED_FACE: rng.uniform(-1, 1, faces).astype("f4"),
    schema.FURTHER_FACES: rng.uniform(-1, 1, (BATCH, further, *faces[1:])).astype("f4"),
    schema.RECORDS: rng.integers(0, 20, (BATCH, 1 + further)).astype("i4"),
    schema.IDENTITY: rng.integers(0, 2, BATCH).astype("i4"),
  }
  networks, key = models.build(config, 2, distributed.AXIS), jax.random.key(7)
  state = distributed.replicate(create_state(config, networks, key))
  step = distributed.pmapped(
    functools.partial(train_step, config=config, axis_name=distributed.AXIS)
  )
  with jax.default_matmul_precision("highest"):
    state, metrics = step(state, distributed.shard(batch), key)
  leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}
  np.savez(out, **leaves, **metrics)


if __name__ == "__main__":
  main(*sys.argv[1:])
