"""The dashboard *deployment*: targets, backup, certificate, host, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.parts import curves, note, number, page, rows_of

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard

CERTIFICATE = "(probe_ssl_earliest_cert_expiry - time()) / 86400"
# Nothing exports these: a panel for them would be empty.
ELSEWHERE = """| | where it is |
|---|---|
| drift | `playbooks/drift.yml` fails and lists it |
| cost of a month | `playbooks/cost.yml` |
| age of the token | Secrets Manager, `<deployment>/metrics-token` |
| processor credits, storage of RDS | CloudWatch: `CPUCreditBalance`, `FreeStorageSpace` |
"""


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = page(
        "MLflow deployment",
        "mlflow-deployment",
        "Targets, backup, certificate, host and versions.",
        [("prometheus", "prometheus")],
    )
    panels = [
        number("Age of the backup", "max(time() - monitoring_backup_timestamp_seconds)", "s"),
        number("Targets down", "count(up == 0) or vector(0)"),
        number("Certificate ends in", "min(probe_ssl_earliest_cert_expiry) - time()", "s"),
        number("Host is up for", "max(time() - node_boot_time_seconds)", "s"),
        number("Disk free", 'min(node_filesystem_avail_bytes{mountpoint="/"})', "bytes"),
        number("Index of the endpoint", "min(mlflowexporter_index_usable)", "bool_yes_no"),
        curves("Targets", ("up", "{{job}} {{instance}}")),
        curves("Days until the certificate ends", (CERTIFICATE, "{{instance}}"), unit="d"),
        curves("Server as a client sees it", ("probe_duration_seconds", "{{instance}}"), unit="s"),
        curves("Database up", ("pg_up", "{{instance}}")),
        rows_of("Metrics function", "mlflowexporter_build_info"),
        rows_of("Host", "node_uname_info", ["domainname", "version"]),
        note("What has no metric", ELSEWHERE),
    ]
    for panel in panels:
        made = made.with_panel(panel)
    return made
