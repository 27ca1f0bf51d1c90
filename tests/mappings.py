"""Mappings of a file of YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def mappings(tree: object) -> Iterator[dict[str, Any]]:
    """Yield each mapping of a file: plays, blocks, tasks and what is in them."""
    if isinstance(tree, dict):
        yield tree
    for child in (
        tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    ):
        yield from mappings(child)
