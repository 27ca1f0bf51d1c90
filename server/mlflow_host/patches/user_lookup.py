"""Look a user up in the database once for each request; MLflow does so three times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import g, has_request_context, request

if TYPE_CHECKING:
    from mlflow_host.patches import Server


def apply(server: Server) -> None:
    """Keep the users that MLflow looks up for the time of a request.

    A request that is about users themselves might change them, so it is left as it is.
    """
    store = server.auth.store
    look_up = store.get_user

    def get_user(username: str) -> Any:
        if not has_request_context() or "/users/" in request.path:
            return look_up(username)
        known: dict[str, Any] = g.setdefault("known_users", {})
        if username not in known:
            known[username] = look_up(username)
        return known[username]

    store.get_user = get_user
