"""Photographs a report: docs/report_page.py runs/demo/report.html docs/report_page.jpg."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def photograph(page_file: Path, out: Path) -> None:
  """The page in Chromium, 1140 wide, down to the first people's faces."""
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
  photograph(Path(sys.argv[1]), Path(sys.argv[2]))
