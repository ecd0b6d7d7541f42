"""Draws docs/status-page.png with Chromium: `make picture`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright import sync_api

from sync.status import page
from tests.status_example import two_months

PICTURE = Path(__file__).parents[1] / "docs" / "status-page.png"
WIDTH = 900


def main() -> int:
    """Draw the page. -> 1 without Chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("docs/status-page.png was not drawn: Chromium is not installed")
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_api.sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        path.write_text(page.render(two_months()), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": WIDTH, "height": 800}, device_scale_factor=1.2)
        view.goto(path.as_uri())
        view.screenshot(path=PICTURE, full_page=True)
        browser.close()
    print(f"wrote docs/{PICTURE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
