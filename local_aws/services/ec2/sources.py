"""Which instance a connection to the API comes from: its relay's port on loopback shows it."""

from __future__ import annotations

_instances: dict[int, str] = {}


def add(port: int, instance_id: str) -> None:
    """Remember that connections from `port` are of an instance."""
    _instances[port] = instance_id


def remove(port: int) -> None:
    """Forget a connection."""
    _instances.pop(port, None)


def instance(port: int) -> str | None:
    """Return whose connection it is; None for one from this machine itself."""
    return _instances.get(port)
