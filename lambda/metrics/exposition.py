"""The latest runs as text of Prometheus' format 0.0.4.

The rules are stated in this directory's README.
"""

from __future__ import annotations

import hashlib
import math
import platform
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# What comes from a metric's name starts with the first. No name can lead to the second, which has
# no underscore in that place.
METRIC_PREFIX = "mlflow_"
OWN_PREFIX = "mlflowexporter_"

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class Run:
    """The latest run of an experiment; `keys` and `values` are its metrics, side by side."""

    run_id: str
    run_name: str
    status: str
    experiment_id: int
    experiment_name: str
    keys: tuple[str, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one query found: the revision of MLflow's schema, and one run per experiment."""

    schema: str
    runs: Sequence[Run] = ()


@dataclass(slots=True)
class _Family:
    keys: set[str] = field(default_factory=set)
    samples: list[str] = field(default_factory=list)


@lru_cache(maxsize=4096)
def family_names(keys: tuple[str, ...]) -> Mapping[str, str]:
    """Name the family of each metric of one run.

    Parameters
    ----------
    keys
        The names of the run's metrics as MLflow has them, each once.

    Returns
    -------
    Mapping[str, str]
        As many different names of Prometheus as there are keys. Where several keys lead to one
        name, the key that is that name already keeps it; each other gets the first eight digits of
        its own SHA-256 appended. A key's name depends on the other keys of its run alone.
    """
    plain = {key: _NOT_IN_A_NAME.sub("_", key) for key in keys}
    claims: dict[str, int] = {}
    for name in plain.values():
        claims[name] = claims.get(name, 0) + 1
    names = {key: name for key, name in plain.items() if key == name or claims[name] == 1}
    taken = set(names.values())
    for key in sorted(plain.keys() - names.keys()):
        name = f"{plain[key]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        while name in taken:
            name += "_"
        names[key] = name
        taken.add(name)
    return {key: METRIC_PREFIX + names[key] for key in keys}


def render(snapshot: Snapshot, query_seconds: float) -> str:
    """Write all families, each with HELP and TYPE before its samples.

    Parameters
    ----------
    snapshot
        What the database holds.
    query_seconds
        The time that it took to ask, in seconds.
    """
    families: dict[str, _Family] = {}
    series = 0
    for run in snapshot.runs:
        names = family_names(run.keys)
        label = f'{{run_id="{_escape_label(run.run_id)}"}} '
        series += len(run.keys)
        for key, value in zip(run.keys, run.values, strict=True):
            name = names[key]
            family = families.get(name)
            if family is None:
                family = families[name] = _Family()
            family.keys.add(key)
            family.samples.append(label + _number(value))
    lines: list[str] = []
    for name in sorted(families):
        family = families[name]
        originals = ", ".join(sorted(family.keys))
        help_text = f"Metric {originals} of the latest run of each experiment."
        lines += _family(name, help_text, family.samples)
    lines += _own_families(snapshot, series, query_seconds)
    return "\n".join(lines) + "\n"


def _own_families(snapshot: Snapshot, series: int, query_seconds: float) -> list[str]:
    """Write what is known of the runs and of the exporter itself."""
    build = _labels(mlflow_schema=snapshot.schema, python=platform.python_version())
    runs = [
        _labels(
            run_id=run.run_id,
            experiment_id=str(run.experiment_id),
            experiment_name=run.experiment_name,
            run_name=run.run_name,
            status=run.status,
        )
        + " 1"
        for run in snapshot.runs
    ]
    return [
        *_family(
            f"{OWN_PREFIX}build_info",
            "The Python that answers and the revision of MLflow's schema that it reads.",
            [f"{build} 1"],
        ),
        *_family(
            f"{OWN_PREFIX}metric_series",
            "Samples of MLflow's metrics in this answer.",
            [f" {series}"],
        ),
        *_family(
            f"{OWN_PREFIX}query_duration_seconds",
            "Time that the database took to answer, connecting included.",
            [f" {_number(query_seconds)}"],
        ),
        *_family(
            f"{OWN_PREFIX}run_info",
            "The latest run of each experiment, to be joined by run_id.",
            runs,
        ),
    ]


def _family(name: str, help_text: str, samples: Iterable[str]) -> list[str]:
    return [
        f"# HELP {name} {_escape_help(help_text)}",
        f"# TYPE {name} gauge",
        *(name + sample for sample in samples),
    ]


def _labels(**labels: str) -> str:
    pairs = (f'{name}="{_escape_label(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _number(value: float) -> str:
    """Write a number so that reading it gives the same number."""
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def _escape_label(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
