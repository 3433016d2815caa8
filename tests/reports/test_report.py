"""The report: one file, in which faces are seen and their speech is heard."""

import json
import shutil

import numpy as np
import pytest

from wav2pix_jax.reports import report

CHROMIUM = shutil.which("chromium")
PEOPLE = ["ada", "</script><b>bo"]


@pytest.fixture(scope="module")
def page():
  rng = np.random.default_rng(0)
  row = {"value": 0.75, "real": 1.0, "baseline": 0.5, "interval": [0.6, 0.9], "p_value": None}
  by_identity = {"ada": 1.0, PEOPLE[1]: 0.5}
  intervals = {"ada": [1.0, 1.0], PEOPLE[1]: [0.2, 0.8]}
  rows = {
    "identity_accuracy": row | {"by_identity": by_identity, "intervals": intervals},
    "mouth": row | {"p_value": 0.25, "by_identity": {}, "intervals": {}},
  }
  part = {"step": 7, "chunks": 4, "draws": 2, "rows": rows, "missing": {"verified": "no dlib"}}
  examples = [
    report.Example(
      who,
      (1e4 * np.sin(np.arange(16_000) / 10)).astype(np.int16),
      rng.integers(0, 256, (16, 16, 3), np.uint8),
      rng.integers(0, 256, (2, 16, 16, 3), np.uint8),
    )
    for who in (0, 0, 1)
  ]
  return report.page("runs/a", "a dataset", {"test": part}, PEOPLE, examples)


def test_the_page_holds_all_that_it_shows(page):
  content = page.partition("const data = ")[2].partition(";\n")[0]
  assert "<" not in content  # a name cannot end the script
  data = json.loads(content)
  assert data["people"] == PEOPLE
  assert [example["who"] for example in data["examples"]] == [0, 0, 1]
  for example in data["examples"]:
    assert example["speech"].startswith("data:audio/wav;base64,UklGR")
    assert len(example["drawn"]) == 2
  (part,) = data["parts"]
  assert part["missing"] == [["no dlib", ["verified"]]]
  assert part["rows"][0]["by_identity"] == {"ada": 1.0, PEOPLE[1]: 0.5}


@pytest.mark.slow
def test_in_a_browser_figures_are_seen_and_a_click_is_heard(page, tmp_path):
  if not CHROMIUM:
    pytest.skip("no Chromium to open the report in; apt-get install chromium")
  from playwright import sync_api

  path = tmp_path / "report.html"
  path.write_text(page)
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=CHROMIUM,
      args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
    )
    opened = browser.new_page()
    mistakes = []
    opened.on("pageerror", lambda error: mistakes.append(str(error)))
    opened.goto(path.as_uri())
    table = opened.inner_text("table")
    assert "0.750" in table
    assert "0.600 to 0.900" in table
    assert PEOPLE[1] in opened.inner_text("#people")
    opened.click("summary")
    assert "0.200 to 0.800" in opened.inner_text("details")
    assert opened.locator("#people button").count() == 3
    opened.click("#people button >> nth=2")
    opened.wait_for_function("document.getElementById('player').currentTime > 0.1")
    assert opened.locator("button.playing").count() == 1
    opened.wait_for_function("document.getElementById('player').ended")
    assert opened.locator("button.playing").count() == 0
    loaded = "Array.from(document.images, image => image.complete && image.naturalWidth)"
    assert opened.evaluate(loaded) == [16] * 9
    assert mistakes == []
    browser.close()
