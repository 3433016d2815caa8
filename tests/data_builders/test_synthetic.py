"""Synthetic speakers: fixed people, voices and faces that belong together, truthful videos."""

import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT, training_flags
from conftest import main as command_line
from scipy import signal as filters
from tensorflow_datasets.core import shuffle

from data_builders import registry
from data_builders.synthetic import clips, identity, talk, video, voice
from data_builders.synthetic.__main__ import main
from data_builders.synthetic.face.head import MIDDLE, SIDE, Head, View
from data_builders.synthetic.face.pose import Pose, Scene, random_scene
from wav2pix_jax import data
from wav2pix_jax.common import audio, movie, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.configs import base

SIZE = 48
NEUTRAL = Scene()


def _synthetic(data_dir, **fields):
  dataset = base.get_config().dataset
  dataset.data_dir = str(data_dir)
  fields = {"identities": 3, "clips_per_identity": 10, "face_pixels": 32, **fields}
  for name, value in fields.items():
    (dataset.synthetic if name in dataset.synthetic else dataset)[name] = value
  return dataset


def _face(pose, scene=NEUTRAL, who=0):
  scale = 128 / SIDE
  view = View(128, 128, scale, 64, 64 - MIDDLE * scale)
  head = clips.head_of(identity.TEN[who], scale)
  return head.render(pose, scene, view, np.random.default_rng(0)).astype(float)


@pytest.mark.slow
def test_ten_people_and_then_others():
  assert len({person.name for person in identity.TEN}) == 10
  genders = [person.gender for person in identity.TEN]
  assert genders.count(identity.FEMALE) == genders.count(identity.MALE) == 5
  assert identity.people(4) == list(identity.TEN[:4])
  twelve = identity.people(12, seed=3)
  assert tuple(twelve[:10]) == identity.TEN
  assert twelve == identity.people(12, seed=3) == identity.people(14, seed=3)[:12]
  assert len({person.name for person in identity.people(40)}) == 40
  assert twelve[10] != identity.people(11, seed=4)[10]
  for style in (*identity.STYLES[identity.FEMALE], *identity.STYLES[identity.MALE]):
    other = identity.random_identity(np.random.default_rng(1), identity.FEMALE)
    face = identity.dataclasses.replace(other.face, style=style)
    Head(identity.dataclasses.replace(other, face=face), 20)


@pytest.mark.slow
def test_clips_are_the_same_whoever_makes_them():
  wanted = [(person, number) for person in identity.TEN[:2] for number in range(clips.CHUNK + 1)]
  made = list(clips.make_clips(wanted, SIZE, 0))
  assert [(person, clip.number) for person, clip in made] == wanted
  for person, clip in (made[0], made[clips.CHUNK], made[-1]):
    again = clips.make_clip(person, clip.number, SIZE, 0)
    assert np.array_equal(clip.face, again.face)
    assert np.array_equal(clip.speech, again.speech)
    assert clip.pose == again.pose
  assert made[0][1].face.shape == (SIZE, SIZE, 3)
  assert made[0][1].face.dtype == np.uint8
  assert made[0][1].speech.shape == (schema.CLIP_SAMPLES,)
  assert made[0][1].speech.dtype == np.int16
  speech = {clip.speech.tobytes() for _, clip in made}
  faces = {clip.face.tobytes() for _, clip in made}
  assert len(speech) == len(faces) == len(wanted)


