"""A receiver that checks Loki's push protocol, and is as unavailable as a test says.

It runs on a host of the tests, with nothing but Python. `/srv/status` has the status that it
answers; without that file, it accepts. What it accepts is in `/srv/received`, a line each.

https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
"""

from __future__ import annotations

import base64
import http.server
import json
import re
import sys
from pathlib import Path

STATUS, RECEIVED = Path("/srv/status"), Path("/srv/received")
LOGIN = "Basic " + base64.b64encode(b"team:password-of-loki").decode()


def check(content: dict[str, list[dict[str, object]]]) -> list[str]:
    """Return the lines of a push, each with its labels, as JSON; fail if it is not valid."""
    lines = []
    [name] = content
    assert name == "streams"
    for stream in content["streams"]:
        assert set(stream) == {"stream", "values"}
        labels = stream["stream"]
        assert isinstance(labels, dict)
        assert labels
        assert all(isinstance(value, str) for value in labels.values())
        assert all(re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", label) for label in labels)
        values = stream["values"]
        assert isinstance(values, list)
        for time, line in values:
            assert isinstance(line, str)
            assert re.fullmatch("[0-9]{19}", time)
            lines.append(json.dumps([labels, time, line]))
    return lines


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 204, what the file says, or 400 if a push is not valid."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take a push."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = int(STATUS.read_text()) if STATUS.exists() else 204
        if self.path != "/loki/api/v1/push":
            status = 404
        if self.headers.get("Authorization") not in {None, LOGIN}:
            status = 401
        if status == 204:
            try:
                assert self.headers["Content-Type"] == "application/json"
                lines = check(json.loads(body))
            except (AssertionError, ValueError) as error:
                print(repr(error), file=sys.stderr)
                status = 400
            else:
                with RECEIVED.open("a") as file:
                    file.writelines(f"{line}\n" for line in lines)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing, or the receiver's own lines would be sent as well."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", 3100), Handler).serve_forever()
