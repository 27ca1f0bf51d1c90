"""Which route of an HTTP API answers a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT = "$default"


@dataclass(frozen=True)
class Match:
    """A route key that fits, with what its variables stand for."""

    route_key: str
    parameters: dict[str, str]


def find(route_keys: Iterable[str], method: str, path: str) -> Match | None:
    """Return the most specific match, as AWS chooses it; None where no route fits.

    A literal segment goes before a variable, a variable before a greedy one, the method itself
    before ANY, and everything before ``$default``.
    """
    matches: list[tuple[tuple[list[int], bool], Match]] = []
    default = None
    for key in route_keys:
        if key == DEFAULT:
            default = Match(DEFAULT, {})
            continue
        route_method, _, pattern = key.partition(" ")
        if route_method not in {method, "ANY"}:
            continue
        parameters = _parameters(_segments(pattern), _segments(path))
        if parameters is not None:
            rank = [_rank(segment) for segment in _segments(pattern)]
            matches.append(((rank, route_method == "ANY"), Match(key, parameters)))
    if matches:
        return min(matches, key=lambda ranked: ranked[0])[1]
    return default


def _segments(path: str) -> list[str]:
    return path.removeprefix("/").split("/")


def _rank(segment: str) -> int:
    if not segment.startswith("{"):
        return 0
    return 2 if segment.endswith("+}") else 1


def _parameters(pattern: Sequence[str], path: Sequence[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for position, segment in enumerate(pattern):
        rank = _rank(segment)
        if rank == 2:  # noqa: PLR2004 - greedy, see above
            rest = "/".join(path[position:])
            return found | {segment[1:-2]: rest} if rest else None
        if position >= len(path) or (rank == 0 and segment != path[position]):
            return None
        if rank == 1:
            if not path[position]:
                return None
            found[segment[1:-1]] = path[position]
    return found if len(pattern) == len(path) else None
