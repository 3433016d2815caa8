"""The page in a browser, with a recording in the place of the microphone, and many at once."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import conftest
import numpy as np
import pytest

from wav2pix_jax.common import audio

pytestmark = pytest.mark.extra
CHROMIUM = shutil.which("chromium")
LEFT = "wav2pix_demo_*"


def _recording(path, seconds=4):
  """A voice, which is loud and quiet in turns."""
  rng, turns = np.random.default_rng(0), np.repeat(np.tile([0.1, 1.0], 10 * seconds), 800)
  audio.write_wav(path, (8_000 * turns * rng.standard_normal(16_000 * seconds)).astype("i2"))
  return path


@pytest.fixture(scope="module")
def address(trained):
  """The address of a page that is being served, and its process."""
  pytest.importorskip("gradio", reason="Gradio is not installed; it is the extra demo")
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  before = set(Path(tempfile.gettempdir()).glob(LEFT))
  command = [sys.executable, "main.py", "--mode=demo", f"--workdir={trained[0]}", f"--port={port}"]
  process = subprocess.Popen(command, cwd=conftest.ROOT, env=conftest.environment())
  url = f"http://127.0.0.1:{port}/"
  for _ in range(240):
    try:
      urllib.request.urlopen(url).close()
      break
    except OSError:
      assert process.poll() is None
      time.sleep(0.5)
  yield url
  process.terminate()
  process.wait(30)
  assert set(Path(tempfile.gettempdir()).glob(LEFT)) <= before  # nothing is left behind


@pytest.fixture
def browser(tmp_path):
  if not CHROMIUM:
    pytest.skip("no Chromium to open the page in; apt-get install chromium")
  from playwright import sync_api

  fake = f"--use-file-for-fake-audio-capture={_recording(tmp_path / 'microphone.wav')}"
  media = "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", fake
  with sync_api.sync_playwright() as playwright:
    opened = playwright.chromium.launch(
      executable_path=CHROMIUM,
      args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", *media],
    )
    yield opened
    opened.close()


@pytest.mark.parametrize("width", [1200, 360])
def test_record_draw_film_and_speak_live(address, browser, width):
  page = browser.new_page(viewport={"width": width, "height": 900})
  asked, mistakes = set(), []
  page.on("request", lambda request: asked.add(request.url))
  page.on("pageerror", lambda error: mistakes.append(str(error)))
  page.goto(address)
  page.get_by_role("button", name="Record", exact=True).click()
  page.wait_for_timeout(3_000)
  page.get_by_role("button", name="Stop", exact=True).first.click()
  page.wait_for_selector(".seconds img")
  assert "Face 1, drawn from second 1" in page.locator(".seconds img").first.get_attribute("alt")
  page.get_by_role("button", name="Make a talking face").click()
  movie = "document.querySelector('#movie video')"
  page.wait_for_selector("#movie video")
  page.evaluate(f"{movie}.play()")
  page.wait_for_function(f"{movie}.currentTime > 1")
  page.get_by_role("tab", name="Live").click()
  page.get_by_role("button", name="Start the microphone").click()
  page.wait_for_selector(".live .face:not([hidden])")
  page.wait_for_function("/pictures a second/.test(document.querySelector('.speed').textContent)")
  assert re.match("Heard: .+", page.locator(".heard").inner_text())
  page.get_by_role("button", name="Stop the microphone").click()
  assert page.evaluate("document.documentElement.scrollWidth") <= width
  assert all(url.startswith((address, "data:", "blob:")) for url in asked), asked
  assert mistakes == []


@pytest.fixture
def call(address):
  """Does what the button "Draw faces" does: `call(path)`."""
  gradio_client = pytest.importorskip("gradio_client")
  client = gradio_client.Client(address, verbose=False)
  return lambda path: client.predict(gradio_client.handle_file(str(path)), 1, 0, api_name="/faces")


def test_broken_uploads_are_answered_and_the_page_goes_on(call, tmp_path):
  rng = np.random.default_rng(0)
  for number in range(100):
    path = tmp_path / f"{number}.wav"
    path.write_bytes(rng.bytes(100 * number))
    with pytest.raises(Exception, match="not a sound file|contains no s|empty"):
      call(path)
  assert "Face 1" in call(_recording(tmp_path / "good.wav"))


def test_twenty_people_at_once_are_all_answered(call, tmp_path):
  path = _recording(tmp_path / "speech.wav", seconds=2)
  with ThreadPoolExecutor(20) as people:
    answered = list(people.map(lambda _: call(path), range(20)))
  assert len(answered) == 20
  assert all("Face 1" in shown for shown in answered)


def test_the_server_fetches_no_recording_from_an_address(address):
  gradio_client = pytest.importorskip("gradio_client")
  client = gradio_client.Client(address, verbose=False)
  named = {"path": f"{address}theme.css", "meta": {"_type": "gradio.FileData"}}
  with pytest.raises(Exception, match="the server fetches none"):
    client.predict(named, 1, 0, api_name="/faces")
