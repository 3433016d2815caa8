"""`base` for a laptop: ten synthetic speakers at 64 px, in about ten minutes on two cores.

python main.py --config=configs/demo.py
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import base


def get_config() -> ConfigDict:
  """`base`, smaller."""
  config = base.get_config()
  config.image_size = 64
  config.num_steps = 3_200
  config.batch_size = 16
  config.model.encoder_widths = (16, 32, 64, 128, 256, 512)
  config.model.generator_width = 32
  config.model.discriminator_width = 32
  config.eval_every = 200
  config.save_every = 200
  return config
