"""A page that compares runs: by metric, by parameter, and with the best possible error."""

from __future__ import annotations

import base64
import fnmatch
import io
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mlflow import MlflowClient, MlflowException

from football.errors import BadInputError, one_line, why
from football.naming import GROUND_TRUTH_PREFIX, IRREDUCIBLE_PREFIX
from football.tracking import reason, with_retries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Metric, what it is called, and whether more is better.
SHOWN = (
    ("mse_promedio", "mean squared error", False),
    ("mae_promedio", "mean absolute error", False),
    ("poisson_deviance_promedio", "Poisson deviance", False),
    ("log_loss", "log loss of win, draw, loss", False),
    ("accuracy_promedio", "exact goals", True),
)
_COLOURS = ("#1f6fb2", "#d9731a", "#3a923a", "#8b5fbf", "#b8433c", "#7a7a7a", "#c59b08", "#17a2a2")
_FEWEST_VALUES = 2
_MOST_PARAMETERS = 12

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Experiments</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
th, td { padding: .2rem .4rem; border-bottom: 1px solid #ddd; text-align: right }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left }
tr.best td { background: #eef6ee } tr.truth td { font-style: italic; background: #f5f5f5 }
td:first-child { overflow-wrap: anywhere }
img { max-width: 100%; height: auto } code { font-size: 12px }
</style></head><body>
<h1>{{ runs | length }} run{{ "s" if runs | length != 1 }}</h1>
<p>Written {{ written }}. {% if truths %}The league is simulated, so the best possible error is
known:
<b>ground truth</b> is the error of its own means on the same matches, chance included;
<b>expected</b> is their error in the long run.{% endif %}
{% if mixed %}These runs were measured on {{ mixed }} different sets of matches: compare only within
one (the column <i>matches</i>).{% endif %}</p>
{% for title, picture in charts %}<h2>{{ title }}</h2>
<img alt="{{ title }}" src="data:image/png;base64,{{ picture }}">
{% endfor %}
<h2>All runs</h2>
<table><thead><tr><th>run</th><th>experiment</th><th>matches</th>
{% for _, name, _ in shown %}<th>{{ name }}</th>{% endfor %}<th>above the ground truth</th>
</tr></thead>
<tbody>
{% for name, values in truths %}<tr class="truth"><td>{{ name }}</td><td></td><td></td>
{% for metric, _, _ in shown %}<td>{{ number(values.get(metric)) }}</td>{% endfor %}<td></td></tr>
{% endfor %}
{% for run in runs %}<tr{% if loop.first %} class="best"{% endif %}><td>{{ run.name }}<br>
<code>{{ run.id }}</code></td><td>{{ run.experiment }}</td>
<td><code>{{ run.matches[:8] }}</code></td>
{% for metric, _, _ in shown %}<td>{{ number(run.metrics.get(metric)) }}</td>{% endfor %}
<td>{{ run.above }}</td></tr>
{% endfor %}</tbody></table></body></html>
"""


@dataclass(frozen=True)
class Run:
    """A FINISHED run; `matches` is the digest of its table with the split."""

    id: str
    name: str
    experiment: str
    kind: str
    matches: str
    metrics: dict[str, float]
    parameters: dict[str, str]

    @property
    def above(self) -> str:
        """How far its squared error is above that of the ground truth on the same matches."""
        excess = self.excess
        return "" if excess is None else f"{excess:+.1%}"

    @property
    def excess(self) -> float | None:
        """The same as a number; None where no ground truth is known."""
        least = self.metrics.get(f"{GROUND_TRUTH_PREFIX}mse_promedio")
        return self.metrics["mse_promedio"] / least - 1 if least else None


def collect(patterns: Sequence[str]) -> list[Run]:
    """Read the FINISHED runs of experiments, the best first; of the same config the latest.

    Raises
    ------
    BadInputError
        If there are none, or the server refuses.
    """
    client = MlflowClient()
    try:
        names = {
            str(found.experiment_id): str(found.name)
            for found in with_retries(lambda: list(client.search_experiments()))
            if not patterns or any(fnmatch.fnmatchcase(found.name, one) for one in patterns)
        }
        found = _search(client, list(names)) if names else []
    except MlflowException as error:
        raise BadInputError(f"the tracking server refuses: {reason(error)}") from None
    latest = {}
    for run in found:
        tags, metrics = run.data.tags, run.data.metrics
        if "config_sha256" in tags and "mse_promedio" in metrics:
            latest[tags["config_sha256"], tags.get("data_sha256", "")] = Run(
                id=run.info.run_id,
                name=run.info.run_name,
                experiment=names[run.info.experiment_id],
                kind=tags.get("model_type", ""),
                matches=tags.get("data_sha256", ""),
                metrics=metrics,
                parameters=run.data.params,
            )
    if not latest:
        raise BadInputError(
            f"no FINISHED run of {one_line(' '.join(patterns)) or 'any experiment'} was logged by "
            "these programs. Run run_experiments.py first, or name other experiments"
        )
    return sorted(latest.values(), key=lambda run: run.metrics["mse_promedio"])


def write(runs: list[Run], directory: Path) -> Path:
    """Write the page and its charts; return the page's path.

    Raises
    ------
    BadInputError
        If the directory cannot be written to.
    """
    try:
        return _write(runs, directory)
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"--output: {directory} cannot be written to: {why(error)}. Name another directory"
        ) from None


def _write(runs: list[Run], directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    charts = {
        "metrics": ("By metric, with the best possible error", by_metric(runs)),
        "kinds": ("By kind: how far above the ground truth", by_kind(runs)),
        "parameters": ("By parameter", by_parameter(runs)),
    }
    pictures = []
    for name, (title, figure) in charts.items():
        if figure is None:
            continue
        file = io.BytesIO()
        FigureCanvasAgg(figure).print_png(file)
        (directory / f"{name}.png").write_bytes(file.getvalue())
        pictures.append((title, Markup(base64.b64encode(file.getvalue()).decode())))  # noqa: S704 -- letters and digits
    page = Environment(autoescape=True).from_string(_PAGE)
    truths = {
        tuple(sorted(_ground_truth(run, prefix).items())): name
        for run in runs
        for prefix, name in _GROUND_TRUTHS.items()
    }
    path = directory / "index.html"
    path.write_text(
        page.render(
            runs=runs,
            charts=pictures,
            shown=SHOWN,
            truths=[(name, dict(values)) for values, name in truths.items() if values],
            mixed=len({run.matches for run in runs})
            if len({run.matches for run in runs}) > 1
            else 0,
            number=lambda value: "" if value is None else f"{value:.4f}",
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        ),
        encoding="utf-8",
    )
    return path


_GROUND_TRUTHS = {GROUND_TRUTH_PREFIX: "ground truth", IRREDUCIBLE_PREFIX: "expected"}


def _ground_truth(run: Run, prefix: str) -> dict[str, float]:
    return {
        metric: run.metrics[f"{prefix}{metric}"]
        for metric, _, _ in SHOWN
        if f"{prefix}{metric}" in run.metrics
    }


def _search(client: MlflowClient, ids: list[str]) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = with_retries(
            partial(
                client.search_runs,
                ids,
                "attributes.status = 'FINISHED'",
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
        )
        found += page
        if not (token := page.token):
            return found


def _colours(runs: list[Run]) -> dict[str, str]:
    kinds = sorted({run.kind for run in runs})
    return {kind: _COLOURS[number % len(_COLOURS)] for number, kind in enumerate(kinds)}


def by_metric(runs: list[Run]) -> Figure:
    """Draw a dot for each run and metric, and lines for the ground truth and its expectation."""
    colours = _colours(runs)
    figure = Figure(figsize=(11, 1.3 * len(SHOWN) + 1), dpi=110, layout="constrained")
    for axes, (metric, name, more) in zip(figure.subplots(len(SHOWN), 1), SHOWN, strict=True):
        values = sorted(run.metrics[metric] for run in runs if metric in run.metrics)
        for kind, colour in colours.items():
            mine = [
                run.metrics[metric] for run in runs if run.kind == kind and metric in run.metrics
            ]
            spread = [0.5 + 0.3 * ((number * 0.618) % 1 - 0.5) for number in range(len(mine))]
            axes.plot(mine, spread, "o", color=colour, alpha=0.7, markersize=6, label=kind)
        for prefix, style in ((GROUND_TRUTH_PREFIX, "-"), (IRREDUCIBLE_PREFIX, ":")):
            name_of_best = f"{prefix}{metric}"
            for value in {run.metrics[name_of_best] for run in runs if name_of_best in run.metrics}:
                axes.axvline(value, color="#222", linestyle=style, linewidth=1.2)
                values.append(value)
        hidden = _zoom(axes, values)
        note = f", {hidden} beyond the edge" if hidden else ""
        axes.set(yticks=[], ylim=(0, 1))
        axes.set_title(
            f"{name} ({'more' if more else 'less'} is better{note})", loc="left", fontsize=9
        )
        axes.spines[["top", "right", "left"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("line: ground truth on the same matches; dotted: expected of it", fontsize=9)
    return figure


def _zoom(axes: Any, values: list[float]) -> int:
    """Limit the axis so that the other values can be distinguished; return how many are outside."""
    values = sorted(values)
    low, high = (values[int(len(values) * share)] for share in (0.1, 0.85))
    reach = 3 * (high - low) or abs(high) * 0.1 or 1.0
    seen = [value for value in values if low - reach <= value <= high + reach]
    margin = 0.05 * (seen[-1] - seen[0]) or reach
    axes.set_xlim(seen[0] - margin, seen[-1] + margin)
    return len(values) - len(seen)


def by_kind(runs: list[Run]) -> Figure | None:
    """Draw each kind's best run above the ground truth, in percent; None if that is not known."""
    best: dict[str, float] = {}
    for run in runs:
        if run.excess is not None:
            above = 100 * run.excess
            best[run.kind] = min(above, best.get(run.kind, above))
    if not best:
        return None
    colours = _colours(runs)
    order = sorted(best, key=lambda kind: best[kind], reverse=True)
    figure = Figure(figsize=(11, 0.5 * len(order) + 1), dpi=110, layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(order, [best[kind] for kind in order], color=[colours[k] for k in order])
    axes.bar_label(bars, fmt="%+.2f %%", padding=4, fontsize=9)
    axes.axvline(0, color="#222", linewidth=1.2)
    axes.margins(x=0.15)
    axes.set_xlabel(
        "mean squared error of the best run, % above the ground truth on the same matches"
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def by_parameter(runs: list[Run]) -> Figure | None:
    """Draw the squared error by each parameter that differs within a kind."""
    panels = []
    for kind in _colours(runs):
        mine = [run for run in runs if run.kind == kind]
        names = {name for run in mine for name in run.parameters if "." not in name}
        for name in sorted(names - {"model_type"}):
            groups: dict[str, list[float]] = defaultdict(list)
            for run in mine:
                if name in run.parameters:
                    groups[run.parameters[name]].append(run.metrics["mse_promedio"])
            if len(groups) >= _FEWEST_VALUES:
                panels.append((kind, name, groups))
    if not panels:
        return None
    panels, columns = panels[:_MOST_PARAMETERS], 4
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(11, 2.4 * rows), dpi=110, layout="constrained")
    colours = _colours(runs)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (kind, name, groups) in zip(grid, panels, strict=False):
        order = sorted(groups, key=_as_number)
        for place, value in enumerate(order):
            axes.plot(
                [place] * len(groups[value]), groups[value], "o", color=colours[kind], alpha=0.7
            )
        axes.plot(
            range(len(order)), [min(groups[v]) for v in order], "-", color=colours[kind], lw=1
        )
        axes.set_xticks(range(len(order)), order, fontsize=8)
        axes.set_xmargin(0.2)
        axes.tick_params(axis="y", labelsize=8)
        axes.set_title(f"{kind}\n{name}", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in list(grid):
        axes.set_visible(False)
    figure.supylabel("mean squared error", fontsize=9)
    return figure


def _as_number(text: str) -> tuple[float, str]:
    """Sort numbers by value, and other texts after them."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
