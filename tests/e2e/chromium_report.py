"""Open a page of models/report.py with Chromium.

python -m tests.e2e.chromium_report PAGE PICTURE

Prints a list in JSON: the errors of the console, and the addresses that the page asked for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .chromium import chromium


def main(report: Path, picture: Path) -> None:
    """Open the page and keep a picture of it."""
    problems: list[str] = []
    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"page: {error}"))
        page.on("request", lambda request: problems.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_load_state("networkidle")
        page.screenshot(path=picture)
    print(json.dumps(problems))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
