"""Draw a dashboard as a page of HTML, from the answers to its own queries.

No Grafana is at hand, so this shows whether panels have the data, the places, the units and the
legends that they should have. It draws the kinds of panels that the dashboards use, and no more.
"""

from __future__ import annotations

import datetime as dt
import html
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Point = tuple[float, float]
Line = tuple[str, list[Point]]
COLOURS = ["#3366cc", "#dc7a00", "#2a9d3a", "#c03", "#8030b0", "#0097a7", "#7a5c00", "#d63384"]
CELL, ROW = 52, 34
STYLE = """body{margin:0;padding:12px;background:#f4f5f7;font:12px sans-serif;color:#222}
h1{font-size:18px;margin:0 0 8px 4px}
.page{position:relative}
.panel{position:absolute;box-sizing:border-box;padding:6px 8px;background:#fff;overflow:hidden;
border:1px solid #d8dbe0;border-radius:3px}
h2{font-size:12px;margin:0 0 4px}
.stat{font-size:24px;text-align:center;margin-top:14px}
table{border-collapse:collapse;width:100%;font-size:11px}
td,th{border-bottom:1px solid #eee;padding:2px 6px;text-align:left;white-space:nowrap}
.bar{background:#3366cc;height:14px}.legend{font-size:10px;line-height:13px}"""


