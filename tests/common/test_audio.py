"""Sound at the edge: any file or array in, exact windows out."""

import av
import numpy as np
import pytest
import small_release
from PIL import Image

from wav2pix_jax.common import audio
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


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_arrays_of_any_rate_and_kind_become_16_khz_mono(rate, dtype):
  tone = _tone(rate)
  array = tone if dtype == np.int16 else (tone / 32_767).astype(dtype)
  for speech in (array, np.stack([array, array], 1)):
    heard = audio.from_array(speech, rate)
    assert heard.dtype == np.int16
    assert abs(len(heard) - 24_000) <= 20
    assert np.abs(np.fft.rfft(heard[4_000:20_000].astype(float))).argmax() == 440
    assert 7000 < np.abs(heard).max() < 9000


def test_an_array_at_16_khz_stays_as_it_is_and_channels_are_averaged():
  tone = _tone(16_000)
  assert np.array_equal(audio.from_array(tone, 16_000), tone)
  assert np.array_equal(audio.from_array(tone.astype(float) / 32_767, 16_000), tone)
  both = np.stack([tone, -tone], 1)
  assert not audio.from_array(both, 16_000).any()
  halves = np.stack([tone, 0 * tone], 1)
  assert np.abs(audio.from_array(halves, 16_000) - tone / 2).max() <= 0.5


def test_a_file_and_its_array_are_heard_alike(tmp_path):
  _write(tmp_path / "a.wav", _tone(44_100), 44_100, "pcm_s16le", "stereo")
  assert np.array_equal(audio.read(tmp_path / "a.wav"), audio.from_array(_tone(44_100), 44_100))


@pytest.mark.parametrize(
  ("speech", "rate", "words"),
  [
    (np.zeros(0, np.int16), 16_000, r"shape \(0,\)"),
    (np.zeros((2, 3, 4), np.int16), 16_000, r"shape \(2, 3, 4\)"),
    (np.int16(3), 16_000, r"shape \(\)"),
    (np.zeros(9, np.int32), 16_000, "dtype int32; expected int16, or float"),
    (np.full(9, 1.5), 16_000, r"up to 1\.5; expected values in \[-1, 1\]"),
    (np.full(9, np.nan), 16_000, "up to nan"),
    (np.zeros(9, np.int16), 0, "sample_rate is 0"),
    (np.zeros(9, np.int16), -16_000, "sample_rate is -16000"),
  ],
)
def test_arrays_that_are_no_speech_are_refused_in_one_line(speech, rate, words):
  with pytest.raises(UserError, match=words) as error:
    audio.from_array(speech, rate)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.aac", "a.ts"])
def test_broken_parts_are_left_out_and_all_others_read(tmp_path, name, capsys):
  path = tmp_path / name
  codec = {"a.mp3": "mp3", "a.flac": "flac"}.get(name, "aac")
  _write(path, _tone(44_100, seconds=8), 44_100, codec, "mono")
  whole = audio.read(path)
  assert capsys.readouterr().err == ""
  data = bytearray(path.read_bytes())
  third, rng = len(data) // 3, np.random.default_rng(0)
  data[third : third + 2_000] = rng.bytes(2_000)
  path.write_bytes(data[: len(data) * 9 // 10])
  read = audio.read(path)
  assert 0.7 * len(whole) < len(read) < len(whole)
  if name != "a.ts":  # FFmpeg drops broken packets of such a stream by itself
    assert "broken parts are left out" in capsys.readouterr().err


def test_a_form_that_changes_within_a_file(tmp_path):
  parts = []
  for rate, layout in ((44_100, "stereo"), (24_000, "mono")):
    _write(tmp_path / "part.mp3", _tone(rate, seconds=3), rate, "mp3", layout)
    parts.append((tmp_path / "part.mp3").read_bytes())
  (tmp_path / "joined.mp3").write_bytes(b"".join(parts))
  assert len(audio.read(tmp_path / "joined.mp3")) == pytest.approx(6 * 16_000, rel=0.03)


def test_tags_in_any_encoding(tmp_path):
  audio.write_wav(tmp_path / "a.wav", _tone(16_000))
  data = (tmp_path / "a.wav").read_bytes()
  tag = b"LIST" + (16).to_bytes(4, "little") + b"INFOIART" + (4).to_bytes(4, "little") + b"Zo\xeb "
  riff = b"RIFF" + (len(data) - 8 + len(tag)).to_bytes(4, "little") + data[8:] + tag
  (tmp_path / "tagged.wav").write_bytes(riff)
  np.testing.assert_array_equal(audio.read(tmp_path / "tagged.wav"), _tone(16_000))
