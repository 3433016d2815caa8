"""The published PyTorch release, field by field; parity with it is tested.

python main.py --config=configs/release.py --config.dataset.source=PATH

It was never trained to the end. At 64 px in batches of 16 for 16 minutes on two cores of an AMD
EPYC (JAX 0.10.2, 2026-11-22; 2,159 steps, one seed), the identity accuracy on `test` speech was
91.4%, with gray and blurred faces (docs/recipe.md).
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import youtubers


def get_config() -> ConfigDict:
  """Returns `youtubers` with the release's choices."""
  config = youtubers.get_config()
  config.ema_decay = 0.0  # the release does not average weights
  config.dataset.distort = False
  config.model.encoder = "waveform"
  config.model.classifier_batch_norm = True
  config.model.generator_batch_norm = False
  config.model.generator_spectral_norm = True
  config.model.normalise_embedding = False
  config.model.dropout_embedding = False
  config.model.dropout_layers = 5  # every layer but RGB
  config.model.discriminator_projection = False
  config.model.discriminator_last_spectral_norm = False
  config.model.discriminator_batched_passes = False  # one power iteration per pass
  config.loss.l1 = 50.0
  config.loss.energy_score = False
  config.optimizer.lr_g = 1e-4
  return config
