"""`base` on the published faces.

python main.py --config=configs/youtubers.py --config.dataset.source=PATH
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import base


def get_config() -> ConfigDict:
  """`base` with the two speakers of the published archive."""
  config = base.get_config()
  config.dataset.name = "clean"  # leak-free; `released` is the published split, which leaks
  config.dataset.distort = True  # or their few recordings are learned
  config.dataset.window_offset = "uniform"  # their instants are not exact
  return config
