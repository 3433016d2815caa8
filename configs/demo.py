"""`base` for a laptop: ten synthetic speakers at 64 px, without a GPU.

python main.py --config=configs/demo.py

Time: 11 min 40 s of training on two cores of an AMD EPYC (JAX 0.10.2, 2026-11-27; measured with
dropout 0.4, which costs the same), after the dataset and the identity classifier were made once.
Result, one seed, `test` speech: identity accuracy 95.2% (92.7 to 97.2; baseline 10%), verified
86.5%, landmarks found 100%, correlation of mouths 0.73 (0.66 to 0.78).
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import base


def get_config() -> ConfigDict:
  """Returns `base` with smaller networks."""
  config = base.get_config()
  config.image_size = 64
  config.num_steps = 3_500
  config.batch_size = 16
  config.model.encoder_widths = (16, 32, 64, 128, 256, 512)
  config.model.generator_width = 32
  config.model.discriminator_width = 32
  config.eval_every = 200
  config.save_every = 200
  return config