def test_another_picture_of_a_clip_has_its_mouth_and_nothing_else_of_it():
  person = identity.TEN[0]
  clip = clips.make_clip(person, 0, SIZE, 0)
  again = clips.make_again(person, clip, SIZE, 0)
  assert np.array_equal(again, clips.make_again(person, clip, SIZE, 0))
  assert np.abs(again[:12, :6].mean((0, 1)) - clip.face[:12, :6].mean((0, 1))).max() > 5  # the wall

  def posed(**parts):
    pose = clips.dataclasses.replace(clip.pose, **parts)
    other = clips.dataclasses.replace(clip, pose=pose)
    return clips.make_again(person, other, SIZE, 0).astype(float)

  assert np.array_equal(posed(yaw=0.2, blink=1.0), again)
  changed = np.abs(posed(opening=1.0) - posed(opening=0.0)).mean(-1)
  assert changed[SIZE // 2 :].max() > 50 > 5 > changed[: SIZE // 3].max()


def test_no_two_clips_have_the_same_wall_or_shirt():
  scenes = [random_scene(np.random.default_rng(i)) for i in range(20)]
  assert len({scene.backdrop for scene in scenes}) == len({scene.shirt for scene in scenes}) == 20
  one, other = (_face(Pose(), scene) for scene in scenes[:2])
  corner = (slice(0, 12), slice(0, 6))
  assert np.abs(one[corner].mean((0, 1)) - other[corner].mean((0, 1))).max() > 5


def test_an_expression_changes_its_part_of_the_face():
  rest = _face(Pose(smile=0))
  change = {
    name: np.abs(_face(Pose(**{"smile": 0, name: 1.0})) - rest).mean(-1)
    for name in ("opening", "smile", "blink", "brow")
  }
  bands = {"brow": slice(38, 50), "eyes": slice(51, 68), "mouth": slice(88, 128)}
  for name, band in (("opening", "mouth"), ("smile", "mouth"), ("blink", "eyes"), ("brow", "brow")):
    inside = change[name][bands[band], 36:92].mean()
    assert inside > 4, name
    assert inside > 5 * change[name][:24].mean(), name
  dark = _face(Pose(smile=0, opening=0.9))[96:116, 58:70].min()
  assert dark < 40 < rest[96:116, 58:70].min()


def test_a_turned_head_moves_its_box():
  scale = 60.0
  view = View(320, 240, scale, 160, 120)
  head = Head(identity.TEN[5], scale)
  left, top, width, height = head.box(Pose(), view)
  assert width == height == pytest.approx(SIDE * scale, abs=0.01)
  assert left + width / 2 == pytest.approx(160)
  assert top + height / 2 == pytest.approx(120 + MIDDLE * scale, abs=0.01)
  assert head.box(Pose(yaw=0.2), view)[0] > left + 3
  assert head.box(Pose(pitch=0.1), view)[1] > top + 1


def _said(person, seed=0, seconds=4):
  rng = np.random.default_rng(seed)
  frames = seconds * voice.FRAME_RATE
  return voice.speak(person.voice, talk.mood(frames, rng), rng)


@pytest.mark.parametrize("person", identity.TEN[::3], ids=lambda person: person.name)
def test_speech_has_the_pitch_and_the_breadth_of_a_voice(person):
  said = _said(person)
  assert said.samples.shape == (schema.CLIP_SAMPLES,)
  assert np.isfinite(said.samples).all()
  frequency, power = filters.welch(said.samples, schema.SAMPLE_RATE, nperseg=1024)
  high = power[frequency > 4000].sum() / power.sum()
  assert 1e-4 < high < 0.5  # consonants are heard there
  # the period of the loudest tenth of a second
  loudness = np.convolve(np.square(said.samples), np.ones(1600), "valid")
  start = int(loudness.argmax())
  piece = said.samples[start : start + 1600]
  similar = np.correlate(piece, piece, "full")[len(piece) - 1 :]
  pitch = said.pitch[start // voice.FRAME : (start + 1600) // voice.FRAME].mean()
  period = schema.SAMPLE_RATE / pitch
  lags = np.arange(int(0.6 * period), int(1.6 * period))
  assert lags[similar[lags].argmax()] == pytest.approx(period, rel=0.12)


def test_the_mouth_is_shut_in_silence_and_open_in_loud_vowels():
  opening, loudness = [], []
  for seed in range(8):
    said = _said(identity.TEN[seed], seed)
    frames = said.samples.reshape(-1, voice.FRAME)
    loudness.append(filters.medfilt(np.sqrt(np.square(frames).mean(1)), 5))
    opening.append(said.opening)
  opening, loudness = np.concatenate(opening), np.concatenate(loudness)
  assert opening[loudness < 0.002].mean() < 0.15
  assert opening[loudness > np.quantile(loudness, 0.8)].mean() > 0.4


def test_everybody_is_heard_through_a_microphone_of_their_own():
  said = _said(identity.TEN[0]).samples
  assert len({person.microphone for person in identity.people(30)}) == 30
  flat, coloured = (
    voice.record(said, microphone, np.random.default_rng(1)).astype(float)
    for microphone in (identity.Microphone(noise=-90), identity.TEN[0].microphone)
  )
  assert coloured.std() == pytest.approx(flat.std(), rel=0.01)
  frequency, before = filters.welch(flat, schema.SAMPLE_RATE, nperseg=1024)
  _, after = filters.welch(coloured, schema.SAMPLE_RATE, nperseg=1024)
  gain = 10 * np.log10(after / before)
  points = np.geomspace(50, 8000, 8)[3:6]  # where speech is louder than noise
  heard = np.interp(points, frequency, gain)
  wanted = np.array(identity.TEN[0].microphone.gains[3:6])
  assert heard - heard.mean() == pytest.approx(wanted - wanted.mean(), abs=1.5)


def test_silence_is_recorded_as_silence():
  nothing = np.zeros(schema.CLIP_SAMPLES, np.float32)
  assert not voice.record(nothing, identity.Microphone(), np.random.default_rng(0)).any()


def test_utterances_are_as_long_as_asked():
  for seed in range(200):
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 30))
    assert len(voice.speak(identity.TEN[0].voice, np.zeros(frames), rng).opening) == frames


