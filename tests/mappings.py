"""Mappings of a file of YAML, and lists of them."""

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


def lists(tree: object) -> Iterator[list[dict[str, Any]]]:
    """Yield each list of mappings of a file: its plays, and the tasks of plays and blocks."""
    children: list[object] = []
    if isinstance(tree, list):
        children = tree
        if all(isinstance(item, dict) for item in tree):
            yield tree
    elif isinstance(tree, dict):
        children = list(tree.values())
    for child in children:
        yield from lists(child)
