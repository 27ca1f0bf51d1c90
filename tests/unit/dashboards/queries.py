"""The queries of dashboards, with values in the place of Grafana's variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VALUES = {
    "${experiment:sqlstring}": "'poisson','it''s'",
    "${curve:sqlstring}": "'loss'",
    "$__timeFrom()": "now() - interval '6 hours'",
    "$__timeTo()": "now()",
    "$metric": "loss",
    "$curve": "loss",
}


def used(text: str) -> set[str]:
    """Return the names of variables in a text, without Grafana's own and groups of patterns."""
    return set(re.findall(r"\$\{?([a-z]\w*)", text))


def filled(query: str, interval: str = "1m") -> str:
    """Fill in the variables."""
    for name, value in {**VALUES, "$__rate_interval": interval}.items():
        query = query.replace(name, value)
    return query


def _targets(pages: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, page in pages.items():
        for panel in page["panels"]:
            for target in panel.get("targets", []):
                yield f"{name}: {panel['title']}", target


def promql(pages: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return panel, expression, and whether it asks for the last values only."""
    return [
        (name, target["expr"], bool(target.get("instant")))
        for name, target in _targets(pages)
        if "expr" in target
    ]


def sql(pages: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return panel and statement, those of variables included."""
    found = [(name, target["rawSql"]) for name, target in _targets(pages) if "rawSql" in target]
    for name, page in pages.items():
        found += [
            (f"{name}: variable {variable['name']}", variable["query"])
            for variable in page["templating"]["list"]
            if str(variable.get("query", "")).startswith("SELECT")
        ]
    return found
