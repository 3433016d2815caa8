"""Sampling: the same seed gives the same face at any batch size, another draw another face."""

import conftest
import jax
import numpy as np
import pytest
from PIL import Image

import wav2pix_jax
from wav2pix_jax import models
from wav2pix_jax.common import audio
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.metrics.evaluation_set import tells_unknown_voices
from wav2pix_jax.sampler import Sampler, cross_fade, sampling_keys
from wav2pix_jax.train_state import create_state

RNG = np.random.default_rng(0)
WINDOWS = RNG.integers(-9000, 9000, (70, 16_000)).astype(np.int16)
ORDER = np.arange(70)
VARIABLES = {}  # made once, as initialisation compiles


def _sampler(config, **changes):
  with config.unlocked():
    config.update_from_flattened_dict(changes)
  networks = models.build(config, 2)
  if not VARIABLES:
    variables = create_state(config, networks, jax.random.key(0)).generator.variables
    VARIABLES.update(variables)
    # Larger weights, as otherwise all faces are gray.
    VARIABLES["params"] = jax.tree.map(lambda x: 8 * x, variables["params"])
  return Sampler(config, ["ada", "bo"], networks.generator, dict(VARIABLES))


@pytest.fixture
def sampler(config):
  return _sampler(config)


def _near(a, b):
  """Whether faces are equal but for rounding."""
  return a.shape == b.shape and np.abs(a.astype(int) - b).max() <= 1


def test_a_face_depends_on_its_own_window_and_key_alone(sampler):
  keys = sampling_keys(0, "a.wav", ORDER, 0)
  faces, logits = sampler.sample(WINDOWS, keys)
  assert faces.shape == (70, 16, 16, 3)
  assert faces.dtype == np.uint8
  assert logits.shape == (70, 2)
  for picked in ([3], [69, 3, 10]):
    alone, names = sampler.sample(WINDOWS[picked], keys[np.array(picked)])
    assert _near(alone, faces[picked])
    np.testing.assert_allclose(names, logits[picked], rtol=1e-4, atol=1e-5)


def test_faces_do_not_depend_on_the_precision_of_training(sampler, config):
  keys = sampling_keys(0, "a.wav", ORDER[:2], ORDER[:2])
  again = _sampler(config, precision="bfloat16")
  pairs = zip(sampler.sample(WINDOWS[:2], keys), again.sample(WINDOWS[:2], keys), strict=True)
  for a, b in pairs:
    assert np.array_equal(a, b)


def test_keys_name_seed_recording_window_and_draw():
  parts = [("a.wav", 0, 0), ("a.wav", 0, 1), ("a.wav", 1, 0), ("b.wav", 0, 0)]
  data = {
    np.asarray(jax.random.key_data(sampling_keys(seed, name, [window], [draw]))).tobytes()
    for name, window, draw in parts
    for seed in (0, 1)
  }
  assert len(data) == 8
  many = sampling_keys(3, "a", ORDER, ORDER[::-1])
  one = sampling_keys(3, "a", ORDER[9:10], ORDER[::-1][9:10])
  assert np.array_equal(*map(jax.random.key_data, (many[9:10], one)))
  grid = sampling_keys(3, "a", ORDER, np.arange(3)[:, None])
  for draw, row in enumerate(grid):
    assert np.array_equal(*map(jax.random.key_data, (row, sampling_keys(3, "a", ORDER, draw))))


def test_a_window_for_each_full_second(sampler):
  recording = WINDOWS[:3].ravel()
  for samples, windows in ((5_000, 1), (16_000, 1), (31_999, 1), (32_000, 2), (40_000, 2)):
    faces = sampler.draw(recording[:samples], 16_000, 2)
    assert faces.shape == (windows, 2, 16, 16, 3)
    assert faces.dtype == np.uint8


def test_draw_and_sample_agree(sampler):
  faces = sampler.draw(WINDOWS[:3].ravel(), 16_000, 2, seed=5, name="a.wav")
  keys = sampling_keys(5, "a.wav", [0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1])
  expected, _ = sampler.sample(np.tile(WINDOWS[:3], (2, 1)), keys)
  for window in range(3):
    for draw in range(2):
      assert _near(faces[window, draw], expected[3 * draw + window])


def test_a_short_recording_is_padded_with_zeros(sampler):
  short = WINDOWS[0, :5_000]
  padded = np.concatenate([short, np.zeros(11_000, np.int16)])
  assert _near(sampler.draw(short, 16_000), sampler.draw(padded, 16_000))


def test_more_draws_and_longer_recordings_change_no_face(sampler):
  recording = WINDOWS[:5].ravel()
  all_of_them = sampler.draw(recording, 16_000, 3, seed=1, name="x")
  assert _near(sampler.draw(recording[:32_000], 16_000, seed=1, name="x"), all_of_them[:2, :1])


