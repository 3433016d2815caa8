"""The mode `sample`: a face for each second and draw, the same whatever else is sampled."""

import conftest
import numpy as np
import pytest
from PIL import Image

from wav2pix_jax.common import audio

pytestmark = pytest.mark.slow


def _png(path):
  return np.asarray(Image.open(path)).astype(int)


def _speech(samples):
  return np.random.default_rng(0).integers(-9000, 9000, samples).astype(np.int16)


def test_a_face_for_each_second_and_draw(trained, tmp_path):
  workdir, _ = trained
  folder = tmp_path / "speech"
  folder.mkdir()
  audio.write_wav(folder / "two seconds.wav", _speech(2 * 16_000 + 7_000))
  audio.write_wav(folder / "short.wav", _speech(5_000))
  flags = ["--mode=sample", f"--workdir={workdir}", "--num_draws=3"]
  for speech_flag, out in ((folder, "all"), (folder / "two seconds.wav", "one")):
    conftest.main(*flags, f"--speech={speech_flag}", f"--out={tmp_path / out}")
  names = {path.name for path in (tmp_path / "all").iterdir()}
  expected = {f"two seconds_{w:04d}_{d:02d}.png" for w in range(2) for d in range(3)}
  expected |= {f"short_0000_{d:02d}.png" for d in range(3)}
  assert names == expected | {"two seconds_grid.png", "short_grid.png"}
  for name in expected:
    assert _png(tmp_path / "all" / name).shape == (16, 16, 3)
    if name.startswith("two"):
      alone, together = (_png(tmp_path / out / name) for out in ("one", "all"))
      assert np.abs(alone - together).max() <= 1
  draws = [_png(tmp_path / "all" / f"short_0000_0{d}.png") for d in range(2)]
  assert not np.array_equal(*draws)


def test_pooled_there_is_one_face_of_a_recording(trained, tmp_path):
  workdir, _ = trained
  audio.write_wav(tmp_path / "a.wav", _speech(3 * 16_000))
  flags = f"--workdir={workdir}", f"--speech={tmp_path / 'a.wav'}", f"--out={tmp_path / 'out'}"
  conftest.main("--mode=sample", "--pool", "--num_draws=2", *flags)
  names = {path.name for path in (tmp_path / "out").iterdir()}
  assert names == {"a_0000_00.png", "a_0000_01.png", "a_grid.png"}


def test_the_held_out_recordings_can_be_sampled_from(trained, tmp_path):
  workdir, first = trained
  recordings = workdir / "samples" / "held_out"
  assert {path.stem for path in recordings.iterdir()} == {"ada", "bo"}
  assert str(recordings) in first.stdout
  flags = f"--workdir={workdir}", f"--speech={recordings}", f"--out={tmp_path}"
  conftest.main("--mode=sample", *flags)
  assert (tmp_path / "ada_grid.png").exists()


def test_recordings_that_differ_in_their_extension_only(trained, tmp_path):
  for name in ("a.wav", "a.wave"):
    audio.write_wav(tmp_path / name, _speech(16_000))
  flags = f"--workdir={trained[0]}", f"--speech={tmp_path}", f"--out={tmp_path / 'out'}"
  conftest.main("--mode=sample", *flags)
  assert len(list((tmp_path / "out").glob("a.wav_*"))) == 2
  assert len(list((tmp_path / "out").glob("a.wave_*"))) == 2


@pytest.mark.parametrize("mode", ["sample", "video"])
def test_one_file_that_is_no_recording_never_stops_the_others(trained, tmp_path, mode):
  folder = tmp_path / "speech"
  folder.mkdir()
  (folder / "aa.txt").write_text("no sound")
  audio.write_wav(folder / "b.wav", _speech(16_000))
  flags = f"--mode={mode}", f"--workdir={trained[0]}", f"--speech={folder}"
  ended = conftest.main(*flags, f"--out={tmp_path / 'out'}", check=False)
  assert ended.returncode == 1
  assert "1 files could not be read" in ended.stderr
  assert ended.stderr.count("aa.txt") == 1
  assert list((tmp_path / "out").glob("b*"))
  (folder / "b.wav").unlink()
  refused = conftest.main(*flags, f"--out={tmp_path / 'none'}", check=False)
  assert refused.returncode == 2
  assert "aa.txt: not a sound file that FFmpeg can read (Invalid data found" in refused.stderr
  assert "Errno" not in refused.stderr
  assert not (tmp_path / "none").exists()


def test_what_is_no_recording_or_folder_is_named(trained, tmp_path):
  audio.write_wav(tmp_path / "a.wav", _speech(16_000))
  flags = "--mode=sample", f"--workdir={trained[0]}"
  (tmp_path / "file").touch()
  into = f"--out={tmp_path / 'file'}"
  refused = conftest.main(*flags, f"--speech={tmp_path / 'a.wav'}", into, check=False)
  assert refused.returncode == 2
  assert "Traceback" not in refused.stderr
