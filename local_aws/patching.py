"""How a departure replaces a piece of moto."""

from __future__ import annotations

from typing import Any


def replace(owner: Any, name: str, replacement: Any) -> Any:
    """Put `replacement` in place of the attribute `name` of `owner` and return the original.

    Raises
    ------
    AttributeError
        When moto has no such attribute any more: the departure is to be looked at again.
    """
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    return original
