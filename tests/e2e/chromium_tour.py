"""Visit the pages of MLflow's user interface with Chromium, as a data scientist does.

python -m tests.e2e.chromium_tour FOLDER EXPERIMENT MODEL TRACED NEW

EXPERIMENT has two runs or more, MODEL is a registered model with a champion, and the experiment
TRACED has a trace with the input TRACE_INPUT. Each page has to show what it is about, and FOLDER
gets a picture of it. At the end the user tries to create the experiment NEW. Errors of the console
and answers from 400 on are printed as a list in JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

from .chromium import chromium

# The tour runs beside the whole deployment, on a machine that may have two cores.
TIMEOUT = 90_000
TRACE_INPUT = '{"q": 1}'
SIZE = {"width": 1280, "height": 800}


class Tour:
    """One visitor's way through the pages."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.server = os.environ["MLFLOW_TRACKING_URI"]
        self.folder = folder
        self.problems: list[str] = []
        login = {
            "username": os.environ["MLFLOW_TRACKING_USERNAME"],
            "password": os.environ["MLFLOW_TRACKING_PASSWORD"],
        }
        # The authority of the deployment is not among Chromium's.
        context = browser.new_context(
            http_credentials=login, ignore_https_errors=True, viewport=SIZE
        )
        context.set_default_timeout(TIMEOUT)
        expect.set_options(timeout=TIMEOUT)
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self._console(message.type, message.text))
        self.page.on("pageerror", lambda error: self.problems.append(f"page: {error}"))
        self.page.on("response", lambda answer: self._answer(answer.status, answer.url))

    def _console(self, kind: str, text: str) -> None:
        # Not an error: Chromium notes that a chart needed more than one frame to find its size.
        if kind == "error" and "ResizeObserver loop" not in text:
            self.problems.append(f"console: {text}")

    def _answer(self, status: int, url: str) -> None:
        if status >= 400:
            self.problems.append(f"{status}: {url.removeprefix(self.server)}")

    def picture(self, name: str) -> None:
        """Keep a picture of the page."""
        # Pages that poll are never idle. Charts move to their places within a second.
        self.page.wait_for_timeout(2500)
        self.page.screenshot(path=self.folder / f"{name}.png")

    def sign_in(self) -> None:
        """Open the first page, and choose the pages of model training."""
        self.page.goto(self.server)
        self.page.get_by_text("Model training", exact=True).first.click()

    def experiments(self, experiment: str) -> str:
        """Search the list of experiments for one; return its identifier."""
        self.page.goto(f"{self.server}/#/experiments")
        self.page.get_by_placeholder("Search experiments").fill(experiment)
        self.page.get_by_role("button", name="Search", exact=True).click()
        link = self.page.get_by_role("link", name=experiment, exact=True)
        expect(link).to_be_visible()
        self.picture("experiments")
        found = re.search(r"/experiments/(\d+)", link.get_attribute("href") or "")
        assert found, link
        return found.group(1)

    def runs(self, experiment: str) -> None:
        """List the runs of an experiment, compare the first two, and open the first."""
        self.page.goto(f"{self.server}/#/experiments/{experiment}/runs")
        runs = self.page.locator("a[href*='/runs/']")
        expect(runs.nth(1)).to_be_visible()
        self.picture("runs")
        boxes = self.page.locator("input[aria-label^='Press Space to toggle row selection']")
        for number in (0, 1):
            boxes.nth(number).check()
        self.page.get_by_role("button", name="Compare").click()
        expect(self.page.get_by_text("Comparing 2 Runs")).to_be_visible()
        expect(self.page.locator(".js-plotly-plot").first).to_be_visible()
        self.picture("comparison")
        self.page.goto(f"{self.server}/#/experiments/{experiment}/runs")
        runs.first.click()

    def run(self) -> None:
        """Look at a run: its overview, its charts and its files."""
        expect(self.page.get_by_text("mse_local", exact=True).first).to_be_visible()
        self.picture("run")
        self.page.get_by_role("tab", name="Model metrics").click()
        expect(self.page.locator(".js-plotly-plot").first).to_be_visible()
        self.picture("charts")
        self.page.get_by_role("tab", name="Artifacts").click()
        self.page.get_by_text("residuals.png").click()
        expect(self.page.locator("img[src^='blob:']").first).to_be_visible()
        self.picture("artifacts")

    def model(self, model: str) -> None:
        """List the registered models, and open the champion of one."""
        self.page.goto(f"{self.server}/#/models")
        self.page.get_by_role("button", name="Try it now").click()
        link = self.page.get_by_role("link", name=model, exact=True)
        expect(link).to_be_visible()
        self.picture("models")
        link.click()
        expect(self.page.get_by_text("champion").first).to_be_visible()
        self.picture("model")
        row = self.page.get_by_role("row").filter(has_text="champion")
        row.get_by_role("link", name=re.compile(r"^Version \d+$")).click()
        expect(self.page.get_by_text("champion").first).to_be_visible()
        self.picture("version")

    def traces(self, experiment: str) -> None:
        """List the traces of an experiment."""
        self.page.goto(f"{self.server}/#/experiments/{experiment}/traces")
        self.page.get_by_role("button", name="Got it").click()
        expect(self.page.get_by_text(TRACE_INPUT).first).to_be_visible()
        self.picture("traces")

    def create_experiment(self, name: str) -> None:
        """Try to create an experiment, and wait for the server's answer."""
        self.page.goto(f"{self.server}/#/experiments")
        self.page.get_by_role("button", name="Create", exact=True).click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_placeholder("Input an experiment name").fill(name)
        with self.page.expect_response("**/experiments/create"):
            dialog.get_by_role("button", name="Create", exact=True).click()
        self.picture("create_experiment")


def main(folder: Path, experiment: str, model: str, traced: str, new: str) -> None:
    """Visit every page; print the problems."""
    host = urlsplit(os.environ["MLFLOW_TRACKING_URI"]).hostname or ""
    with chromium(host) as browser:
        tour = Tour(browser, folder)
        tour.sign_in()
        identifiers = {name: tour.experiments(name) for name in (traced, experiment)}
        tour.runs(identifiers[experiment])
        tour.run()
        tour.model(model)
        tour.traces(identifiers[traced])
        tour.create_experiment(new)
    print(json.dumps(tour.problems))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:6])
