"""The published PyTorch release, field by field; parity with it is tested.

python main.py --config=configs/release.py --config.dataset.source=PATH
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import youtubers


def get_config() -> ConfigDict:
  """`youtubers` with the release's choices."""
  config = youtubers.get_config()
  config.ema_decay = 0.0  # none
  config.dataset.distort = False
  config.model.classifier_batch_norm = True
  config.model.generator_batch_norm = False
  config.model.generator_spectral_norm = True
  config.model.normalise_embedding = False
  config.model.dropout_embedding = False
  config.model.dropout_layers = 5  # every layer but RGB
  config.model.discriminator_projection = False
  config.model.discriminator_last_spectral_norm = False
  config.model.discriminator_batched_passes = False  # a power iteration for each pass
  config.loss.l1 = 50.0
  config.loss.energy_score = False
  config.optimizer.lr_g = 1e-4
  return config