def test_poses_at_any_times_are_of_one_movement():
  said = _said(identity.TEN[0])
  times = np.arange(0, 4, 0.02)
  often, seldom = (talk.poses(said, at, np.random.default_rng(7)) for at in (times, times[::5]))
  assert often[::5] == seldom
  assert max(abs(b.yaw - a.yaw) for a, b in zip(often, often[1:], strict=False)) < 0.02
  assert all(0 <= pose.opening <= 1 and 0 <= pose.blink <= 1 for pose in often)


@pytest.mark.slow
def test_the_builder_writes_exact_instants_and_splits_by_utterance(tmp_path):
  dataset = _synthetic(tmp_path)
  builder = data.prepare(dataset)
  assert builder.info.config_name == "synthetic_3x10_32px_s0"
  assert data.identity_names(builder) == ["ana", "bea", "carla"]
  sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
  assert sizes == {schema.TRAIN: 24, schema.VALIDATION: 3, schema.TEST: 3}
  assert registry.size(dataset) == (3, 24)
  units = []
  for split in sizes:
    for record in builder.as_data_source(split=split):
      units.append(int(record[schema.UNIT]))
      assert record[schema.INSTANT] == schema.CLIP_SAMPLES // 2
      assert record[schema.INSTANT_ERROR] == record[schema.OFFSET] == 0
      assert record[schema.FACE].shape == (32, 32, 3)
      assert record[schema.SPEECH].shape == (schema.CLIP_SAMPLES,)
  assert sorted(units) == list(range(30))
  assert data.prepare(dataset).data_dir == builder.data_dir
  listed = registry.builder(_synthetic(tmp_path, identities=4))
  assert listed.builder_config is listed.BUILDER_CONFIGS[1]
  other = registry.builder(_synthetic(tmp_path, clips_per_identity=3, seed=5))
  assert other.info.config_name == "synthetic_3x3_32px_s5"


@pytest.mark.slow
def test_the_unseen_are_not_learned_and_come_last(tmp_path):
  dataset = _synthetic(tmp_path, unseen=("carla", "ana"), identities=6, clips_per_identity=3)
  builder = data.prepare(dataset)
  assert builder.info.config_name.startswith("synthetic_6x3_32px_s0_unseen_")
  learned = ["bea", "diana", "elsa", "fran"]
  assert data.identity_names(builder) == learned
  assert data.everyone(builder) == [*learned, "ana", "carla"]
  assert data.genders(builder) == ["female"] * 3 + ["male"] + ["female"] * 2
  assert registry.size(dataset) == (4, 4)
  found, units = {}, []
  for split in builder.info.splits:
    for record in builder.as_data_source(split=split):
      name = record[schema.ID].decode().partition("/")[0]
      assert data.everyone(builder)[record[schema.IDENTITY]] == name
      found.setdefault(split, []).append(name)
      units.append(int(record[schema.UNIT]))
  assert sorted(found.pop(schema.UNSEEN)) == ["ana"] * 3 + ["carla"] * 3
  assert found.keys() == {schema.TRAIN, schema.VALIDATION, schema.TEST}
  assert all(sorted(names) == learned for names in found.values())
  assert sorted(units) == list(range(18))


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    ({"source": "here.zip"}, "use --config=youtubers"),
    ({"identities": 1}, "at least 2"),
    ({"clips_per_identity": 2}, "at least 3"),
    ({"face_pixels": 8}, "at least 16"),
    ({"seed": -1}, "at least 0"),
    ({"unseen": ("zoe",)}, "zoe not in synthetic, which has ana, bea, carla"),
    ({"unseen": ("ana", "bea")}, "1 identities to learn"),
  ],
)
def test_what_cannot_be_is_refused(tmp_path, fields, said):
  with pytest.raises(UserError, match=said):
    data.prepare(_synthetic(tmp_path / "data", **fields))
  assert not (tmp_path / "data").exists()


