"""Changes to code that is not ours, one module each; `fences` says which of them fit.

A module has a function `apply`. The patches `forked_workers` (forking.py) and `trailers` change
uvicorn before there is an application, so `server.py` applies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import FastAPI
    from flask import Flask

BEFORE_THE_APPLICATION = frozenset({"forked_workers", "trailers"})


@dataclass(frozen=True)
class Server:
    """MLflow's server in a worker, before its first request.

    Attributes
    ----------
    application
        The ASGI application, with FastAPI's own routes.
    flask
        The Flask application behind it.
    auth
        MLflow's module `mlflow.server.auth`.
    """

    application: FastAPI
    flask: Flask
    auth: Any


def modules(names: Iterable[str]) -> list[str]:
    """Return the modules of the patches that change an application, in the given order."""
    return [f"{__name__}.{name}" for name in names if name not in BEFORE_THE_APPLICATION]


def apply(server: Server, names: Iterable[str]) -> None:
    """Apply these patches in the given order."""
    for module in modules(names):
        import_module(module).apply(server)
