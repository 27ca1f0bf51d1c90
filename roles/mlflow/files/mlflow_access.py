"""Who of MLflow's users may only read, and looking them up without asking too often.

MLflow lets everyone who may read also create experiments and models of their own. This is the
`authorization_function` of basic_auth.ini: it logs users in as MLflow does, and lets those who are
named in a file do nothing but read. What is no known way of reading is refused, so what a later
release of MLflow adds is refused as well until it is listed here.

Source of the seam: https://mlflow.org/docs/latest/self-hosting/security/custom/
"""
# ruff: noqa: INP001  Ansible copies this module to the host, it belongs to no package

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Response, g, has_request_context, request
from mlflow.server.auth import authenticate_request_basic_auth
from werkzeug.datastructures import Authorization

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Questions that are too long for a URL.
READING_POSTS = re.compile(
    r"/graphql"
    r"|/(ajax-)?api/\d\.\d/mlflow/("
    r"(experiments|runs|logged-models|registered-models|model-versions|traces|datasets|issues)/search"
    r"|experiments/search-datasets"
    r"|registered-models/get-latest-versions"
    r"|artifacts/presigned-download-url"
    r"|traces/(batchGetInfos|calculate-filter-correlation|metrics)"
    r")"
)


@dataclass
class NameList:
    """Names in a file, one in each line, read again whenever the file has changed."""

    path: Path
    _names: frozenset[str] = frozenset()
    _stamp: tuple[int, int] = field(default=(0, 0))

    def __contains__(self, name: object) -> bool:
        """Say whether the file holds the name."""
        found = self.path.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self._names = frozenset(self.path.read_text().splitlines())
            self._stamp = stamp
        return name in self._names


def only_reads(method: str, path: str) -> bool:
    """Say whether a request changes nothing."""
    return method in SAFE_METHODS or (
        method == "POST" and READING_POSTS.fullmatch(path) is not None
    )


read_only_users = NameList(Path(os.environ["MLFLOW_HOST_READ_ONLY_USERS"]))


def authenticate_request() -> Authorization | Response:
    """Log the user in as MLflow does; answer 403 to a reader who would change something."""
    login: Authorization | Response = authenticate_request_basic_auth()
    if (
        isinstance(login, Authorization)
        and login.username in read_only_users
        and not only_reads(request.method, request.path)
    ):
        return Response("This user may only read", status=403, mimetype="text/plain")
    return login


def ask_once_per_request(store: Any) -> None:
    """Let MLflow's store of users look a user up once for each request; MLflow asks three times.

    A request that is about users themselves is left as it is: it may change what it asked for.
    """
    look_up = store.get_user

    def get_user(username: str) -> Any:
        if not has_request_context() or "/users/" in request.path:
            return look_up(username)
        known: dict[str, Any] = g.setdefault("mlflow_access_users", {})
        if username not in known:
            known[username] = look_up(username)
        return known[username]

    store.get_user = get_user
