"""A deployment with monitoring: its alerts, and what Alertmanager has sent."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import requests

from tests import sites_below

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SERIES = 100
# It keeps what it receives, and answers 200.
RECEIVER = """
import http.server

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/run/notifications", "ab") as file:
            file.write(body + b"\\n")
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", 9999), Receiver).serve_forever()
"""


@dataclass(frozen=True)
class Watched(sites_below.Site):
    """The deployment under test."""

    WEBHOOK: ClassVar[str] = "http://127.0.0.1:9999/alerts"
    TEXTFILES: ClassVar[str] = "/var/lib/prometheus/node-exporter"

    def ask(self, url: str, **options: Any) -> Any:
        """Ask a page of Prometheus or Alertmanager; `url` begins with its variable's name."""
        text = Path(self.directory, "monitoring.env").read_text()
        known = dict(re.findall(r"(?m)^(\w+)='?([^'\n]*)'?$", text))
        name, _, path = url.partition("/")
        login = (known["MONITORING_USERNAME"], known["MONITORING_PASSWORD"])
        ca = f"{self.directory}/ca.pem"
        answer = requests.get(f"{known[name]}/{path}", auth=login, verify=ca, timeout=30, **options)
        answer.raise_for_status()
        return answer.json()

    def has_alertmanager(self) -> bool:
        """Return whether Alertmanager answers."""
        try:
            self.firing()
        except requests.HTTPError:
            return False
        return True

    def firing(self) -> set[str]:
        """Return the names of the alerts that an operator is notified of."""
        chosen = {"active": "true", "inhibited": "false", "silenced": "false"}
        alerts = self.ask("ALERTMANAGER_URL/api/v2/alerts", params=chosen)
        return {alert["labels"]["alertname"] for alert in alerts}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that a query of Prometheus selects."""
        answer = self.ask("PROMETHEUS_URL/api/v1/query", params={"query": expression})
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def targets(self) -> dict[str, str]:
        """Return the health of each job."""
        active = self.ask("PROMETHEUS_URL/api/v1/targets", params={"state": "active"})
        return {one["labels"]["job"]: one["health"] for one in active["data"]["activeTargets"]}

    def receive_notifications(self) -> None:
        """Start the receiver of the webhook on the host."""
        self.host(
            "touch /run/notifications\nsystemd-run --quiet --unit=notifications"
            f" python3 -c '{RECEIVER}'"
        )

    def notified(self) -> set[str]:
        """Return the names of all alerts that the webhook has received as firing."""
        posts: Iterable[str] = self.host("cat /run/notifications").splitlines()
        return {
            alert["labels"]["alertname"]
            for post in filter(None, posts)
            for alert in json.loads(post)["alerts"]
            if alert["status"] == "firing"
        }

    def note_drill(self) -> None:
        """Write what playbooks/drill.yml writes after a successful drill."""
        self.host(
            'echo "monitoring_drill_timestamp_seconds $(date +%s)"'
            f" >{self.TEXTFILES}/monitoring_drill.prom"
        )
