"""`base` for many real people: pictures beside recordings, a few of each person.

python main.py --config=configs/voices.py --config.dataset.source=pairs.csv

Time: 18 min 25 s on two cores of an AMD EPYC (JAX 0.10.2, 2026-12-01), with the training of the
identity classifier. Result on 36 real people, 97 training pairs, one seed, `test` speech of videos
that were not heard: the auxiliary classifier names 43% of the seconds (chance 3%) and 62% of the
recordings, and 31% of the faces (19 to 43; baseline 5%) are nearest to the right person by dlib.
The faces are grainy blends of a person's pictures. See docs/recipe.md.
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import base


def get_config() -> ConfigDict:
  """Returns `base` for the dataset `pairs`, with an encoder that learns voices first."""
  config = base.get_config()
  config.image_size = 64
  config.num_steps = 6_500
  config.speaker_steps = 3_000
  config.batch_size = 32
  config.dataset.name = "pairs"
  config.dataset.window_offset = "uniform"  # the moment of a picture is not known
  config.dataset.distort = True
  config.dataset.flip = True
  config.dataset.pairs.match = "identity"
  config.model.classifier_hidden = 0  # keeps people apart in the embedding
  config.model.prototypes = True  # what the classifier cannot tell is no use to the face
  config.model.generator_width = 32
  config.model.discriminator_width = 32
  config.loss.faces_teach = False
  config.loss.matching = 0.0  # what is said is not to be seen
  config.loss.mismatched_moment = 0.0
  config.eval_every = 500
  config.save_every = 500
  return config
