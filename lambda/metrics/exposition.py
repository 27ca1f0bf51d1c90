"""A snapshot as text: Prometheus' format 0.0.4, or OpenMetrics 1.0.

The rules are stated in this directory's README.
"""

from __future__ import annotations

import math
import sys
from enum import Enum
from typing import TYPE_CHECKING

from naming import OWN_PREFIX, family_names, tag_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snapshot import Counts, Models, Run, Snapshot

# What is counted, with the label that separates its kinds.
_COUNTED = {
    "experiments": ("lifecycle_stage", "Experiments."),
    "runs": ("status", "Active runs."),
    "runs_estimated": ("", "Whether the runs are so many that PostgreSQL's statistics count them."),
    "registered_models": ("", "Registered models."),
    "model_versions": ("", "Versions of registered models."),
}
REASONS = ("experiment", "name", "age", "limit", "model_limit")


class Format(Enum):
    """How the text is written; the value is its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render(snapshot: Snapshot, tags: Sequence[str] = (), form: Format = Format.TEXT) -> str:
    """Write all families, each with HELP and TYPE before its samples.

    Parameters
    ----------
    snapshot
        What the database holds.
    tags
        The tags of which the snapshot's runs hold the values.
    form
        How to write it.
    """
    writer = _Writer(form)
    series = _metrics(writer, snapshot.runs)
    series += _runs(writer, snapshot.runs, tags)
    _counts(writer, snapshot.counts)
    _models(writer, snapshot.models)
    _exporter(writer, snapshot, series)
    return writer.text()


def number_text(number: float, *, whole: bool = False) -> str:
    """Return a number as both formats write it.

    Metrics of runs come as text from PostgreSQL, which writes them in the same way.
    """
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return repr(round(number) if whole else number)


class _Writer:
    """Lines of one answer."""

    def __init__(self, form: Format) -> None:
        self.lines: list[str] = []
        self._form = form

    def head(self, name: str, help_text: str, *, info: bool = False) -> None:
        """Write HELP and TYPE; format 0.0.4 knows no info and calls it a gauge."""
        escaped = help_text.replace("\\", r"\\").replace("\n", r"\n")
        kind = "gauge"
        if self._form is Format.OPENMETRICS:
            escaped = escaped.replace('"', r"\"")
            if info:
                name, kind = name.removesuffix("_info"), "info"
        self.lines += (f"# HELP {name} {escaped}", f"# TYPE {name} {kind}")

    def gauge(self, name: str, help_text: str, number: float, **labels: str) -> None:
        """Write a family of one sample."""
        self.head(OWN_PREFIX + name, help_text)
        self.lines.append(f"{OWN_PREFIX}{name}{_labels(labels)} {number_text(number)}")

    def text(self) -> str:
        """Return all of it."""
        end = ["# EOF"] if self._form is Format.OPENMETRICS else []
        return "\n".join([*self.lines, *end]) + "\n"


def _metrics(writer: _Writer, runs: Iterable[Run]) -> int:
    """Write MLflow's metrics; return how many samples there are."""
    samples: dict[str, list[str]] = {}
    originals: dict[str, set[str]] = {}
    # Most runs have the same metrics: what follows from their names is found once.
    columns: dict[tuple[str, ...], list[tuple[str, list[str]]]] = {}
    for run in runs:
        column = columns.get(run.keys)
        if column is None:
            column = columns[run.keys] = []
            for key, name in family_names(run.keys).items():
                originals.setdefault(name, set()).add(key)
                column.append((name, samples.setdefault(name, [])))
        label = f'{{run_id="{_escape(run.run_id)}"}} '
        for (name, family), value in zip(column, run.values, strict=True):
            family.append(name + label + value)
    for name in sorted(samples):
        keys = ", ".join(sorted(originals[name]))
        writer.head(name, f"Metric {keys} of the latest run of each experiment.")
        writer.lines += samples[name]
    return sum(map(len, samples.values()))


