"""The dashboard *experiments*: latest values, champions, curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard, timeseries, trend
from grafana_foundation_sdk.models import dashboard as model

from dashboards.parts import (
    BOTH,
    POSTGRES,
    PROMETHEUS,
    SqlQuery,
    bars,
    curves,
    finish,
    number,
    page,
    rows_of,
    sql_rows,
)

if TYPE_CHECKING:
    from typing import Any

# The info family gives a metric its names. Values that were written as history have them already.
LATEST_VALUE = "max by (run_id) (mlflow_$metric)"
NAMED = (
    f"{LATEST_VALUE} * on (run_id) group_left (experiment_name, model_type) mlflowexporter_run_info"
)
CHAMPION = 'mlflowexporter_model_metric{alias="champion", metric="$metric"}'
DIFFERENCE = (
    f"{LATEST_VALUE} * on (run_id) group_right () mlflowexporter_run_model_info"
    f" - on (workspace, model) group_left () max by (workspace, model) ({CHAMPION})"
)
# Curves of several runs: a column for each.
OF_RUNS = """SELECT {columns}, r.name || ' ' || left(r.run_id, 6) AS metric, c.value
FROM (
  SELECT run_id, name FROM mlflow_history.runs WHERE experiment IN (${{experiment:sqlstring}})
  ORDER BY started DESC LIMIT 20
) AS r
CROSS JOIN LATERAL mlflow_history.curve(ARRAY[r.run_id::text], ${{curve:sqlstring}}, 500) AS c
ORDER BY 1"""
LATEST = """SELECT r.experiment, r.name, r.status, r.started, v.metric, v.value
FROM mlflow_history.runs AS r
JOIN mlflow_history.latest_values AS v USING (run_id)
WHERE r.experiment IN (${experiment:sqlstring}) AND v.metric = ${curve:sqlstring}
ORDER BY r.started DESC LIMIT 100"""
PARAMS = """SELECT r.experiment, r.name, p.param, p.value
FROM mlflow_history.runs AS r
JOIN mlflow_history.params AS p USING (run_id)
WHERE r.experiment IN (${experiment:sqlstring})
ORDER BY r.started DESC, p.param LIMIT 200"""
AGAINST_CHAMPION = """SELECT a.model, r.name, r.started, v.value,
       c.value AS champion, v.value - c.value AS difference
FROM mlflow_history.model_aliases AS a
JOIN mlflow_history.latest_values AS c ON c.run_id = a.run_id AND c.metric = ${curve:sqlstring}
JOIN mlflow_history.runs AS champion ON champion.run_id = a.run_id
JOIN mlflow_history.runs AS r ON r.experiment_id = champion.experiment_id
JOIN mlflow_history.latest_values AS v ON v.run_id = r.run_id AND v.metric = c.metric
WHERE a.alias = 'champion' AND r.experiment IN (${experiment:sqlstring})
ORDER BY r.started DESC LIMIT 100"""


def _variables(made: dashboard.Dashboard) -> dashboard.Dashboard:
    metric = (
        dashboard.QueryVariable("metric")
        .label("latest metric")
        .datasource(PROMETHEUS)
        .query("metrics(mlflow_.+)")
        # Without the prefix. The server's own families begin in the same way.
        .regex("/^mlflow_(?!http_)(.+)$/")
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
    )
    experiment = (
        dashboard.QueryVariable("experiment")
        .label("experiments")
        .datasource(POSTGRES)
        .query("SELECT name FROM mlflow_history.experiments ORDER BY name")
        .multi(multi=True)
        .include_all(include_all=True)
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
    )
    curve = (
        dashboard.QueryVariable("curve")
        .label("metric of curves")
        .datasource(POSTGRES)
        .query("SELECT DISTINCT metric FROM mlflow_history.latest_values ORDER BY metric")
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
    )
    return made.with_variable(metric).with_variable(experiment).with_variable(curve)


def _over_time() -> Any:
    panel = timeseries.Panel().datasource(POSTGRES)
    sql = OF_RUNS.format(columns="c.time").replace(
        "WHERE experiment",
        "WHERE started <= $__timeTo() AND coalesce(ended, now()) >= $__timeFrom() AND experiment",
    )
    return finish(
        panel.with_target(SqlQuery(sql, "time_series")),
        "Curves of $curve by time",
        (12, 9),
        "The 20 newest runs in the dashboard's time, from the database.",
    )


def _over_steps() -> Any:
    matrix = model.DataTransformerConfig(
        id_val="groupingToMatrix",
        options={"columnField": "metric", "rowField": "step", "valueField": "value"},
    )
    convert = model.DataTransformerConfig(
        id_val="convertFieldType",
        options={"conversions": [{"targetField": "step\\metric", "destinationType": "number"}]},
    )
    panel = trend.Panel().datasource(POSTGRES).x_field("step\\metric")
    return finish(
        panel.with_target(SqlQuery(OF_RUNS.format(columns="c.step")))
        .with_transformation(matrix)
        .with_transformation(convert),
        "Curves of $curve by step",
        (12, 9),
        "The 20 newest runs, from the database. Prometheus has no steps.",
    )


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = _variables(
        page("MLflow experiments", "mlflow-experiments", "Runs, champions and curves.", BOTH)
    )
    panels = [
        number("Experiments", 'mlflowexporter_experiments{lifecycle_stage="active"}'),
        number("Runs", "sum(mlflowexporter_runs)"),
        number("Failed runs", 'sum(mlflowexporter_runs{status="FAILED"} or vector(0))'),
        number("Registered models", "mlflowexporter_registered_models"),
        number("Model versions", "mlflowexporter_model_versions"),
        number(
            "Since the last run started",
            "time() - max(mlflowexporter_run_start_time_seconds)",
            "s",
        ),
        bars("$metric of the latest runs", NAMED, "{{experiment_name}}"),
        curves("$metric of the latest runs over time", (NAMED, "{{experiment_name}}")),
        bars(
            "$metric of the latest runs minus the champion's",
            DIFFERENCE,
            "{{model}}",
            "For runs that made a version of a model; metrics named with letters, digits and _.",
        ),
        rows_of("Champions", 'mlflowexporter_model_alias_info{alias="champion"}', ["alias"]),
        curves(
            "Metrics of the champions",
            ('mlflowexporter_model_metric{alias="champion"}', "{{model}} {{metric}}"),
        ),
        rows_of("Latest runs", "mlflowexporter_run_info", ["experiment_id", "tag_mlflow_user"]),
        _over_time(),
        _over_steps(),
        sql_rows("$curve of the runs", LATEST),
        sql_rows("$curve, compared with the champion of the experiment", AGAINST_CHAMPION),
        sql_rows("Parameters", PARAMS),
    ]
    for panel in panels:
        made = made.with_panel(panel)
    return made
