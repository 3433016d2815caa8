"""Takes a screenshot of a review page: python docs/review_page.py review.html picture.jpg."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def take_screenshot(page_file: Path, out: Path) -> None:
  """Shows the page in Chromium, 1440x860, after some decisions, with the score `distance`."""
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
    page.wait_for_timeout(1000)  # pictures load, and a second of the clip plays
    page.screenshot(path=out, type="jpeg", quality=88)
    browser.close()


if __name__ == "__main__":
  if len(sys.argv) != 3:
    sys.exit("usage: python docs/review_page.py review.html picture.jpg")
  take_screenshot(Path(sys.argv[1]), Path(sys.argv[2]))
