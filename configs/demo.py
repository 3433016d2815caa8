"""`base` for a laptop: ten synthetic speakers at 64 px, without a GPU.

python main.py --config=configs/demo.py

Time: 9 to 12 minutes on two cores of an AMD EPYC (JAX 0.10.2, 2026-12-01), after the dataset was
made. Result, one seed, `test` speech: identity accuracy 98.2% (96.5 to 99.4; baseline 10%),
verified 91.8%, landmarks found 100%, correlation of mouths 0.77 (0.71 to 0.82).
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import base


def get_config() -> ConfigDict:
  """Returns `base` with smaller networks."""
  config = base.get_config()
  config.image_size = 64
  config.num_steps = 4_500
  config.batch_size = 16
  config.model.encoder_widths = (16, 32, 64, 128, 256, 512)  # for model.encoder="waveform"
  config.model.generator_width = 32
  config.model.discriminator_width = 32
  config.eval_every = 200
  config.save_every = 200
  return config
