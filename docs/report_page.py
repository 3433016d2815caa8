"""Takes a screenshot of a report: python docs/report_page.py report.html picture.jpg."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def take_screenshot(page_file: Path, out: Path) -> None:
  """Shows the page in Chromium, 1140 pixels wide, down to the first speakers' faces."""
  with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
    )
    page = browser.new_page(viewport={"width": 1140, "height": 1100})
    page.goto(page_file.resolve().as_uri())
    page.wait_for_selector("#people img")
    page.wait_for_timeout(500)
    page.screenshot(path=out, type="jpeg", quality=88)
    browser.close()


if __name__ == "__main__":
  if len(sys.argv) != 3:
    sys.exit("usage: python docs/report_page.py report.html picture.jpg")
  take_screenshot(Path(sys.argv[1]), Path(sys.argv[2]))
