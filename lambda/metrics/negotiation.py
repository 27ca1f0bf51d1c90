"""What a client takes, from its headers Accept and Accept-Encoding (RFC 9110, section 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exposition import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPENMETRICS = "application/openmetrics-text"
_TEXT = ("text/plain", "text/*", "*/*")


def preferred_format(accept: str) -> Format:
    """Return OpenMetrics where the client would rather have it than text, otherwise text."""
    openmetrics = text = 0.0
    for media_type, parameters, weight in _weighted(accept):
        if media_type == _OPENMETRICS and parameters.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, weight)
        elif media_type in _TEXT:
            text = max(text, weight)
    return Format.OPENMETRICS if openmetrics and openmetrics >= text else Format.TEXT


def takes_gzip(accept_encoding: str) -> bool:
    """Whether the client named gzip, or any coding, and gave it no weight of zero."""
    weights = {coding: weight for coding, _, weight in _weighted(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weighted(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Split a header into names, each with its parameters and its weight; 1 where it has none."""
    for item in header.lower().split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        parameters = {key: value for key, _, value in (part.partition("=") for part in rest)}
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 0.0
        yield name, parameters, weight