def test_pooling_gives_one_face_of_the_whole_recording(sampler):
  recording = WINDOWS[:5].ravel()
  pooled = sampler.draw(recording, 16_000, 2, seed=1, name="x", pool=True)
  assert pooled.shape == (1, 2, 16, 16, 3)
  for window in WINDOWS[:2]:  # of one second, or of equal ones, it is the same face
    alone = sampler.draw(window, 16_000, 2, seed=1, name="x")
    assert _near(sampler.draw(window, 16_000, 2, seed=1, name="x", pool=True), alone)
    assert _near(sampler.draw(np.tile(window, 3), 16_000, 2, seed=1, name="x", pool=True), alone)
    assert not _near(pooled, alone)
  backwards = WINDOWS[4::-1].ravel()
  assert _near(sampler.draw(backwards, 16_000, 2, seed=1, name="x", pool=True), pooled)


def test_seeds_names_and_draws_give_other_faces_and_the_same_ones_the_same(sampler):
  speech = WINDOWS[0]
  first, second = sampler.draw(speech, 16_000, 2, seed=0, name="a")[0]
  assert np.array_equal(sampler.draw(speech, 16_000, 2, seed=0, name="a")[0], [first, second])
  others = [
    second,
    sampler.draw(speech, 16_000, seed=1, name="a")[0, 0],
    sampler.draw(speech, 16_000, seed=2**32 - 1, name="a")[0, 0],
    sampler.draw(speech, 16_000, seed=0, name="b")[0, 0],
  ]
  assert len({face.tobytes() for face in [first, *others]}) == 5


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2])
def test_speech_may_be_float_and_stereo(sampler, dtype, channels):
  speech = WINDOWS[:2].ravel()
  expected = sampler.draw(speech, 16_000)
  given = speech if dtype == np.int16 else (speech / 32_767).astype(dtype)
  if channels == 2:
    given = np.stack([given, given], 1)
  assert _near(sampler.draw(given, 16_000), expected)


def test_other_rates_are_resampled(sampler):
  speech = np.repeat(WINDOWS[:2].ravel(), 3)
  heard = audio.from_array(speech, 48_000)
  assert _near(sampler.draw(speech, 48_000), sampler.draw(heard, 16_000))


def test_what_is_no_speech_is_refused(sampler):
  for speech, rate in (
    (np.zeros(0, np.int16), 16_000),
    (np.zeros(9, np.int64), 16_000),
    (np.full(9, 2.0), 16_000),
    (np.zeros((2, 2, 2)), 16_000),
    (np.zeros(9), 0),
  ):
    for use in (sampler.draw, sampler.name):
      with pytest.raises(UserError, match="speech has|sample_rate is"):
        use(speech, rate)


def test_names_are_probabilities_of_the_speakers(sampler):
  named = sampler.name(WINDOWS[:4].ravel(), 16_000)
  assert named.shape == (4, 2)
  assert named.dtype == np.float32
  np.testing.assert_allclose(named.sum(1), 1, rtol=1e-6)
  assert (named >= 0).all()
  _, logits = sampler.sample(WINDOWS[:4], sampling_keys(9, "any", ORDER[:4], ORDER[:4]))
  np.testing.assert_allclose(named, jax.nn.softmax(logits), atol=1e-5)  # whatever is dropped


@pytest.mark.slow
def test_load_draws_what_the_command_draws(trained, tmp_path):
  """The pictures of `--mode=sample` are `Sampler.draw` with the file's name."""
  workdir, _ = trained
  sampler = wav2pix_jax.load(str(workdir))
  assert sampler.speakers == ["ada", "bo"]
  assert sampler.config.image_size == 16
  recording = WINDOWS[:3].ravel()
  audio.write_wav(tmp_path / "a b.wav", recording)
  flags = f"--workdir={workdir}", f"--speech={tmp_path / 'a b.wav'}", f"--out={tmp_path}"
  conftest.main("--mode=sample", *flags, "--num_draws=2", "--seed=7")
  faces = sampler.draw(recording, 16_000, 2, seed=7, name="a b.wav")
  for window in range(3):
    for draw in range(2):
      with Image.open(tmp_path / f"a b_{window:04d}_{draw:02d}.png") as picture:
        assert np.array_equal(np.asarray(picture), faces[window, draw])


def test_load_without_a_run_is_refused(tmp_path, monkeypatch):
  for workdir in (tmp_path, "~/run"):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(UserError, match="name the workdir of a run"):
      wav2pix_jax.load(workdir)


