"""Wav2Pix as we train it: every field, with the source of its value.

python main.py --config=configs/base.py

Time: 4 min 35 s for 6,000 steps on one H200, with compilation (JAX 0.11.2, 2026-11-27, with
--config.dataset.on_device=True). Result of the best checkpoint, of step 5,000, one seed, `test`
speech: identity accuracy 95.2% (92.6 to 97.2; baseline 10%), verified 93.5%, landmarks found 100%,
correlation of mouths 0.65 (0.57 to 0.72). That run had the paper's speech encoder, and dropout in
place of noise. `demo` is the same recipe, smaller; `youtubers` is for the published faces.

Sources are the paper (ICASSP 2019), the release (the published PyTorch code), or ours (see
docs/recipe.md). The other configs change values, and nothing else.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """Returns the config; it is locked, so that unknown fields are refused."""
  config = ConfigDict()
  config.seed = 0  # ours; seeds initialisation, shuffling, windows and noise
  config.image_size = 128  # pixels, a power of two; paper: 128 (in figure 6 also 64)
  config.num_steps = 5_000  # ours, for 1,600 records: more steps were worse (docs/results.md)
  config.speaker_steps = 0  # ours; first steps, in which only the speaker's name is learned
  config.batch_size = 64  # release; over all devices
  config.precision = "float32"  # release; TF32 on GPUs. "bfloat16": for convolutions only
  config.ema_decay = 0.999  # ours: sampling uses averaged weights; with 0 it uses the last ones

  config.dataset = dataset = ConfigDict()
  dataset.name = "synthetic"  # ours; or "clips", "pairs", or published: "clean", "released"
  dataset.source = ""  # ours; clips, table of pairs, or published archive (empty: download)
  dataset.unseen = ()  # ours; speakers kept for a split `unseen`; not of published data
  dataset.data_dir = "data"  # ours; the folder of prepared datasets
  dataset.window_samples = 16_000  # release: 1 s; paper: 16,384
  dataset.window_offset = "centred"  # ours: around the face's instant; paper and release: "uniform"
  dataset.largest_instant_error = 64_000  # ours; samples: records with a larger one are left out
  dataset.audio_steps = ("peak", "pre_emphasis")  # release; paper: the reverse order
  dataset.distort = False  # ours, used by `youtubers`: speech as from other microphones
  dataset.flip = False  # paper and release do not mirror faces
  dataset.on_device = False  # ours: gather batches on the devices; they are the same batches

  dataset.synthetic = synthetic = ConfigDict()
  synthetic.identities = 10  # paper: 10
  synthetic.clips_per_identity = 200  # ours; 160 of them for training
  synthetic.face_pixels = 128  # ours; at least image_size
  synthetic.seed = 0  # ours; seeds utterances, and speakers beyond the first ten
  synthetic.share = 0.0  # ours; how far faces of those show the size and age that voices have

  dataset.pairs = pairs = ConfigDict()
  pairs.match = "line"  # ours; "identity": any face of a person with any speech of that person

  config.model = model = ConfigDict()
  model.encoder = "log_mel"  # ours, of spectra: learns sooner; paper: "waveform"
  model.encoder_widths = (16, 32, 128, 256, 512, 1024)  # paper; of "waveform", as the next field
  model.encoder_hidden = 256  # paper
  model.embedding = 128  # paper
  model.encoder_batch_norm = True  # release; of "waveform"
  model.batch_norm_devices = 0  # ours; neighbours with statistics of their own; 0: all share
  model.normalise_embedding = True  # ours: speech matters to both networks from the first step
  model.classifier_hidden = 200  # release; 0 for a classifier of one layer
  model.classifier_batch_norm = False  # ours; release: after both layers
  model.prototypes = False  # ours, used by `voices`: embeddings tell who probably speaks, no more
  model.generator_width = 64  # release; channels before the RGB layer, doubled towards 4x4
  model.generator_batch_norm = True  # ours: gives an untrained G contrast; release: none
  model.generator_spectral_norm = False  # ours; release: True
  model.noise = 128  # ours: varies the face, and hides nothing of what is said; paper: none
  model.dropout = 0.0  # ours; paper and release: 0.5, in place of noise
  model.dropout_embedding = True  # ours: varies the face as a whole; release: False
  model.dropout_layers = 0  # ours; release: all but RGB, which varies single pixels too
  model.discriminator_width = 64  # release; channels after the first layer, doubled towards 4x4
  model.discriminator_projection = True  # ours: lets D detect mismatches; paper: concatenation
  model.discriminator_spectral_norm = True  # paper; on all but the last layer
  model.discriminator_last_spectral_norm = True  # ours: scores stay together; release: False
  model.discriminator_batched_passes = True  # ours: one power iteration serves all faces
  model.face_encoder_widths = (32, 64, 128)  # ours; mouths of 16 px, halved by each layer

  config.loss = loss = ConfigDict()
  loss.half = False  # release; paper: halves before its least squares
  loss.real_target = 0.9  # release; paper: 1
  loss.adversarial = 1.0  # paper; weight of D's scores in G's loss
  loss.mismatched = 1.0  # release; weight of real faces with another speaker's speech
  loss.mismatched_moment = 1.0  # ours; weight of real faces of the same speaker, another moment
  loss.matching = 10.0  # ours: puts into the embedding what is said; weight of matching real faces
  loss.matching_faces = 8  # ours; faces of the speaker at other moments, to tell apart
  loss.feature_matching = 100.0  # release
  loss.l1 = 10.0  # ours; release: 50
  loss.energy_score = True  # ours: L1 alone gives one blurred face; needs noise or dropout
  loss.faces_teach = True  # paper; False: ours, the speech encoder learns only who speaks
  loss.softmax = 20.0  # release; paper: lambda, not given

  config.optimizer = optimizer = ConfigDict()
  optimizer.lr_g = 3e-4  # ours; paper and release: 1e-4
  optimizer.lr_d = 4e-4  # paper and release
  optimizer.b1 = 0.5  # release; paper: 0.1
  optimizer.b2 = 0.999  # release

  config.metric_writers = ("tensorboard",)  # ours; also "wandb", with the extra wandb
  config.log_every = 20  # ours; steps between lines of losses
  config.eval_every = 100  # ours; steps between snapshots: grids and held-out metrics
  config.save_every = 100  # ours; steps between checkpoints; the best is one with a snapshot
  return config.lock()