def number(value: float, unit: str) -> str:
    """Write a number with its unit, as Grafana does in principle."""
    if not math.isfinite(value):
        return str(value)
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "bool_yes_no":
        return "Yes" if value else "No"
    steps: Sequence[tuple[float, str]] = [(1, "")]
    if unit == "bytes":
        steps = [(2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")]
    elif unit == "s":
        steps = [(86400, " d"), (3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")]
    elif unit in {"reqps", "ops", "d"}:
        steps = [(1, {"reqps": " req/s", "ops": " ops/s", "d": " d"}[unit])]
    size, name = next(
        ((size, name) for size, name in steps if abs(value) >= size),
        (steps[-1] if value else (1, "")),
    )
    return f"{value / size:.4g}{name}"


def label(legend: str, labels: dict[str, str]) -> str:
    """Fill in the labels of a legend; Grafana's automatic one has all labels."""
    if legend in {"", "__auto"}:
        shown = {key: value for key, value in labels.items() if key not in {"instance", "job"}}
        return " ".join(f"{key}={value}" for key, value in shown.items())
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)


def chart(lines: Sequence[Line], size: tuple[int, int], unit: str, *, time: bool) -> str:
    """Draw lines with axes and a legend."""
    width, height = size
    points = [point for _, line in lines for point in line if math.isfinite(point[1])]
    if not points:
        return "<p>No data</p>"
    left, bottom, legend = 74, 16, 13 * min(3, 1 + len(lines) // 4)
    low, high = min(y for _, y in points), max(y for _, y in points)
    low, high = (min(low, 0), high) if low >= 0 else (low, high)
    high = high if high > low else low + 1
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    last = last if last > first else first + 1
    inner = height - bottom - legend - 8

    def place(x: float, y: float) -> str:
        across = left + (x - first) / (last - first) * (width - left - 8)
        return f"{across:.1f},{4 + (high - y) / (high - low) * inner:.1f}"

    parts = [f'<svg width="{width}" height="{height - legend}">']
    for part in range(5):
        y = low + (high - low) * part / 4
        at = place(first, y).split(",")[1]
        parts.append(
            f'<path d="M{left},{at}H{width - 8}" stroke="#e4e6ea"/><text x="{left - 4}" y="{at}"'
            f' font-size="10" text-anchor="end" dy="3">{number(y, unit)}</text>'
        )
        x = first + (last - first) * part / 4
        shown = dt.datetime.fromtimestamp(x, dt.UTC).strftime("%H:%M:%S") if time else f"{x:.4g}"
        anchor = "end" if part == 4 else "middle" if part else "start"
        parts.append(
            f'<text x="{place(x, low).split(",")[0]}" y="{inner + 16}" font-size="10"'
            f' text-anchor="{anchor}">{shown}</text>'
        )
    for index, (_, line) in enumerate(lines):
        path = " ".join(place(x, y) for x, y in line if math.isfinite(y))
        colour = COLOURS[index % len(COLOURS)]
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
        )
    names = " ".join(
        f'<span style="color:{COLOURS[i % len(COLOURS)]}">▬</span> {html.escape(name)}'
        for i, (name, _) in enumerate(lines)
    )
    return "".join(parts) + f'</svg><div class="legend">{names}</div>'


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Draw a table."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)

    def cell(value: object) -> str:
        if isinstance(value, float):
            return f"{value:.4g}"
        if isinstance(value, dt.datetime):
            return f"{value:%Y-%m-%d %H:%M}"
        return html.escape(str(value))

    body = "".join(
        "<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows[:14]
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _series_table(panel: dict[str, Any], found: Sequence[dict[str, Any]]) -> str:
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    columns = sorted({key for series in found for key in series["metric"]} - hidden.keys())
    return table(columns, [[s["metric"].get(name, "") for name in columns] for s in found])


def body(
    panel: dict[str, Any],
    prometheus: Callable[[dict[str, Any]], list[Any]],
    sql: Callable[[str], tuple[list[str], list[tuple[Any, ...]]]],
) -> str:
    """Draw the content of a panel."""
    size = (panel["gridPos"]["w"] * CELL - 22, panel["gridPos"]["h"] * ROW - 36)
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "short")
    targets = panel.get("targets", [])
    answers = [(target, prometheus(target)) for target in targets if "expr" in target]
    kind = panel["type"]
    if kind == "text":
        lines = panel["options"]["content"].strip().splitlines()
        cells = [
            [part.replace("`", "").strip() for part in line.split("|")[1:-1]] for line in lines
        ]
        return table(cells[0], cells[2:])
    if kind == "stat":
        return f'<div class="stat">{number(float(answers[0][1][0]["value"][1]), unit)}</div>'
    if kind == "bargauge":
        values = [
            (label(t["legendFormat"], s["metric"]), float(s["value"][1]))
            for t, a in answers
            for s in a
        ]
        most = max(abs(value) for _, value in values) or 1
        return "".join(
            f'<div>{html.escape(name)}: <b>{value:.4g}</b><div class="bar"'
            f' style="width:{abs(value) / most * 100:.0f}%"></div></div>'
            for name, value in values
        )
    if answers:
        if kind == "table":
            return _series_table(panel, answers[0][1])
        drawn = [
            (
                label(target["legendFormat"], s["metric"]),
                [(float(x), float(y)) for x, y in s["values"]],
            )
            for target, answer in answers
            for s in answer
        ]
        return chart(drawn, size, unit, time=True)
    return _from_sql(kind, size, unit, *sql(targets[0]["rawSql"]))


def _from_sql(
    kind: str,
    size: tuple[int, int],
    unit: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> str:
    if kind == "table":
        return table(columns, rows)
    time = kind == "timeseries"
    curves: dict[str, list[Point]] = {}
    for x, name, value in rows:
        curves.setdefault(name, []).append((x.timestamp() if time else float(x), value))
    return chart(sorted(curves.items()), size, unit, time=time)


def page(
    dashboard: dict[str, Any],
    prometheus: Callable[[dict[str, Any]], list[Any]],
    sql: Callable[[str], tuple[list[str], list[tuple[Any, ...]]]],
    fill: Callable[[str], str],
) -> tuple[str, tuple[int, int]]:
    """Draw a dashboard; return the page, and its width and height in pixels."""
    parts = []
    height = 0
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        height = max(height, (place["y"] + place["h"]) * ROW)
        style = (
            f"left:{place['x'] * CELL}px;top:{place['y'] * ROW}px;"
            f"width:{place['w'] * CELL - 6}px;height:{place['h'] * ROW - 6}px"
        )
        parts.append(
            f'<div class="panel" style="{style}"><h2>{html.escape(fill(panel["title"]))}</h2>'
            f"{body(panel, prometheus, sql)}</div>"
        )
    text = (
        f'<!DOCTYPE html><html><head><meta charset="utf-8"><style>{STYLE}</style></head><body>'
        f'<h1>{html.escape(dashboard["title"])}</h1><div class="page">{"".join(parts)}</div>'
        "</body></html>"
    )
    return text, (24 * CELL + 24, height + 60)
