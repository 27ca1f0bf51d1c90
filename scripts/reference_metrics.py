"""The reference page of GET /metrics, from what the function writes.

Names, types, labels and help are read from an answer of `lambda/metrics/exposition.py`. Only the
stability is declared here, because only people can promise it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "lambda/metrics"))

from exposition import Format, render  # noqa: E402 - found by the path above
from naming import OWN_PREFIX  # noqa: E402 - as above
from snapshot import Alias, Count, Counts, Models, ModelSize, Run, Snapshot, Version  # noqa: E402 - as above

STABLE, EXPERIMENTAL = "stable", "experimental"
# By family, without the exporter's prefix. A family that is missing here stops `make docs`.
STABILITY = {
    "mlflow_<name>": STABLE,
    "run_info": STABLE,
    "run_start_time_seconds": STABLE,
    "run_end_time_seconds": STABLE,
    "experiments": STABLE,
    "runs": STABLE,
    "runs_estimated": EXPERIMENTAL,
    "registered_models": STABLE,
    "model_versions": STABLE,
    "counts_timestamp_seconds": EXPERIMENTAL,
    "model_alias_info": STABLE,
    "model_metric": STABLE,
    "run_model_info": EXPERIMENTAL,
    "registered_model_versions": STABLE,
    "build_info": STABLE,
    "query_duration_seconds": STABLE,
    "index_usable": EXPERIMENTAL,
    "series": STABLE,
    "dropped_series": STABLE,
}
# Of the metric and of the tag in the sample.
NAME = "name"
SAMPLE = Snapshot(
    schema="revision",
    runs=[
        Run(
            run_id="0",
            run_name="run",
            status="FINISHED",
            start_time=1000,
            end_time=2000,
            experiment_id=1,
            experiment_name="experiment",
            tags=("value", "value"),
            keys=(NAME,),
            values=("1",),
        )
    ],
    counts=Counts(
        [
            Count("experiments", "active", 1),
            Count("runs", "FINISHED", 1),
            Count("runs_estimated", None, 0),
            Count("registered_models", None, 1),
            Count("model_versions", None, 1),
        ],
        1.0,
    ),
    models=Models(
        aliases=[Alias("workspace", "model", "champion", 1, "0", 1, (NAME,), ("1",))],
        versions=[Version("workspace", "model", 1, "0")],
        sizes=[ModelSize("workspace", "model", 1)],
    ),
)
HEAD = """# Metrics of GET /metrics

Written by `make docs` from an answer of `lambda/metrics/exposition.py`.
[The function's page](../../lambda/metrics/README.md) says how names are made, what is left out, and
how to join families. The endpoint answers in OpenMetrics 1.0, or in Prometheus' text format 0.0.4,
where an `info` family is a `gauge`.

*Stable* families keep their name, type, labels and meaning until the next major version.
*Experimental* ones may change in any version; the changelog says so.

| family | type | labels | stability | meaning |
|---|---|---|---|---|
"""
TAIL = """
`mlflow_<name>` is each metric that a run has logged. `tag_<name>` is each tag in `METRICS_TAGS`
(`aws_lambda_metrics_tags`); the tag `model_type` keeps its name. Counts are absent while the
database does not give them. `workspace` is absent in MLflow's default workspace, `run_id` and
`experiment_id` of an alias where the version has no run, or a deleted one.
"""


def families(text: str) -> list[tuple[str, str, list[str], str]]:
    """Read name, type, labels and help of each family of an answer in OpenMetrics."""
    found = []
    for name, help_text, kind, sample in re.findall(
        r"(?m)^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)\n(.*)$", text
    ):
        labels = re.findall(r'(\w+)="', sample)
        # The samples of an info family, which queries name, end with _info.
        found.append((sample.partition("{")[0].partition(" ")[0] or name, kind, labels, help_text))
    return found


def page() -> str:
    """Return the text of the page."""
    rows = []
    for name, kind, labels, text in families(
        render(SAMPLE, ("model_type", NAME), Format.OPENMETRICS)
    ):
        own = name.startswith(OWN_PREFIX)
        shown = name if own else f"mlflow_<{NAME}>"
        meaning = text if own else text.replace(f"Metric {NAME}", "A metric")
        listed = ", ".join(
            f"`tag_<{NAME}>`" if label == f"tag_{NAME}" else f"`{label}`" for label in labels
        )
        stability = STABILITY.get(shown.removeprefix(OWN_PREFIX))
        if not stability:
            raise SystemExit(f"STABILITY: {shown} is missing: promise it in {Path(__file__).name}")
        rows.append(f"| `{shown}` | {kind} | {listed} | {stability} | {meaning} |\n")
    return HEAD + "".join(rows) + TAIL