def _runs(writer: _Writer, runs: Sequence[Run], tags: Sequence[str]) -> int:
    """Write what is known of the runs beside their metrics; return how many samples there are."""
    info, start, end = (
        OWN_PREFIX + name for name in ("run_info", "run_start_time_seconds", "run_end_time_seconds")
    )
    labels = [tag_label(tag) for tag in tags]
    infos, starts, ends = [], [], []
    for run in runs:
        label = f'{{run_id="{_escape(run.run_id)}"'
        further = ""
        for name, value in zip(labels, run.tags, strict=True):
            if value:
                further += f',{name}="{_escape(value)}"'
        infos.append(
            f'{info}{label},experiment_id="{run.experiment_id}"'
            f',experiment_name="{_escape(run.experiment_name)}"'
            f',run_name="{_escape(run.run_name or "")}",status="{run.status or ""}"{further}}} 1'
        )
        if run.start_time is not None:
            starts.append(f"{start}{label}}} {number_text(run.start_time / 1000)}")
        if run.end_time is not None:
            ends.append(f"{end}{label}}} {number_text(run.end_time / 1000)}")
    writer.head(info, "The latest run of each experiment, to be joined by run_id.", info=True)
    writer.lines += infos
    writer.head(start, "When the latest run of each experiment started.")
    writer.lines += starts
    writer.head(end, "When the latest run of each experiment ended, if it has.")
    writer.lines += ends
    return len(infos) + len(starts) + len(ends)


def _counts(writer: _Writer, counts: Counts) -> None:
    """Write how many there are of what, if that is known."""
    for what, (label, help_text) in _COUNTED.items():
        numbers = [count for count in counts.numbers if count.what == what]
        if numbers:
            writer.head(OWN_PREFIX + what, help_text)
        for count in numbers:
            kind = {label: count.kind or ""} if label else {}
            writer.lines.append(
                f"{OWN_PREFIX}{what}{_labels(kind)} {number_text(count.number, whole=True)}"
            )
    if counts.numbers:
        writer.gauge("counts_timestamp_seconds", "When it was last counted.", counts.counted_at)


def _models(writer: _Writer, models: Models) -> None:
    """Write what is known of registered models."""
    info, metric = f"{OWN_PREFIX}model_alias_info", f"{OWN_PREFIX}model_metric"
    infos, metrics = [], []
    for alias in models.aliases:
        label = f'{_model(alias.workspace, alias.model)},alias="{_escape(alias.alias)}"'
        made_by = f',run_id="{_escape(alias.run_id)}"' if alias.run_id else ""
        if alias.experiment_id is not None:
            made_by += f',experiment_id="{alias.experiment_id}"'
        infos.append(f'{info}{{{label},version="{alias.version}"{made_by}}} 1')
        metrics += [
            f'{metric}{{{label},metric="{_escape(key)}"}} {value}'
            for key, value in zip(alias.keys, alias.values, strict=True)
        ]
    if infos:
        writer.head(info, "The version that an alias of a registered model names.", info=True)
        writer.lines += infos
    if metrics:
        writer.head(metric, "Metrics of the run that made the version that an alias names.")
        writer.lines += metrics
    if models.versions:
        made = f"{OWN_PREFIX}run_model_info"
        writer.head(made, "The versions of registered models that a latest run made.", info=True)
        writer.lines += [
            f'{made}{{run_id="{_escape(version.run_id)}",'
            f'{_model(version.workspace, version.model)},version="{version.version}"}} 1'
            for version in models.versions
        ]
    if models.sizes:
        sizes = f"{OWN_PREFIX}registered_model_versions"
        writer.head(sizes, "Versions of each registered model.")
        writer.lines += [
            f"{sizes}{{{_model(size.workspace, size.model)}}} {size.versions}"
            for size in models.sizes
        ]


def _model(workspace: str, model: str) -> str:
    """Write the labels that identify a registered model."""
    label = f'model="{_escape(model)}"'
    return f'workspace="{_escape(workspace)}",{label}' if workspace else label


def _exporter(writer: _Writer, snapshot: Snapshot, series: int) -> None:
    """Write what is known of the exporter itself."""
    build = f"{OWN_PREFIX}build_info"
    writer.head(
        build, "The Python that answers, and the revision of MLflow's schema it reads.", info=True
    )
    labels = {"mlflow_schema": snapshot.schema, "python": sys.version.split(maxsplit=1)[0]}
    writer.lines.append(f"{build}{_labels(labels)} 1")
    writer.gauge(
        "query_duration_seconds",
        "Time that the database took to return the runs, connecting included.",
        snapshot.query_seconds,
    )
    writer.gauge(
        "index_usable",
        "Whether the index over the latest runs is there; without it all runs are read each time.",
        int(snapshot.indexed),
    )
    writer.gauge("series", "Samples of runs in this answer.", series)
    dropped = f"{OWN_PREFIX}dropped_series"
    writer.head(dropped, "Samples of runs and models that this answer leaves out, by reason.")
    writer.lines += [
        f"{dropped}{_labels({'reason': reason})} {number_text(snapshot.dropped.get(reason, 0))}"
        for reason in REASONS
    ]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(text: str) -> str:
    """Escape a label's value; of what takes the time, this is called most."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