@pytest.mark.extra
def test_killed_while_it_writes_and_started_again(tmp_path):
  code = (
    "from configs import base; from wav2pix_jax import data; d = base.get_config().dataset\n"
    f"d.data_dir = {str(tmp_path)!r}\n"
    "d.synthetic.update(identities=2, clips_per_identity=60, face_pixels=32)\n"
    "if __name__ == '__main__': data.prepare(d)\n"
  )
  (tmp_path / "prepare.py").write_text(code)
  command = [sys.executable, str(tmp_path / "prepare.py")]
  environment = {**os.environ, "PYTHONPATH": str(ROOT)}
  process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
  waited = time.monotonic()
  while not list(tmp_path.glob("**/*incomplete*")):
    assert process.poll() is None
    assert time.monotonic() - waited < 60
    time.sleep(0.05)
  children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
  process.kill()
  process.wait()
  while any(Path(f"/proc/{child}").exists() for child in children):
    assert time.monotonic() - waited < 90  # workers end with the process that needs them
    time.sleep(0.05)
  dataset = _synthetic(tmp_path, identities=2, clips_per_identity=60)
  builder = data.prepare(dataset)
  assert sum(info.num_examples for info in builder.info.splits.values()) == 120
  assert not list(tmp_path.glob("**/*incomplete*"))


@pytest.mark.parametrize("rate", ["25", "30000/1001", "24000/1001", "59.94", "variable"])
def test_frame_times(rate):
  times = video.frame_times(rate, 3.0, np.random.default_rng(0))
  assert times[0] == 0
  assert times[-1] < 3
  if rate == "variable":
    assert np.diff(times).std() > 0.01
    assert 1 / 40 <= np.diff(times).min() < np.diff(times).max() <= 1 / 12
  else:
    assert np.allclose(np.diff(times), 1 / float(Fraction(rate)))


@pytest.mark.extra
@pytest.mark.parametrize("rate", ["24000/1001", "variable"])
def test_a_video_says_what_its_truth_says(tmp_path, rate):
  person = identity.TEN[7]
  video.write_speaker(person, 3, tmp_path, 2.0, rate)
  path = video.path_of(tmp_path, person, 3)
  assert sorted(p.name for p in path.parent.iterdir()) == [
    "003.mp4",
    "003.truth.json",
    "003.truth.wav",
  ]
  truth = json.loads(path.with_suffix(".truth.json").read_text())
  with av.open(str(path)) as container:
    assert container.streams.video[0].codec_context.name == "h264"
    sound = container.streams.audio[0].codec_context
    assert (sound.name, sound.sample_rate, sound.layout.name) == ("aac", 44_100, "stereo")
    frames = list(container.decode(video=0))
  assert np.allclose([float(frame.time) for frame in frames], truth["times"], atol=2e-5)
  assert len(truth["boxes"]) == len(truth["opening"]) == len(frames)
  for left, top, width, height in truth["boxes"]:
    assert 0 < left < left + width < video.WIDTH
    assert 0 < top < top + height < video.HEIGHT
  heard = audio.read(path).astype(float)
  spoken = audio.read(path.with_suffix(".truth.wav")).astype(float)
  length = min(len(heard), len(spoken))
  similar = filters.correlate(heard[:length], spoken[:length], "full", "fft")
  assert similar.argmax() - (length - 1) == 0  # not a sample late
  assert np.corrcoef(heard[:length], spoken[:length])[0, 1] > 0.99


def test_a_video_that_fails_leaves_nothing(tmp_path):
  def frames():
    yield np.zeros((video.HEIGHT, video.WIDTH, 3), np.uint8)
    raise ValueError("the second frame fails")

  with pytest.raises(ValueError, match="the second"):
    movie.write_mp4(tmp_path / "a.mp4", frames(), np.array([0, 0.1]), np.zeros(3200, np.int16))
  assert not list(tmp_path.iterdir())


@pytest.mark.extra
def test_the_command_writes_videos_and_goes_on_where_it_was_stopped(tmp_path, capsys):
  command = [f"--out={tmp_path}", "--identities=2", "--videos=1", "--seconds=1", "--fps=10"]
  assert main(command) == 0
  assert "2 videos of 2 speakers" in capsys.readouterr().out
  assert (tmp_path / "identities.csv").read_text() == "Name,Gender\nana,female\nbea,female\n"
  kept, lost = tmp_path / "ana" / "000.mp4", tmp_path / "bea" / "000.mp4"
  before, content = kept.stat().st_mtime_ns, lost.read_bytes()
  lost.unlink()
  assert main(command) == 0
  assert kept.stat().st_mtime_ns == before
  assert lost.read_bytes() == content
  assert main([*command[:-1], "--fps=12"]) == 2
  assert "was made with other --seconds or --fps" in capsys.readouterr().err


