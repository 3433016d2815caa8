"""Curating: scores tell good clips from bad, limits and decisions apply, and the page works."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT

from data_builders.prepare import curate, manifest, scores
from data_builders.prepare.__main__ import main
from data_builders.prepare.manifest import Clip
from data_builders.synthetic import clips as drawn
from data_builders.synthetic import identity
from data_builders.synthetic.face.head import MIDDLE, SIDE, View
from data_builders.synthetic.face.pose import Pose, Scene
from wav2pix_jax.common import audio, images, schema

pytestmark = pytest.mark.slow

SECONDS = np.arange(schema.CLIP_SAMPLES) / schema.SAMPLE_RATE
PEOPLE = identity.TEN[:4]
STRICT = "--limit=distance=0.35"  # drawn people are more alike than real ones


@pytest.fixture(scope="module")
def made():
  """Clips of each person: (person, clip)."""
  return [(who, drawn.make_clip(who, n, 128, 0)) for who in PEOPLE for n in range(4)]


def _music(seed):
  rng, tune = np.random.default_rng(seed), np.zeros(schema.CLIP_SAMPLES)
  for start in np.arange(0, 4, 0.3):
    loud = np.where(start <= SECONDS, np.exp(1.5 * (start - SECONDS)), 0)
    for note in rng.choice([0, 3, 5, 7, 10, 12], 3):
      hertz = 220 * 2 ** (note / 12)
      tune += sum(loud * np.sin(2 * np.pi * k * hertz * SECONDS) / k for k in range(1, 6))
  return (tune / np.abs(tune).max() * 20_000).astype(np.int16)


def _noise(slope):
  noise = audio.coloured_noise(schema.CLIP_SAMPLES, slope, np.random.default_rng(0))
  return (noise * 3000).astype(np.int16)


BAD_SOUND = {
  "music": (_music(0), "modulation"),
  "other music": (_music(1), "modulation"),
  "white noise": (_noise(0), "modulation"),
  "pink noise": (_noise(1), "modulation"),
  "silence": (np.zeros(schema.CLIP_SAMPLES, np.int16), "silence"),
  "nearly silent": (_noise(0) // 1000, "speech"),
}


def _failing(found):
  clip = Clip("", "", "", "", 0, (0, 0, 1, 1), 0, "", "", "", found)
  return curate.failing(clip, curate.LIMITS)


def test_good_clips_pass(made):
  for _, clip in made:
    assert not _failing(scores.of_speech(clip.speech) | scores.of_face(clip.face))


@pytest.mark.parametrize("name", BAD_SOUND)
def test_bad_sound_fails_where_it_should(name):
  sound, score = BAD_SOUND[name]
  assert score in _failing(scores.of_speech(sound))


def test_an_overdriven_voice_clips(made):
  for _, clip in made[::4]:
    loud = (clip.speech.astype(float) / np.abs(clip.speech).max() * 200_000).clip(-32768, 32767)
    assert _failing(scores.of_speech(loud.astype(np.int16))) == ["clipping"]


@pytest.mark.parametrize("blur", [2, 3, 6])
def test_a_blurred_face_is_not_sharp(made, blur):
  for _, clip in made[::4]:
    blurred = cv2.GaussianBlur(clip.face, (0, 0), blur)
    assert "sharpness" in _failing(scores.of_face(blurred))


@pytest.mark.parametrize("factor", [0.6, 0.3])
@pytest.mark.parametrize("towards", [0, 128])
def test_sharpness_is_that_of_a_darker_face_and_of_one_with_less_contrast(made, factor, towards):
  for _, clip in made[::4]:
    changed = (towards + factor * (clip.face.astype(float) - towards)).round().astype(np.uint8)
    same, other = scores.of_face(clip.face), scores.of_face(changed)
    assert other["sharpness"] == pytest.approx(same["sharpness"], abs=0.05)


def test_a_small_face_fails(made):
  assert "size" in _failing(scores.of_face(images.resize(made[0][1].face, 40)))


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_frontality_falls_as_a_head_turns(person):
  scale = 128 / SIDE
  view = View(128, 128, scale, 64, 64 - MIDDLE * scale)
  head = drawn.head_of(person, scale)
  turned = [
    scores.of_face(head.render(Pose(yaw=yaw), Scene(), view, np.random.default_rng(0)))
    for yaw in (0, 0.25, 0.5)
  ]
  frontal, half, side = (found["frontality"] for found in turned)
  assert frontal > half > side
  assert frontal > 0.6


@pytest.mark.parametrize("degrees", [-15, 8, 15])
def test_a_tilted_head_is_as_frontal(made, degrees):
  for _, clip in made[::4]:
    turn = cv2.getRotationMatrix2D((63.5, 63.5), degrees, 1)
    tilted = cv2.warpAffine(clip.face, turn, (128, 128), borderMode=cv2.BORDER_REPLICATE)
    level = scores.of_face(clip.face)["frontality"]
    assert scores.of_face(tilted)["frontality"] == pytest.approx(level, abs=0.12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, made):
  """A folder as `clips` makes it, with one face of somebody else and one clip of music."""
  return _folder(tmp_path_factory.mktemp("clips"), made)


def _folder(out, made, copies=1):
  odd = "é 'q\" #%"
  listed = []
  (out / "media" / odd).mkdir(parents=True)
  for n, (who, clip) in enumerate(made):
    where = f"media/{odd}/{n}"
    face, speech = clip.face, clip.speech
    if n == 1:
      speech = _music(0)
    if n == 2:
      face = made[-1][1].face
    (out / f"{where}.jpg").write_bytes(images.encode_jpeg(face))
    audio.write_wav(out / f"{where}.wav", speech)
    found = scores.of_speech(speech) | scores.of_face(face) | {"faces": 1}
    video = f"{who.name}/{n % 4}.mp4"
    listed.append(
      Clip(
        f"{video}/{n:04d}",
        who.name,
        who.gender,
        video,
        2.0,
        (0, 0, 128, 128),
        8.0,
        f"{where}.jpg",
        f"{where}.wav",
        "",
        found,
      )
    )
  more = [
    dataclasses.replace(clip, id=f"{clip.id}.{copy}") for copy in range(copies) for clip in listed
  ]
  manifest.write(out / "manifest.jsonl", more if copies > 1 else listed)
  return out


def _ids(path):
  return [clip.id for clip in manifest.read(path)]


def test_limits_reject_the_obvious_and_nothing_is_removed(folder, capsys):
  before = (folder / "manifest.jsonl").read_bytes()
  assert main(["curate", f"--clips={folder}", STRICT]) == 0
  said = capsys.readouterr().out
  every = _ids(folder / "manifest.jsonl")
  kept = manifest.read(folder / "curated.jsonl")
  assert [clip.id for clip in kept] == [i for n, i in enumerate(every) if n not in (1, 2)]
  assert all(clip.scores["distance"] < 0.35 for clip in kept)
  assert "14 of 16 clips are kept" in said
  assert "Beyond limits: modulation 1, distance 1." in said
  first = PEOPLE[0]
  assert f"2 of      4  {first.name} ({first.gender}): modulation 1, distance 1" in said
  assert (folder / "manifest.jsonl").read_bytes() == before


def test_what_was_compared_is_not_compared_again(folder, monkeypatch):
  main(["curate", f"--clips={folder}"])
  before = (folder / "curated.jsonl").read_bytes()

  def refuse(*_):
    raise AssertionError("compared again")

  monkeypatch.setattr("wav2pix_jax.common.dlib_faces.describer", lambda: refuse)
  main(["curate", f"--clips={folder}"])
  assert (folder / "curated.jsonl").read_bytes() == before


def test_without_dlib_the_rest_is_curated(folder, tmp_path, monkeypatch, capsys):
  shutil.copytree(folder, tmp_path / "clips")
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  assert main(["curate", f"--clips={tmp_path / 'clips'}"]) == 0
  assert "pip install -e '.[eval]'" in capsys.readouterr().out
  assert len(_ids(tmp_path / "clips" / "curated.jsonl")) == 15


def test_a_limit_can_be_another(folder):
  assert main(["curate", f"--clips={folder}", "--limit=modulation=0", "--limit", "distance=2"]) == 0
  assert len(_ids(folder / "curated.jsonl")) == 16


def test_the_summary_names_who_is_lost_and_the_languages(folder, tmp_path, capsys):
  clips = [
    dataclasses.replace(clip, language="en" if n == 1 else "es")
    for n, clip in enumerate(manifest.read(folder / "manifest.jsonl"))
  ]
  shutil.copytree(folder, tmp_path / "clips")
  manifest.write(tmp_path / "clips" / "manifest.jsonl", clips)
  lost = PEOPLE[1]
  decisions = {clip.id: "reject" for clip in clips if clip.identity == lost.name}
  (tmp_path / "d.json").write_text(json.dumps(decisions))
  main(["curate", f"--clips={tmp_path / 'clips'}", f"--decisions={tmp_path / 'd.json'}"])
  said = capsys.readouterr().out
  assert f"Nothing is kept of: {lost.name}." in said
  assert f"{PEOPLE[0].name} ({PEOPLE[0].gender}; es 3, en 1)" in said


def test_decisions_overrule_limits(folder, tmp_path, capsys):
  every = _ids(folder / "manifest.jsonl")
  decisions = {every[0]: "reject", every[1]: "accept", "nobody/x.mp4/1": "reject"}
  (tmp_path / "d.json").write_text(json.dumps(decisions))
  assert main(["curate", f"--clips={folder}", STRICT, f"--decisions={tmp_path / 'd.json'}"]) == 0
  assert _ids(folder / "curated.jsonl") == [i for n, i in enumerate(every) if n not in (0, 2)]
  said = capsys.readouterr().out
  assert "1 accepted, 1 rejected" in said
  assert "'nobody/x.mp4/1'" in said


@pytest.mark.parametrize(
  ("content", "said"),
  [
    ("{", "cannot be read"),
    ('["a"]', "has a list"),
    ('{"a": "maybe"}', "'a' is 'maybe'"),
    (None, "cannot be read"),
  ],
)
def test_bad_decisions_are_a_line(folder, tmp_path, capsys, content, said):
  main(["curate", f"--clips={folder}"])
  before = (folder / "curated.jsonl").read_bytes()
  if content is not None:
    (tmp_path / "d.json").write_text(content)
  capsys.readouterr()
  assert main(["curate", f"--clips={folder}", f"--decisions={tmp_path / 'd.json'}"]) == 2
  error = capsys.readouterr().err
  assert said in error
  assert len(error.splitlines()) == 1
  assert (folder / "curated.jsonl").read_bytes() == before


@pytest.mark.parametrize(
  ("line", "said"), [("{}", "line 2"), ("nonsense", "line 2"), (None, "no manifest")]
)
def test_a_manifest_that_is_none_is_a_line(folder, tmp_path, capsys, line, said):
  if line is not None:
    first = (folder / "manifest.jsonl").read_text().splitlines()[0]
    (tmp_path / "manifest.jsonl").write_text(f"{first}\n{line}\n")
  assert main(["curate", f"--clips={tmp_path}"]) == 2
  assert said in capsys.readouterr().err


CHROMIUM = shutil.which("chromium")
FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="module")
def browser():
  if CHROMIUM is None:
    pytest.skip("no Chromium to open the review page in; apt-get install chromium")
  from playwright import sync_api

  with sync_api.sync_playwright() as playwright:
    opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield opened
    opened.close()


def _open(context, folder):
  page = context.new_page()
  problems = []
  page.on("pageerror", lambda error: problems.append(str(error)))
  page.on("requestfailed", lambda request: problems.append(request.url))
  page.goto((folder / "review.html").as_uri())
  page.wait_for_function("document.querySelectorAll('.card').length > 0")
  return page, problems


def _classes(page):
  """What each of the first cards looks like, in order."""
  return page.evaluate(
    """() => [...document.querySelectorAll('.card')].filter(c => c.index >= 0)
      .sort((a, b) => a.index - b.index).map(c => c.className.replace('card', '').trim())"""
  )


@pytest.mark.slow
def test_review_accept_reject_undo_reload_export_apply(browser, folder, tmp_path):
  assert main(["curate", f"--clips={folder}", STRICT, "--review"]) == 0
  every = _ids(folder / "manifest.jsonl")
  context = browser.new_context(viewport={"width": 1200, "height": 800})
  page, problems = _open(context, folder)
  page.wait_for_function(
    "[...document.querySelectorAll('.card img')].every(i => !i.src || i.naturalWidth === 128)"
  )
  assert _classes(page)[:4] == ["chosen", "beyond", "beyond", ""]
  page.keyboard.press("r")  # the first; the second is chosen then, and heard
  page.wait_for_function("sound.currentTime > 0.05")
  page.keyboard.press("a")
  page.keyboard.press("a")
  page.keyboard.press("r")
  assert _classes(page)[:5] == ["reject", "accept", "accept", "reject", "chosen"]
  page.keyboard.press("u")
  page.keyboard.press("Control+z")
  assert _classes(page)[:4] == ["reject", "accept", "beyond chosen", ""]
  page.reload()
  assert _classes(page)[:4] == ["reject chosen", "accept", "beyond", ""]
  page.select_option("#state", "beyond")
  assert page.text_content("#title") == "1 of 16 clips"
  page.select_option("#state", "")
  page.get_by_text(f"{PEOPLE[1].name} (").click()
  assert page.text_content("#title") == "4 of 16 clips"
  page.get_by_role("button", name="Reject shown").click()
  page.get_by_text(f"{PEOPLE[1].name} (").click()
  page.select_option("#score", label="modulation")
  page.fill("#most", "3.5")
  page.keyboard.press("Tab")
  assert page.text_content("#title") == "1 of 16 clips"
  with page.expect_download() as download:
    page.get_by_role("button", name="Export").click()
  exported = tmp_path / download.value.suggested_filename
  download.value.save_as(exported)
  chosen = {every[0]: "reject", every[1]: "accept"} | dict.fromkeys(every[4:8], "reject")
  assert json.loads(exported.read_text()) == chosen
  assert not problems
  assert main(["curate", f"--clips={folder}", STRICT, f"--decisions={exported}", "--review"]) == 0
  kept = [every[1], every[3], *every[8:]]
  assert _ids(folder / "curated.jsonl") == kept
  # a browser that has never seen the page has the decisions too
  other, _ = _open(browser.new_context(), folder)
  assert _classes(other)[:4] == ["reject chosen", "accept", "beyond", ""]


@pytest.mark.extra
def test_ten_thousand_clips_have_few_nodes_and_scroll(browser, tmp_path, made, record_property):
  folder = _folder(tmp_path, made, 640)
  clips = manifest.read(folder / manifest.MANIFEST)
  failing = {clip.id: curate.failing(clip, curate.LIMITS) for clip in clips}
  page = curate.review.page(clips, failing, curate.LIMITS, {})
  (folder / curate.REVIEW).write_text(page)
  page, problems = _open(browser.new_context(viewport={"width": 1920, "height": 1080}), folder)
  assert page.text_content("#title") == "10,240 of 10,240 clips"
  devtools = page.context.new_cdp_session(page)
  devtools.send("Performance.enable")

  def spent():
    found = {m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]}
    return found["ScriptDuration"] + found["LayoutDuration"] + found["RecalcStyleDuration"]

  costs = []
  for step in range(40):
    before = spent()
    page.evaluate(
      """(top) => new Promise(done => { grid.scrollTop = top;
        requestAnimationFrame(() => requestAnimationFrame(done)); })""",
      step * 700,
    )
    costs.append(spent() - before)
  shown = page.evaluate("[...document.querySelectorAll('.card')].map(c => c.index)")
  assert min(i for i in shown if i >= 0) > 100
  nodes = page.evaluate("document.querySelectorAll('*').length")
  assert nodes <= 500
  assert not problems
  median = 1000 * float(np.median(costs))
  record_property("review page, 10,240 clips", f"{nodes} nodes; {median:.1f} ms a scroll (median)")


def test_a_name_cannot_end_the_script(tmp_path, made):
  folder = _folder(tmp_path, made[:4])
  clips = [
    dataclasses.replace(clip, identity="</script><script>alert(1)</script>")
    for clip in manifest.read(folder / "manifest.jsonl")
  ]
  page = curate.review.page(clips, {clip.id: [] for clip in clips}, curate.LIMITS, {})
  assert "alert" in page
  assert "</script><script>alert" not in page
  assert Path(ROOT / "data_builders" / "prepare" / "review.html").read_text().count("/*DATA*/") == 1
