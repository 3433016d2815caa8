"""`base` for a laptop: ten synthetic speakers at 64 px, without a GPU.

python main.py --config=configs/demo.py

Time: 8 min 56 s of training on two cores of an AMD EPYC (JAX 0.10.2, 2026-11-25), after the dataset
and the identity classifier were made once. Result (2026-11-27), one seed, `test` speech: identity
accuracy 96.3% (94.5 to 98.0; baseline 10%), verified 94.3%, landmarks found 100%.
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import base


def get_config() -> ConfigDict:
  """Returns `base` with smaller networks."""
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
