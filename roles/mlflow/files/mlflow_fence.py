"""Tell whether a patch of MLflow fits the installed release, without importing MLflow.

A patch names the releases that it was tested with, and the functions that it replaces or relies on
with their parameters. A patch that closes a hole is required: the server does not start without it.
"""
# ruff: noqa: INP001  Ansible copies this module to the host, it belongs to no package

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path


@dataclass(frozen=True)
class Fence:
    """What a patch was made for.

    Attributes
    ----------
    patch
        Name of the patch.
    functions
        Parameters of each function by release and `file:function`; a method is `Class.method`.
    """

    patch: str
    functions: dict[str, dict[str, tuple[str, ...]]]

    def breaches(self, version: str, root: Path) -> list[str]:
        """Return what differs in an MLflow of this version below `root`; nothing if it fits."""
        wanted = self.functions.get(version)
        if wanted is None:
            tested = ", ".join(sorted(self.functions))
            return [f"MLflow {version} is not one of the releases it was tested with ({tested})"]
        found = {name: _parameters(root, name) for name in wanted}
        return [
            f"{name} has the parameters {found[name]}, not {parameters}"
            for name, parameters in wanted.items()
            if found[name] != parameters
        ]


def installed_breaches(fence: Fence) -> list[str]:
    """Return what differs in the installed MLflow; nothing if the patch fits."""
    mlflow = distribution("mlflow")
    return fence.breaches(mlflow.version, Path(str(mlflow.locate_file("."))))


def _parameters(root: Path, name: str) -> tuple[str, ...] | None:
    """Return the parameters of `file:function`, None if there is no such function."""
    file, _, path = name.partition(":")
    try:
        body = ast.parse((root / file).read_text()).body
    except OSError:
        return None
    *classes, function = path.split(".")
    for one in classes:
        body = next(
            (node.body for node in body if isinstance(node, ast.ClassDef) and node.name == one), []
        )
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            arguments = node.args
            return tuple(
                argument.arg
                for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            )
    return None


_WEBHOOKS = {
    "mlflow/utils/validation.py:_validate_webhook_url": ("url",),
    "mlflow/webhooks/delivery.py:_create_webhook_session": (),
    "mlflow/webhooks/delivery.py:_send_webhook_request": ("webhook", "payload", "event", "session"),
    "mlflow/server/handlers.py:_validate_storage_location_uri": ("value", "field_name"),
    "mlflow/store/tracking/sqlalchemy_store.py:SqlAlchemyStore.start_trace": ("self", "trace_info"),
}
DESTINATIONS = Fence(
    "destinations",
    {
        # The start of upgrades. Its gateway has no guard that could be made stricter.
        "3.14.0": _WEBHOOKS,
        "3.17.2": _WEBHOOKS
        | {
            "mlflow/utils/validation.py:_is_public_ip": ("ip",),
            "mlflow/utils/validation.py:_validate_gateway_api_base": ("url",),
            "mlflow/webhooks/ssrf.py:_assert_public_peer": ("sock",),
            "mlflow/gateway/ssrf.py:_assert_public_ip": ("ip_str", "host"),
            "mlflow/gateway/ssrf.py:SSRFGuardedResolver.resolve": (
                *("self", "host", "port", "family"),
            ),
            "mlflow/gateway/providers/utils.py:_aiohttp_post": (
                *("headers", "base_url", "path", "payload", "ssrf_protect"),
            ),
            "mlflow/server/gateway_api.py:_enable_upstream_ssrf_protection": (
                *("endpoint_config", "raw_proxy"),
            ),
        },
    },
)
# The server does not start where one of these does not fit.
REQUIRED = (DESTINATIONS,)
