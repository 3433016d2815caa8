"""`base` for many real people: pictures beside recordings, a few of each person.

python main.py --config=configs/voices.py --config.dataset.source=pairs.csv
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import base


def get_config() -> ConfigDict:
  """Returns `base` with an encoder that learns voices, for the dataset `pairs`."""
  config = base.get_config()
  config.image_size = 64
  config.num_steps = 5_000
  config.speaker_steps = 1_500
  config.batch_size = 32
  config.dataset.name = "pairs"
  config.dataset.window_offset = "uniform"
  config.dataset.distort = True
  config.dataset.flip = True
  config.dataset.pairs.match = "identity"
  config.model.encoder = "log_mel"
  config.model.encoder_hidden = 128
  config.model.generator_width = 32
  config.model.discriminator_width = 32
  config.loss.faces_teach = False
  config.loss.matching = 0.0
  config.loss.mismatched_moment = 0.0
  config.eval_every = 250
  config.save_every = 250
  return config
