"""Many synthetic people, to draw those whom the run has never heard.

python main.py --config=configs/unseen.py

Faces and voices share gender, and by 0.8 size and age; all else in a face is chance, so a system
can do no better than what `python -m benchmarks.unseen --workdir=runs/unseen` prints as the oracle.

Time: 26 minutes on two cores of an AMD EPYC, with the making of the data and with other work beside
it (JAX 0.10.2, 2026-12-01). Result of one seed: 96% of the faces of unheard people have their
gender (oracle 96%); size and age are not drawn yet. See docs/results.md.
"""

from ml_collections import ConfigDict

from wav2pix_jax.configs import voices

LEARNED, UNSEEN = 200, 40


def get_config() -> ConfigDict:
  """Returns `voices` on synthetic people, of whom the last are kept for the split `unseen`."""
  config = voices.get_config()
  config.num_steps = 4_000
  config.speaker_steps = 1_500
  config.dataset.name = "synthetic"
  config.dataset.flip = False
  config.dataset.synthetic.identities = LEARNED + UNSEEN
  config.dataset.synthetic.clips_per_identity = 12
  config.dataset.synthetic.face_pixels = 64
  config.dataset.synthetic.share = 0.8
  config.dataset.unseen = tuple(
    f"{('female', 'male')[i % 2]}_{i:03d}" for i in range(LEARNED, LEARNED + UNSEEN)
  )
  return config
