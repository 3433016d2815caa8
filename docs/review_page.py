"""Photographs the review page: docs/review_page.py clips/review.html docs/review_page.jpg."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def photograph(page_file: Path, out: Path) -> None:
  """The page in Chromium, 1440x860, after some decisions, ordered by distance."""
  with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
    )
    page = browser.new_page(viewport={"width": 1440, "height": 860})
    page.goto(page_file.resolve().as_uri())
    page.select_option("#score", label="distance")
    page.wait_for_selector(".card img")
    for key in ("a", "a", "a", "r", "ArrowDown", "r", "ArrowRight"):
      page.keyboard.press(key)
    page.wait_for_timeout(1000)  # pictures load, and a second of the clip is heard
    page.screenshot(path=out, type="jpeg", quality=88)
    browser.close()


if __name__ == "__main__":
  photograph(Path(sys.argv[1]), Path(sys.argv[2]))
