"""The paper's text where it gives a value, and the release where it does not.

python main.py --config=configs/paper.py --config.dataset.source=PATH

It was never trained to the end. After 600 steps of the ablation, on synthetic speakers at 64 px,
the faces were still gray (docs/results.md).
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import youtubers


def get_config() -> ConfigDict:
  """Returns `youtubers` with the paper's choices."""
  config = youtubers.get_config()
  config.ema_decay = 0.0  # the paper does not average weights
  config.dataset.window_samples = 16_384  # section 4.1; zero-padded where less speech exists
  config.dataset.audio_steps = ("pre_emphasis", "peak")  # section 3
  config.dataset.distort = False
  config.model.encoder = "waveform"
  config.model.encoder_batch_norm = False  # none named
  config.model.generator_batch_norm = False  # none named
  config.model.normalise_embedding = False
  config.model.dropout_embedding = False
  config.model.dropout_layers = 5  # every layer but RGB
  config.model.discriminator_projection = False
  config.model.discriminator_last_spectral_norm = False  # as the release
  config.model.discriminator_batched_passes = False  # as the release
  config.loss.half = True  # equations 1 and 2
  config.loss.real_target = 1.0
  config.loss.mismatched = 0.0
  config.loss.feature_matching = 0.0
  config.loss.l1 = 0.0
  config.loss.energy_score = False
  config.loss.softmax = 1.0  # ours: lambda is not given
  config.optimizer.lr_g = 1e-4
  config.optimizer.b1 = 0.1  # as the paper prints
  return config