@pytest.mark.slow
def test_the_weights_that_ship_know_who_speaks():
  """What each says in the examples, nobody has trained on."""
  sampler = wav2pix_jax.load()
  examples = conftest.ROOT / "pretrained" / "ten_speakers_64px" / "examples"
  assert len(sampler.speakers) == 10
  for speaker in sampler.speakers:
    speech = audio.read(examples / f"{speaker}.wav")
    faces = sampler.draw(speech, 16_000, num_draws=2)
    assert faces.shape == (3, 2, 64, 64, 3)
    named = sampler.name(speech, 16_000).argmax(1)
    assert [sampler.speakers[label] for label in named] == [speaker] * 3
    assert sampler.doubts(speech, 16_000) == ["", "", ""]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("sound", "doubt"),
  [("silence", "nearly silent"), ("noise", "a steady noise or tone"), ("both", "nearly silent")],
)
def test_what_is_no_speech_is_in_doubt(sound, doubt):
  noise = (3_000 * np.random.default_rng(0).standard_normal(16_000)).astype(np.int16)
  speech = {"silence": noise * 0, "noise": noise, "both": np.stack([noise, -noise], 1)}[sound]
  assert wav2pix_jax.load().doubts(speech, 16_000) == [doubt]


def test_a_film_has_a_face_for_each_frame_from_the_speech_around_it(sampler):
  speech = RNG.integers(-9000, 9000, 23_000).astype(np.int16)
  film = np.stack(list(sampler.film(speech, 16_000, 2, seed=5, name="a.wav", fps=30)))
  assert film.shape == (44, 2, 16, 16, 3)  # 43.1 frames of a thirtieth
  starts = [round(i / 30 * 16_000) - 8_000 for i in range(44)]
  windows = np.stack([audio.cut(speech, start, 16_000) for start in starts])
  assert (windows[0, :8_000] == 0).all()
  assert (windows[-1, -7_900:] == 0).all()
  for draw in range(2):
    keys = sampling_keys(5, "a.wav", None, np.full(44, draw))
    faces, _ = sampler.sample(windows, keys)
    assert _near(faces, film[:, draw])
  assert not _near(film[:, 0], film[:, 1])
  again = np.stack(list(sampler.film(speech, 16_000, 2, seed=5, name="a.wav", fps=30)))
  assert np.array_equal(film, again)
  other = np.stack(list(sampler.film(speech, 16_000, 2, seed=6, name="a.wav", fps=30)))
  assert not _near(film, other)


def test_a_film_of_a_long_recording_is_the_same_in_any_batch(sampler):
  """A frame depends on the speech around it, not on where the recording begins."""
  speech = RNG.integers(-9000, 9000, 5 * 16_000).astype(np.int16)
  whole = np.stack(list(sampler.film(speech, 16_000, name="a")))
  assert len(whole) == 125
  cut = np.stack(list(sampler.film(speech[16_000:], 16_000, name="a")))
  assert _near(cut[13:], whole[38:])


def _one_hot(named):
  return 0.1 + 0.8 * np.eye(2, dtype=np.float32)[named]


def test_a_brief_change_of_the_speaker_is_cross_faded():
  named = np.zeros(20, int)
  named[8:11] = 1
  embeddings = RNG.standard_normal((20, 4)).astype(np.float32)
  faded = cross_fade(embeddings, _one_hot(named), 9)
  assert np.array_equal(faded[named == 0], embeddings[named == 0])
  for i in (8, 9, 10):
    between = np.average(embeddings[[7, 11]], 0, [11 - i, i - 7])
    cosine = faded[i] @ between / np.linalg.norm(faded[i]) / np.linalg.norm(between)
    assert cosine == pytest.approx(1, abs=1e-5)
    lengths = np.linalg.norm(embeddings[[7, 11]], axis=1)
    assert np.linalg.norm(faded[i]) == pytest.approx(np.average(lengths, weights=[11 - i, i - 7]))
  for frames in (0, 1):
    assert np.array_equal(cross_fade(embeddings, _one_hot(named), frames), embeddings)


def test_a_lasting_change_of_the_speaker_is_kept():
  named = np.repeat([0, 1], 20)
  embeddings = RNG.standard_normal((40, 4)).astype(np.float32)
  assert np.array_equal(cross_fade(embeddings, _one_hot(named), 9), embeddings)


@pytest.mark.slow
def test_noise_is_told_from_known_voices():
  sampler = wav2pix_jax.load()
  examples = (conftest.ROOT / "pretrained" / "ten_speakers_64px" / "examples").glob("*.wav")
  known = np.stack([audio.read(path)[:16_000] for path in examples])
  noise = (3_000 * np.random.default_rng(0).standard_normal((20, 16_000))).astype(np.int16)
  assert tells_unknown_voices(sampler, known, noise) > 0.9
  assert tells_unknown_voices(sampler, noise, known) < 0.1
  assert tells_unknown_voices(sampler, known, known) == 0.5