@pytest.mark.parametrize(
  "flag",
  [
    "--fps=fast",
    "--fps=0",
    "--fps=1/0",
    "--fps=1e9",
    "--videos=0",
    "--identities=two",
    "--seconds=0",
  ],
)
def test_the_command_refuses_in_one_line(tmp_path, capsys, flag):
  with pytest.raises(SystemExit) as left:
    main([f"--out={tmp_path / 'raw'}", flag])
  assert left.value.code == 2
  *_, line = capsys.readouterr().err.strip().splitlines()
  assert flag.split("=")[1] in line
  assert not (tmp_path / "raw").exists()


def test_a_file_in_the_folders_place_is_one_line(tmp_path, capsys):
  (tmp_path / "raw").write_text("")
  assert main([f"--out={tmp_path / 'raw'}", "--identities=1", "--videos=1", "--seconds=1"]) == 2
  assert "cannot be written" in capsys.readouterr().err


@pytest.mark.extra
def test_a_run_on_synthetic_speakers_needs_no_data(tmp_path):
  fields = {
    "dataset.synthetic.identities": 3,
    "dataset.unseen": "('carla',)",
    "dataset.synthetic.clips_per_identity": 10,
    "dataset.synthetic.face_pixels": 32,
    "eval_every": 6,
  }
  _, *flags = training_flags(tmp_path / "run", "", tmp_path / "data", **fields)
  done = command_line("--config=demo", *flags)
  assert "16 records to train on, 2 of validation to evaluate: ana, bea." in done.stdout
  assert "show the right person" in done.stdout
  shown = done.stdout.strip().splitlines()[-1].split()
  assert shown[1:3] == ["main.py", "--mode=sample"]
  command_line(*shown[2:], f"--out={tmp_path / 'faces'}")
  assert len(list((tmp_path / "faces").glob("*.png"))) > 0
  for split, who in (("unseen", {"carla"}), ("test", {"ana", "bea"})):
    command_line("--mode=evaluate", f"--workdir={tmp_path / 'run'}", f"--split={split}")
    part = json.loads((tmp_path / "run" / "metrics.json").read_text())[split]
    assert ("identity_accuracy" in part["missing"]) == (split == "unseen")
    gender = part["rows"]["gender"]
    assert gender["by_identity"].keys() == who
    assert gender["value"] == gender["real"] == 1.0  # all of them are women


@pytest.mark.extra
def test_a_split_that_does_not_fit_into_memory_has_the_same_records(tmp_path, monkeypatch):
  """TFDS sorts it on disk, for which it would need TensorFlow."""
  prepared = []
  for name, most in (("small", shuffle.MAX_MEM_BUFFER_SIZE), ("large", 200_000)):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", most)
    builder = data.prepare(_synthetic(tmp_path / name))
    prepared.append(builder)
  for split in (schema.TRAIN, schema.TEST):
    small, large = (data.load(builder, split, 32) for builder in prepared)
    assert small.digest == large.digest
    np.testing.assert_array_equal(small.identity, large.identity)
  assert "tensorflow" not in sys.modules
  assert not list(tmp_path.rglob("bucket_*"))


def test_faces_and_voices_share_what_the_config_says():
  found = identity.people(610, seed=3, share=0.6)[10:]
  for field, shown, heard in (
    ("size", lambda p: p.face.half_width, lambda p: -np.log2(p.voice.tract)),
    ("age", lambda p: p.face.age, lambda p: np.log(p.voice.breath)),
  ):
    for gender in (identity.FEMALE, identity.MALE):
      own = [p for p in found if p.gender == gender]
      body = [getattr(p.body, field) for p in own]
      assert np.corrcoef(body, [shown(p) for p in own])[0, 1] > 0.97
      told = [heard(p) for p in own]
      assert np.corrcoef([getattr(p.heard, field) for p in own], told)[0, 1] > 0.999
      assert abs(np.corrcoef(body, told)[0, 1] - 0.6) < 0.1
  assert abs(np.corrcoef([(p.body.size, p.body.age) for p in found], rowvar=False)[0, 1]) < 0.1
  ten, *others = identity.people(12, seed=3, share=0.6)[:10], *identity.people(12, seed=3)[10:]
  assert ten == identity.people(10)
  assert {other.body for other in others} == {identity.Body()}
