"""Open pages of MLflow in Chromium; print what each shows, and which scripts of a user it ran.

python chromium_scripts.py URL USERNAME PASSWORD PATH...

Such a script calls `alert`. The result is JSON: by path the messages, and the text of the page.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error, sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Dialog


def main(url: str, username: str, password: str, pages: list[str]) -> None:
    """Open each page, wait a moment, and press the links that a user wrote."""
    found: dict[str, dict[str, object]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox",
                f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {urlsplit(url).hostname}",
            ],
        )
        context = browser.new_context(
            http_credentials={"username": username, "password": password},
            viewport={"width": 1600, "height": 1200},
        )
        for path in pages:
            page = context.new_page()
            said: list[str] = []

            def ran(dialog: Dialog, said: list[str] = said) -> None:
                said.append(dialog.message)
                dialog.dismiss()

            page.on("dialog", ran)
            # A page that is offered as a download is not shown.
            with suppress(Error):
                page.goto(path if path.startswith("data:") else f"{url}{path}")
            # Pages ask again and again, so there is no last answer to wait for.
            page.wait_for_timeout(4_000)
            text = page.locator("body").inner_text()
            for link in page.locator("a:has-text('press')").all():
                with suppress(Error):
                    link.click(timeout=3_000)
            page.wait_for_timeout(500)
            found[path] = {"ran": said, "text": text}
            page.close()
        browser.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
