"""What the dashboards share: data sources, queries, panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import (
    bargauge,
    dashboard,
    prometheus,
    stat,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

# Grafana divides the width of a dashboard into 24 parts.
WIDTH = 24
# The data sources are variables, so that the dashboards fit any Grafana.
PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${prometheus}")
# Grafana knows its source for PostgreSQL by this name in all versions.
POSTGRES = model.DataSourceRef(type_val="postgres", uid="${postgres}")
INTERVAL = "[$__rate_interval]"


class SqlQuery(builder.Builder[variants.Dataquery], variants.Dataquery):
    """A query of PostgreSQL, which the SDK has no builder for."""

    def __init__(self, sql: str, form: str = "table") -> None:
        self.sql = sql
        self.form = form

    def build(self) -> SqlQuery:
        """Return the query itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return the query as Grafana stores it."""
        return {
            "refId": "A",
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": self.form,
            "rawQuery": True,
            "rawSql": self.sql,
        }


def promql(expression: str, legend: str = "", ref: str = "A") -> prometheus.Dataquery:
    """Return a query over the time of the dashboard."""
    return (
        prometheus.Dataquery()
        .expr(expression)
        .range()
        .legend_format(legend or "__auto")
        .ref_id(ref)
        .datasource(PROMETHEUS)
    )


def now(expression: str, legend: str = "", ref: str = "A") -> prometheus.Dataquery:
    """Return a query of the last values."""
    return (
        prometheus.Dataquery()
        .expr(expression)
        .instant()
        .legend_format(legend or "__auto")
        .ref_id(ref)
        .datasource(PROMETHEUS)
    )


def finish(panel: Any, title: str, size: tuple[int, int], description: str = "") -> Any:
    """Give a panel its title and its size, in parts of the width and rows of 30 pixels."""
    panel = panel.title(title).span(size[0]).height(size[1])
    return panel.description(description) if description else panel


def number(title: str, expression: str, unit: str = "short", description: str = "") -> Any:
    """Return one number."""
    panel = (
        stat.Panel()
        .datasource(PROMETHEUS)
        .with_target(now(expression))
        .unit(unit)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.NONE)
    )
    return finish(panel, title, (4, 4), description)


def curves(
    title: str,
    *expressions: tuple[str, str],
    unit: str = "short",
    width: int = 12,
    description: str = "",
) -> Any:
    """Return lines over time, each from an expression and its legend."""
    panel = timeseries.Panel().datasource(PROMETHEUS).unit(unit).line_width(1).fill_opacity(5)
    for ref, (expression, legend) in zip("ABCDEFGH", expressions, strict=False):
        panel = panel.with_target(promql(expression, legend, ref))
    shown = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    panel = panel.legend(
        shown.placement(common.LegendPlacement.BOTTOM).show_legend(show_legend=True)
    )
    return finish(panel, title, (width, 8), description)


def bars(title: str, expression: str, legend: str, description: str = "") -> Any:
    """Return a bar for each series."""
    panel = (
        bargauge.Panel()
        .datasource(PROMETHEUS)
        .with_target(now(expression, legend))
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
    )
    return finish(panel, title, (12, 8), description)


def rows_of(title: str, expression: str, hidden: Sequence[str] = (), description: str = "") -> Any:
    """Return a table of series; columns of labels that say nothing are hidden."""
    excluded = dict.fromkeys(["Time", "Value", "__name__", "job", "instance", *hidden], True)
    organize = model.DataTransformerConfig(
        id_val="organize", options={"excludeByName": excluded, "renameByName": {}}
    )
    panel = (
        table.Panel()
        .datasource(PROMETHEUS)
        .with_target(now(expression).format(PromQueryFormat.TABLE))
        .with_transformation(organize)
    )
    return finish(panel, title, (12, 8), description)


def sql_rows(title: str, sql: str, description: str = "") -> Any:
    """Return a table from PostgreSQL."""
    panel = table.Panel().datasource(POSTGRES).with_target(SqlQuery(sql))
    return finish(panel, title, (12, 8), description)


def note(title: str, content: str) -> Any:
    """Return a text."""
    panel = text.Panel().content(content)
    return finish(panel, title, (WIDTH, 5))


def page(
    title: str, uid: str, description: str, sources: Sequence[tuple[str, str]]
) -> dashboard.Dashboard:
    """Return a dashboard without panels, with a variable for each data source."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["mlflow"])
        .editable()
        .time("now-6h", "now")
        .refresh("1m")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
    )
    for name, kind in sources:
        made = made.with_variable(dashboard.DatasourceVariable(name).label(name).type(kind))
    return made


BOTH = [("prometheus", "prometheus"), ("postgres", "postgres")]
