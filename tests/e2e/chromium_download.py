"""Log in and download a file with Chromium; print the hosts that the page asked.

python chromium_download.py RUN PATH FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright


def main(run: str, path: str, folder: Path) -> None:
    """Download by the button of the user interface."""
    server = os.environ["MLFLOW_TRACKING_URI"]
    host = urlsplit(server).hostname
    login = {
        "username": os.environ["MLFLOW_TRACKING_USERNAME"],
        "password": os.environ["MLFLOW_TRACKING_PASSWORD"],
    }
    hosts: set[str] = set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            # Chromium itself asks for names of its makers. Those that the page asks for are below.
            args=["--no-sandbox", f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {host}"],
        )
        # The authority of the deployment is not among Chromium's.
        page = browser.new_context(http_credentials=login, ignore_https_errors=True).new_page()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(f"{server}/#/experiments/0/runs/{run}/artifacts/{path}")
        with page.expect_download(timeout=120_000) as event:
            # Its button shows an arrow and has no name.
            page.locator("button[data-component-id*='artifactview']").first.click(timeout=60_000)
        event.value.save_as(folder / path)
        browser.close()
    print(*sorted(hosts - {""}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
