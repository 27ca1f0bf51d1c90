"""A client of MLflow's REST API for the tests of the roles, without MLflow's own caches."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Client:
    """Speaks to the server through the proxy, trusting nothing but the proxy's authority."""

    address: str
    password: str
    authority: Path
    port: int = 5000

    def call(
        self,
        path: str,
        body: object = None,
        *,
        user: str | None = "admin",
        method: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        place = self.address if self.port == 443 else f"{self.address}:{self.port}"
        request = urllib.request.Request(f"https://{place}{path}", method=method)
        if user:
            token = base64.b64encode(f"{user}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        if isinstance(body, bytes):
            request.data = body
        elif body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        context = ssl.create_default_context(cafile=self.authority)
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())
