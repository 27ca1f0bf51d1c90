"""The settings in the function's environment; this directory's README lists them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from naming import tag_label

if TYPE_CHECKING:
    from collections.abc import Mapping


MAX_SERIES = 100_000
MAX_MODEL_SERIES = 10_000


class Database(NamedTuple):
    """Where the database is, and how patient the function is with it.

    Attributes
    ----------
    timeout
        What it has for connecting and for a sign of life, in seconds.
    answer_timeout
        What it has for all of that and the answer, in seconds.
    """

    host: str
    port: int
    name: str
    user: str
    password: str
    ca_file: str
    timeout: float
    answer_timeout: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Database:
        """Read the settings.

        Raises
        ------
        KeyError
            If one is missing.
        ValueError
            If the port or a time is not a number.
        """
        return cls(
            host=environment["DATABASE_HOST"],
            port=int(environment["DATABASE_PORT"]),
            name=environment["DATABASE_NAME"],
            user=environment["DATABASE_USER"],
            password=environment["DATABASE_PASSWORD"],
            ca_file=environment["DATABASE_SSLROOTCERT"],
            timeout=float(environment.get("DATABASE_TIMEOUT_SECONDS", "1.8")),
            answer_timeout=float(environment.get("DATABASE_ANSWER_SECONDS", "8")),
        )


class Selection(NamedTuple):
    """What is served of what there is.

    Attributes
    ----------
    experiments, names
        Regular expressions of PostgreSQL that the whole name of an experiment or a metric has to
        match; None lets all through.
    max_age
        Seconds since the start of a latest run after which it is no longer served, or None.
    max_series
        How many samples of runs are served at most.
    max_model_series
        How many samples of aliases are served at most, and how many of versions.
    tags
        Tags of a run that its info family has as labels.
    """

    experiments: str | None = None
    names: str | None = None
    max_age: float | None = None
    max_series: int = MAX_SERIES
    max_model_series: int = MAX_MODEL_SERIES
    tags: tuple[str, ...] = ("model_type",)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Selection:
        """Read the settings; each may be left out or empty.

        Raises
        ------
        ValueError
            If one has no usable value.
        """
        max_age = float(environment.get("METRICS_MAX_AGE_SECONDS") or 0)
        max_series = int(environment.get("METRICS_MAX_SERIES") or MAX_SERIES)
        max_model_series = int(environment.get("METRICS_MAX_MODEL_SERIES") or MAX_MODEL_SERIES)
        if max_age < 0 or min(max_series, max_model_series) < 1:
            raise ValueError(
                "METRICS_MAX_AGE_SECONDS must be >= 0, METRICS_MAX_SERIES and"
                " METRICS_MAX_MODEL_SERIES >= 1"
            )
        further = json.loads(environment.get("METRICS_TAGS") or "[]")
        if not isinstance(further, list) or not all(isinstance(tag, str) for tag in further):
            raise ValueError("METRICS_TAGS is not a JSON list of names")
        tags = tuple(dict.fromkeys(["model_type", *further]))
        if len({tag_label(tag) for tag in tags}) != len(tags):
            raise ValueError("METRICS_TAGS holds names that lead to the same label")
        return cls(
            experiments=_whole(environment.get("METRICS_EXPERIMENTS", "")),
            names=_whole(environment.get("METRICS_NAMES", "")),
            max_age=max_age or None,
            max_series=max_series,
            max_model_series=max_model_series,
            tags=tags,
        )


def _whole(expression: str) -> str | None:
    """Let a regular expression match whole names only, as Prometheus' own do."""
    return f"^(?:{expression})$" if expression else None
