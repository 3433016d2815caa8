"""Wav2Pix as we train it.

    python main.py --config=configs/base.py

Every field stands here with its source: paper (ICASSP 2019), release (the published PyTorch code),
or ours. The configs beside it change fields and nothing else.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """The config, locked: unknown fields are refused."""
  config = ConfigDict()
  config.seed = 0  # of initialisation, shuffling, windows and dropout
  config.image_size = 128  # pixels, a power of two; paper: 128 (figure 6 also 64)
  config.num_steps = 17_328  # the release's 200 epochs of 5,545 pairs at batch 64
  config.batch_size = 64  # over all devices; release
  config.precision = "float32"  # release; on GPUs TF32. "bfloat16": convolutions, nothing else
  config.ema_decay = 0.999  # ours: faces are drawn with averaged weights; 0: with the last ones

  config.dataset = dataset = ConfigDict()
  dataset.name = "synthetic"  # drawn speakers; `clips` of videos; published: `clean`, `released`
  dataset.source = ""  # folder of `clips`; published faces: folder, .zip, .tar.xz; empty: download
  dataset.unseen = ()  # identities left out of training, in a split `unseen`; of no published set
  dataset.data_dir = "data"  # where prepared datasets are kept
  dataset.window_samples = 16_000  # release: 1 s; the paper says 16,384
  dataset.window_offset = "centred"  # ours: around the face's instant; paper, release: "uniform"
  dataset.audio_steps = ("peak", "pre_emphasis")  # release; the paper names the reverse order
  dataset.distort = False  # ours, for `youtubers`: speech as other microphones have it
  dataset.flip = False  # neither paper nor release mirrors faces
  dataset.on_device = False  # ours: where windows and faces are gathered; the batches are the same

  dataset.synthetic = synthetic = ConfigDict()
  synthetic.identities = 10  # paper: 10
  synthetic.clips_per_identity = 200  # ours; 160 of them to train on
  synthetic.face_pixels = 128  # ours; a larger image_size needs larger faces
  synthetic.seed = 0  # of what is said, and of the speakers beyond the first ten

  config.model = model = ConfigDict()
  model.encoder_widths = (16, 32, 128, 256, 512, 1024)  # paper
  model.encoder_hidden = 256  # paper
  model.embedding = 128  # paper
  model.encoder_batch_norm = True  # release
  model.normalise_embedding = True  # ours: both networks hear the speech from the first step
  model.classifier_hidden = 200  # release
  model.classifier_batch_norm = False  # ours: plain logits; the release normalises both layers
  model.generator_width = 64  # channels before the RGB layer, doubled towards 4x4; release
  model.generator_batch_norm = True  # ours: an untrained G draws with contrast from the start
  model.generator_spectral_norm = False  # ours; the release has it
  model.dropout = 0.5  # release
  model.dropout_embedding = True  # ours: varies the face as a whole
  model.dropout_layers = 0  # ours; the release's varies single pixels too
  model.discriminator_width = 64  # channels after the first layer, doubled towards 4x4; release
  model.discriminator_projection = True  # ours: D can tell a mismatch; paper: concatenation
  model.discriminator_spectral_norm = True  # but on the last layer; paper
  model.discriminator_last_spectral_norm = True  # ours: scores do not drift together
  model.discriminator_batched_passes = True  # ours: one power iteration for all groups of faces

  config.loss = loss = ConfigDict()
  loss.half = False  # release; the paper halves its least squares
  loss.real_target = 0.9  # release; paper: 1
  loss.adversarial = 1.0  # weight of D's scores in what G minimises; paper
  loss.mismatched = 1.0  # weight of real faces with another's speech; release
  loss.feature_matching = 100.0  # release
  loss.l1 = 10.0  # ours; release: 50
  loss.energy_score = True  # ours: L1 draws one blur, this draws samples; needs dropout
  loss.softmax = 20.0  # release; the paper does not give its lambda

  config.optimizer = optimizer = ConfigDict()
  optimizer.lr_g = 3e-4  # ours; paper and release: 1e-4
  optimizer.lr_d = 4e-4  # paper and release
  optimizer.b1 = 0.5  # release; the paper prints 0.1
  optimizer.b2 = 0.999  # release

  config.metric_writers = ("tensorboard",)  # and "wandb" with the extra wandb
  config.log_every = 20  # steps
  config.eval_every = 100  # steps between grids and held-out figures
  config.save_every = 100  # steps between checkpoints; the best is chosen among those looked at
  return config.lock()
