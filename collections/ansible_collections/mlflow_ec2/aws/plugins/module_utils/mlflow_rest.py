# SPDX-License-Identifier: Apache-2.0
"""MLflow's REST API, as far as the modules around users and their permissions need it.

It runs on the host, which has nothing but Ansible's own helpers.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
from typing import Any

from ansible.module_utils.urls import open_url

UNAUTHORIZED = 401
NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"

LOGIN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "login_user": {"type": "str", "required": True},
    "login_password": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "int", "default": 30},
}


class MlflowError(Exception):
    """An answer that is not a success, or no answer at all.

    Attributes
    ----------
    status
        HTTP status; 0 without an answer.
    code
        MLflow's own name of the error, e.g. RESOURCE_DOES_NOT_EXIST; empty without one.
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class MlflowRest:
    """A server and the user that calls it.

    Parameters
    ----------
    url
        Scheme, name and port of the server.
    user, password
        Who asks.
    timeout
        Seconds that an answer may take.
    """

    def __init__(self, url: str, user: str, password: str, timeout: int = 30) -> None:
        self._url = url.rstrip("/")
        self._user = user
        self._password = password
        self._timeout = timeout

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> MlflowRest:
        """Make it from a module's parameters, see LOGIN_ARGUMENTS."""
        return cls(params["url"], params["login_user"], params["login_password"], params["timeout"])

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Ask; `path` is what follows /api/, like ``2.0/mlflow/users/list``."""
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}", None)

    def send(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Change something."""
        return self._call(method, path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            with open_url(
                f"{self._url}/api/{path}",
                data=None if body is None else json.dumps(body),
                method=method,
                headers={"Content-Type": "application/json"},
                url_username=self._user,
                url_password=self._password,
                force_basic_auth=True,
                timeout=self._timeout,
                use_proxy=False,
            ) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise self._error(error.code, error.read().decode(errors="replace")) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise MlflowError(
                f"MLflow does not answer at {self._url}: {reason}. Is mlflow.service active?"
            ) from None
        found: dict[str, Any] = json.loads(text) if text.strip() else {}
        return found

    def _error(self, status: int, text: str) -> MlflowError:
        if status == UNAUTHORIZED:
            return MlflowError(f"MLflow at {self._url} refuses the login", status)
        try:
            content = json.loads(text)
        except ValueError:
            return MlflowError(f"MLflow answers with HTTP {status}: {text.strip()}", status)
        return MlflowError(content.get("message", text), status, content.get("error_code", ""))


def find_user(server: MlflowRest, name: str) -> dict[str, Any] | None:
    """Return what the server knows of a user, or None."""
    users = server.get("2.0/mlflow/users/list")["users"]
    return next((user for user in users if user["username"] == name), None)
