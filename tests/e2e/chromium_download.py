"""Log in and download a file with Chromium; print the hosts that the page asked.

python -m tests.e2e.chromium_download RUN PATH FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from .chromium import chromium


def main(run: str, path: str, folder: Path) -> None:
    """Download by the button of the user interface."""
    server = os.environ["MLFLOW_TRACKING_URI"]
    host = urlsplit(server).hostname or ""
    login = {
        "username": os.environ["MLFLOW_TRACKING_USERNAME"],
        "password": os.environ["MLFLOW_TRACKING_PASSWORD"],
    }
    hosts: set[str] = set()
    with chromium(host) as browser:
        # The authority of the deployment is not among Chromium's.
        page = browser.new_context(http_credentials=login, ignore_https_errors=True).new_page()
        # The hosts that the page asks for, which Chromium itself does not resolve.
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(f"{server}/#/experiments/0/runs/{run}/artifacts/{path}")
        with page.expect_download(timeout=120_000) as event:
            # Its button shows an arrow and has no name.
            page.locator("button[data-component-id*='artifactview']").first.click(timeout=60_000)
        event.value.save_as(folder / path)
    print(*sorted(hosts - {""}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
