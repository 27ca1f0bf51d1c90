"""The dashboard *service*: requests, latency, errors, memory, database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.parts import INTERVAL, curves, number, page

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard

# PostgreSQL also counts what belongs to no database.
NAMED = '{datname!=""}'
REQUESTS = f"rate(mlflow_http_request_total{INTERVAL})"
FAILED = f'rate(mlflow_http_request_total{{status=~"5.."}}{INTERVAL})'
FREE = 'node_filesystem_avail_bytes{mountpoint="/"}'
SECONDS = f"sum by (le) (rate(mlflow_http_request_duration_seconds_bucket{INTERVAL}))"


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = page(
        "MLflow service",
        "mlflow-service",
        "Tracking server, metrics endpoint, host and database.",
        [("prometheus", "prometheus")],
    )
    panels = [
        number("Requests per second", f"sum({REQUESTS})", "reqps"),
        number(
            "Errors of the server",
            f"(sum({FAILED}) or vector(0)) / (sum({REQUESTS}) > 0 or vector(1))",
            "percentunit",
        ),
        number("95 % of requests within", f"histogram_quantile(0.95, {SECONDS})", "s"),
        number("Memory available", "min(node_memory_MemAvailable_bytes)", "bytes"),
        number("Database", "max(pg_database_size_bytes)", "bytes", "The largest database."),
        number("Connections", "sum(pg_stat_database_numbackends)"),
        curves("Requests by status", (f"sum by (status) ({REQUESTS})", "{{status}}"), unit="reqps"),
        curves(
            "Latency",
            *(
                (f"histogram_quantile({part}, {SECONDS})", f"{round(100 * part)} %")
                for part in (0.5, 0.95, 0.99)
            ),
            unit="s",
        ),
        curves(
            "Time of the metrics endpoint",
            ("mlflowexporter_query_duration_seconds", "database"),
            ("scrape_duration_seconds and on (job, instance) mlflowexporter_series", "scrape"),
            unit="s",
        ),
        curves(
            "Series of the metrics endpoint",
            ("mlflowexporter_series", "runs"),
            ("mlflowexporter_dropped_series", "left out: {{reason}}"),
        ),
        curves(
            "Memory",
            ("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "used"),
            unit="percentunit",
        ),
        curves(
            "Processor",
            (
                f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle"}}{INTERVAL}))',
                "used",
            ),
            unit="percentunit",
        ),
        curves(
            "Disk",
            (
                f"{FREE} / {FREE.replace('avail', 'size')}",
                "free",
            ),
            unit="percentunit",
        ),
        curves(
            "Database connections",
            ("sum by (datname, state) (pg_stat_activity_count) > 0", "{{datname}} {{state}}"),
        ),
        curves(
            "Transactions",
            (
                f"sum by (datname) (rate(pg_stat_database_xact_commit{NAMED}{INTERVAL}))",
                "{{datname}} committed",
            ),
            (
                f"sum by (datname) (rate(pg_stat_database_xact_rollback{NAMED}{INTERVAL}))",
                "{{datname}} rolled back",
            ),
            unit="ops",
        ),
        curves("Size of databases", ("pg_database_size_bytes", "{{datname}}"), unit="bytes"),
    ]
    for panel in panels:
        made = made.with_panel(panel)
    return made
