"""Sound and pictures at the edges: any file in, exact windows, antialiased faces out."""

import io

import av
import numpy as np
import pytest
import small_release
from PIL import Image

from wav2pix_jax.common import audio, images
from wav2pix_jax.common.errors import UserError


def _tone(rate, seconds=1.5, hertz=440):
  return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype("i2")


def _write(path, samples, rate, codec, layout):
  channels = 2 if layout == "stereo" else 1
  with av.open(str(path), "w") as container:
    stream = container.add_stream(codec, rate=rate, layout=layout)
    frame = av.AudioFrame.from_ndarray(
      np.repeat(samples, channels)[None], format="s16", layout=layout
    )
    frame.sample_rate = rate
    resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
    for converted in [*resampler.resample(frame), *resampler.resample(None)]:
      container.mux(stream.encode(converted))
    container.mux(stream.encode(None))


@pytest.mark.parametrize(
  ("name", "codec", "rate", "layout"),
  [
    ("a.wav", "pcm_s16le", 16_000, "mono"),
    ("a.wav", "pcm_s16le", 44_100, "stereo"),
    ("a.flac", "flac", 48_000, "mono"),
    ("a.wav", "pcm_s16le", 8_000, "mono"),
    ("a.m4a", "aac", 44_100, "stereo"),
  ],
)
def test_any_rate_and_channels_become_16_khz_mono(tmp_path, name, codec, rate, layout):
  _write(tmp_path / name, _tone(rate), rate, codec, layout)
  speech = audio.read(tmp_path / name)
  assert speech.dtype == np.int16
  assert abs(len(speech) - 24_000) <= (2048 if codec == "aac" else 20)
  middle = speech[4_000:20_000].astype(float)
  peak = np.abs(np.fft.rfft(middle)).argmax()
  assert peak == 440
  assert 5000 < np.abs(middle).max() < 9000


def test_16_khz_mono_comes_back_to_the_sample(tmp_path):
  tone = _tone(16_000)
  audio.write_wav(tmp_path / "a.wav", tone)
  np.testing.assert_array_equal(audio.read(tmp_path / "a.wav"), tone)


def test_what_is_no_sound_is_named(tmp_path):
  (tmp_path / "text.wav").write_text("hello")
  (tmp_path / "none.wav").write_bytes(b"")
  Image.new("RGB", (8, 8)).save(tmp_path / "face.png")
  small_release.write_wav(tmp_path / "empty.wav", np.zeros(0, np.int16))
  for name in ("missing.wav", "text.wav", "none.wav", "face.png", "empty.wav"):
    with pytest.raises(UserError, match=name):
      audio.read(tmp_path / name)


def test_cut_pads_with_zeros_on_either_side():
  speech = np.arange(1, 11, dtype=np.int16)
  assert audio.cut(speech, 2, 3).tolist() == [3, 4, 5]
  assert audio.cut(speech, -2, 4).tolist() == [0, 0, 1, 2]
  assert audio.cut(speech, 8, 4).tolist() == [9, 10, 0, 0]
  assert audio.cut(speech, 20, 3).tolist() == [0, 0, 0]


def test_the_order_of_the_steps_is_the_configs():
  window = np.array([0, 1000, -2000, 500], np.int16)
  released = audio.condition(window, ("peak", "pre_emphasis"))
  np.testing.assert_allclose(released, [0, 0.5, -1 - 0.475, 0.25 + 0.95], rtol=1e-6)
  paper = audio.condition(window, ("pre_emphasis", "peak"))
  assert np.abs(paper).max() == 1
  np.testing.assert_allclose(paper, np.array([0, 1000, -2950, 2400]) / 2950, rtol=1e-6)
  assert released.dtype == paper.dtype == np.float32


def test_the_loudest_int16_survives():
  window = np.array([-32768, 32767], np.int16)
  assert np.abs(audio.normalise_peak(window)).max() == 1


def test_gains_are_those_asked_for_at_their_frequencies():
  time = np.arange(16_000) / 16_000
  for decibels, hertz in zip((3.0, -6.0, 12.0), (50, 632, 8000 - 1e-3), strict=True):
    tone = np.sin(2 * np.pi * round(hertz) * time + 1)
    gain = audio.equalise(tone, (3.0, -6.0, 12.0)).std() / tone.std()
    assert 20 * np.log10(gain) == pytest.approx(decibels, abs=0.02)


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_noise_falls_with_frequency_as_asked(slope):
  noise = audio.coloured_noise(64_000, slope, np.random.default_rng(0))
  assert noise.std() == pytest.approx(1)
  power = np.square(np.abs(np.fft.rfft(noise)))  # bins of 1/4 Hz
  low, high = power[1600:2400].mean(), power[16_000:24_000].mean()  # around 500 Hz and 5 kHz
  assert 10 * np.log10(low / high) == pytest.approx(20 * slope, abs=0.6)


def test_distorted_speech_is_still_that_speech():
  tone = _tone(16_000)
  rng = np.random.default_rng(0)
  distorted = [audio.distort(tone, rng) for _ in range(200)]
  assert all(x.dtype == np.float32 and x.shape == tone.shape for x in distorted)
  assert np.array_equal(distorted[0], audio.distort(tone, np.random.default_rng(0)))
  assert 20 < sum(np.array_equal(x, tone) for x in distorted) < 60  # one of five stays as it is
  loudness = np.array([x.std() for x in distorted]) / tone.std()
  assert 0.7 < np.median(loudness) < 1.4
  alike = [np.abs(np.corrcoef(x, tone)[0, 1]) for x in distorted]
  assert np.quantile(alike, 0.02) > 0.8  # noise lies at least 5 dB below
  assert not audio.distort(np.zeros(16_000, np.int16), rng).any()


def test_resizing_is_antialiased():
  """A fine checkerboard becomes its mean, not a pattern."""
  board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
  small = images.resize(np.repeat(board[..., None], 3, -1), 64)
  assert np.abs(small.astype(int) - 127).max() <= 2


def test_faces_survive_the_scale():
  face = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
  np.testing.assert_array_equal(images.to_uint8(images.to_float(face)), face)
  assert images.to_float(np.array([0, 255], np.uint8)).tolist() == [-1, 1]
  assert images.to_uint8(np.array([-2.0, 2.0])).tolist() == [0, 255]


def test_jpeg_is_close_and_keeps_colour_sharp():
  face = np.zeros((32, 32, 3), np.uint8)
  face[:, ::2, 0] = 255  # red stripes one pixel wide: chroma subsampling would smear them
  back = images.decode(images.encode_jpeg(face))
  assert np.abs(back.astype(int) - face).mean() < 6


def test_grid_has_a_place_for_every_face(tmp_path):
  red, blue = (np.full((16, 16, 3), c, np.uint8) for c in ([255, 0, 0], [0, 0, 255]))
  sheet = images.grid([[red, blue, red], [blue]], ["1st", "2nd"])
  assert sheet.shape == (2 * (16 + images.LABEL_HEIGHT), 48, 3)
  wide = images.grid([[red]], ["a label wider than its face"])
  assert wide.shape[1] > 100
  np.testing.assert_array_equal(sheet[images.LABEL_HEIGHT :][:16, 16:32], blue)
  np.testing.assert_array_equal(sheet[-16:, :16], blue)
  images.save_png(tmp_path / "deep" / "grid.png", sheet)
  back = Image.open(io.BytesIO((tmp_path / "deep" / "grid.png").read_bytes()))
  np.testing.assert_array_equal(np.asarray(back), sheet)
