"""The mode `video`: movies that begin and end with their sound, a face for each draw."""

import shutil

import av
import conftest
import numpy as np
import pytest

from wav2pix_jax.common import audio

pytestmark = pytest.mark.slow


def _speech(samples):
  """Noise that grows and fades, so that it can be aligned."""
  loudness = np.interp(np.arange(samples), np.linspace(0, samples, 7), [0, 1, 0.1, 1, 0.3, 0.9, 0])
  return (8000 * loudness * np.random.default_rng(0).standard_normal(samples)).astype(np.int16)


def _read(path):
  """Pictures, their times, and the sound as 16 kHz from time 0."""
  with av.open(str(path)) as movie:
    shown = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in movie.decode(video=0)]
    names = [stream.codec_context.name for stream in movie.streams]
  times, pictures = zip(*shown, strict=True)
  return np.stack(pictures), np.array(times), audio.read(path), names


def test_a_movie_begins_and_ends_with_its_sound(trained, tmp_path):
  speech = _speech(16_000 * 5 // 2)
  audio.write_wav(tmp_path / "said.wav", speech)
  flags = f"--workdir={trained[0]}", f"--speech={tmp_path / 'said.wav'}", f"--out={tmp_path}"
  conftest.main("--mode=video", *flags)
  pictures, times, sound, names = _read(tmp_path / "said.mp4")
  assert names == ["h264", "aac"]
  assert pictures.shape == (63, 256, 256, 3)
  np.testing.assert_allclose(times, np.arange(63) / 25, atol=1e-3)
  assert abs(len(sound) - len(speech)) < 16_000 // 25
  lags = range(-80, 81, 4)  # 5 ms to both sides
  middle = slice(8_000, 32_000)
  alike = [np.corrcoef(speech[middle], np.roll(sound, lag)[middle])[0, 1] for lag in lags]
  assert abs(lags[int(np.argmax(alike))]) <= 4
  assert max(alike) > 0.9


@pytest.mark.extra
def test_faces_side_by_side_at_another_rate(trained, tmp_path):
  folder = tmp_path / "speech"
  folder.mkdir()
  for name in ("a", "b"):
    audio.write_wav(folder / f"{name}.wav", _speech(16_000))
  flags = f"--workdir={trained[0]}", f"--speech={folder}", f"--out={tmp_path / 'out'}"
  conftest.main("--mode=video", *flags, "--num_draws=3", "--fps=12.5", "--blend=0.3")
  pictures, times, _, _ = _read(tmp_path / "out" / "a.mp4")
  assert pictures.shape == (13, 256, 768, 3)
  np.testing.assert_allclose(times, np.arange(13) / 12.5, atol=1e-3)
  assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "b.mp4"]


@pytest.mark.extra
def test_a_browser_plays_a_movie_with_its_sound(trained, tmp_path):
  if not shutil.which("chromium"):
    pytest.skip("no Chromium to play the movie in; apt-get install chromium")
  from playwright import sync_api

  audio.write_wav(tmp_path / "said.wav", _speech(16_000 * 3 // 2))
  flags = f"--workdir={trained[0]}", f"--speech={tmp_path / 'said.wav'}", f"--out={tmp_path}"
  conftest.main("--mode=video", *flags)
  page = tmp_path / "page.html"
  page.write_text('<video src="said.mp4"></video>')
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=shutil.which("chromium"),
      args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
    )
    opened = browser.new_page()
    opened.goto(page.as_uri())
    movie = "document.querySelector('video')"
    opened.evaluate(f"{movie}.play()")
    opened.wait_for_function(f"{movie}.ended")
    duration, width, decoded, error = opened.evaluate(
      f"[{movie}.duration, {movie}.videoWidth, {movie}.webkitAudioDecodedByteCount, {movie}.error]"
    )
    assert duration == pytest.approx(1.5, abs=0.06)
    assert width == 256
    assert decoded > 1_000
    assert error is None
    browser.close()
