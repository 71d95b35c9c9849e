"""Make the two pictures of the explorer in the README.

uv run --group browser python tests/benchmarks/screenshots.py

Wants Chromium, and results of the recipe that is shown:
tox -e flask,fastapi -- -k cors
"""

import shutil
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from playwright.sync_api import sync_playwright

from cookbook.book import Book
from cookbook.site.building import Builder
from cookbook.site.handler import listening

PICTURES = Path(__file__).parents[2] / "cookbook" / "pictures"
WIDTH, HEIGHT = 1280, 800
SHOWN: dict[str, tuple[Literal["light", "dark"], str]] = {
    "explorer-light.png": ("light", "recipes/cors/?f=flask,fastapi#compare"),
    "explorer-dark.png": ("dark", ""),
}
BARE = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> int:
    """Build the explorer, serve it, and take the pictures."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium is not on this machine.", file=sys.stderr)
        return 1
    with TemporaryDirectory() as folder:
        builder = Builder(Path(folder))
        builder.build(Book.load())
        with listening(builder, 0) as server:
            threading.Thread(target=server.serve_forever).start()
            try:
                take(f"http://127.0.0.1:{server.server_port}/", chromium)
            finally:
                server.shutdown()
    return 0


def take(origin: str, chromium: str) -> None:
    """Take each picture as a reader would see the page."""
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=BARE)
        for name, (theme, path) in SHOWN.items():
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT},
                color_scheme=theme,
            )
            page.goto(origin + path)
            page.evaluate("document.fonts.ready")
            page.screenshot(path=PICTURES / name)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
