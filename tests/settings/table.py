"""How each public variable is seen to take effect.

Most are looked at in a resource of the deployment that conftest.py creates from inventory.yml. What
leaves no trace in a resource (a time to wait, whether secrets are logged), or cannot be combined
with the rest (other.yml), is looked at where it is used: in the arguments of the task, rendered
with the inventory. A few have a test of their own elsewhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from ansible_collections.mlflow_ec2.aws.plugins.action.settings_check import mappings

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.settings.conftest import Deployment

INVENTORY = ROOT / "tests/settings/inventory.yml"
OTHERS = ROOT / "tests/settings/other.yml"
VALUES: dict[str, Any] = yaml.safe_load(INVENTORY.read_text())
OTHER_VALUES: dict[str, Any] = yaml.safe_load(OTHERS.read_text())


@dataclass(frozen=True)
class Resource:
    """A variable that shows in a resource.

    Attributes
    ----------
    look
        Returns what the resource has; true if it has the value, where no value is expected.
    expected
        What it should have; None stands for the value of the inventory.
    """

    look: Callable[[Deployment], Any]
    expected: Any = None


@dataclass(frozen=True)
class Argument:
    """A variable that shows in what a role gives to a task, or in a template.

    Attributes
    ----------
    expression
        What is rendered.
    expected
        What it should be; a regular expression if the rendered value is longer.
    other
        Whether other.yml sets the variable.
    """

    expression: str
    expected: Any
    other: bool = False


@dataclass(frozen=True)
class Elsewhere:
    """A variable whose effect a test of its own is about."""

    test: str


def argument(file: str, task: str, *keys: str, expected: Any, other: bool = False) -> Argument:
    """Return the row of an argument of a task of a role."""
    path = ROOT / ("" if file.startswith("playbooks/") else "roles") / file
    [found] = [
        mapping
        for mapping in mappings(yaml.safe_load(path.read_text()))
        if str(mapping.get("name", "")).startswith(task) and keys[0] in mapping
    ]
    value: Any = found
    for key in keys:
        value = value[key]
    condition = keys[-1] in {"when", "that", "until", "failed_when"}
    if condition:
        parts = value if isinstance(value, list) else [value]
        value = "{{ [" + ", ".join(f"({part})" for part in parts) + "] is all }}"
    return Argument(value, expected, other)


def template(path: str, expected: str) -> Argument:
    """Return the row of a line in a template, with the values of other.yml."""
    expression = f"{{{{ lookup('ansible.builtin.template', '{ROOT / path}') }}}}"
    return Argument(expression, f".*{re.escape(expected)}.*", other=True)


def file(path: str, expected: str) -> Resource:
    """Return the row of a line in a file of the host."""
    pattern = re.compile(expected, re.MULTILINE)
    return Resource(lambda d: pattern.search(d.read(path)) is not None, expected=True)


def threshold(alarm: str, expected: float) -> Argument:
    """Return the row of the threshold of an alarm."""
    found = f"(__aws_alarms_list | selectattr('name', 'equalto', '{alarm}') | first)"
    return Argument(f"{{{{ {found}.threshold }}}}", expected, other=True)


def rds(key: str, expected: Any = None) -> Resource:
    return Resource(lambda deployment: deployment.database[key], expected)


def function(key: str, expected: Any = None) -> Resource:
    return Resource(lambda deployment: deployment.function[key], expected)


def variable_of_function(name: str, expected: Any) -> Resource:
    return Resource(
        lambda deployment: deployment.function["Environment"]["Variables"][name], expected
    )


def retention(group: str) -> Resource:
    return Resource(lambda deployment: deployment.log_group(group)["retentionInDays"])


def sql(query: str, expected: Any) -> Resource:
    return Resource(lambda deployment: deployment.query(query), expected)


def environment(name: str, expected: str, *, other: bool = False) -> Argument:
    """Return the row of an environment variable of each call to AWS."""
    line = f"(__render_environment.stdout_lines | select('match', '{name}=') | first)"
    return Argument(f"{{{{ {line}.partition('=')[2] }}}}", expected, other)


SITE = "tests/settings/test_settings.py::"
RECOVERY = "tests/recovery/test_recovery.py::"
IN_PLACE = "tests/recovery/test_restore_in_place.py::"
COPIES = "tests/copies/test_copies.py::"
TRANSFER = "tests/transfer/test_import.py::"
AUDIT_ROTATION = "/etc/logrotate.d/mlflow-audit"
MONITORING_RULES = "/etc/monitoring/prometheus/rules.yml"
MONITORING_UNIT = "/etc/systemd/system/prometheus{}.service.d/monitoring.conf"
ALERTMANAGER_SETTINGS = "/etc/monitoring/alertmanager/alertmanager.yml"
SHIPPING = "roles/log_shipping/templates/syslog-ng.conf.j2"
MAIN_UNIT = "/etc/systemd/system/mlflow.service"

ROWS: dict[str, Resource | Argument | Elsewhere] = {
    # Alarms.
    "aws_alarms_api_errors": threshold("endpoint-errors", 7),
    "aws_alarms_budget_usd": argument(
        "aws_alarms/tasks/create.yml",
        "Create budget",
        *("mlflow_ec2.aws.budgets_budget", "amount"),
        expected=90,
        other=True,
    ),
    "aws_alarms_database_connections": threshold("database-connections", 41),
    "aws_alarms_database_cpu_percent": threshold("database-cpu", 70),
    "aws_alarms_database_credits": threshold("database-credits", 5),
    "aws_alarms_database_storage_gib": threshold("database-storage", 2 * 1024**3),
    "aws_alarms_enabled": argument(
        "aws_alarms/tasks/main.yml", "Create topic", "when", expected=True, other=True
    ),
    "aws_alarms_function_errors": threshold("function-errors", 8),
    "aws_alarms_function_seconds": threshold("function-duration", 9000),
    "aws_alarms_host_credits": threshold("host-credits", 6),
    "aws_alarms_kms_key": argument(
        "aws_alarms/tasks/create.yml",
        "Create topic",
        *("mlflow_ec2.aws.sns_alarm_topic", "kms_key"),
        expected="alias/knobs",
        other=True,
    ),
    "aws_alarms_subscriptions": argument(
        "aws_alarms/tasks/create.yml",
        "Create topic",
        *("mlflow_ec2.aws.sns_alarm_topic", "subscriptions"),
        expected=[{"protocol": "email", "endpoint": "team@knobs.test"}],
        other=True,
    ),
    # The deployment as a whole.
    "deployment": Resource(lambda d: d.outputs["deployment"]),
    "deployment_dir": Resource(
        lambda d: d.outputs["metrics_token_file"] == str(d.directory / "metrics_token"),
        expected=True,
    ),
    "deployment_tags": Resource(
        lambda d: {tag["Key"]: tag["Value"] for tag in d.vpc["Tags"]} | {"Name": None},
        VALUES["deployment_tags"] | {"Name": None},
    ),
    "deployment_filters": argument(
        "aws_vpc/tasks/find.yml",
        "Find VPC",
        *("amazon.aws.ec2_vpc_net_info", "filters"),
        expected=VALUES["deployment_filters"],
    ),
    "deployment_no_proxy": environment("NO_PROXY", VALUES["deployment_no_proxy"]),
    "aws_environment": environment("AWS_MAX_ATTEMPTS", "9"),
    "aws_ca_bundle": Resource(
        lambda d: (
            d.prometheus[0]["tls_config"]["ca_file"] == str(d.aws.directory / "another-ca.pem")
        ),
        expected=True,
    ),
    "aws_unreachable_cure": argument(
        "playbooks/preflight.yml",
        "Check settings and cloud",
        *("vars", "preflight_unreachable_cure"),
        expected=VALUES["aws_unreachable_cure"],
    ),
    "aws_region": environment("AWS_REGION", "eu-west-1", other=True),
    "operator_address_url": argument(
        "aws_vpc/tasks/create_security_groups.yml",
        "Read the operator's address",
        *("ansible.builtin.uri", "url"),
        expected=r".*/_local/checkip\?settings",
    ),
    "allowed_cidrs": Resource(lambda d: d.host_rules[22]),
    "preflight_ansible_version": argument(
        "preflight/tasks/settings.yml",
        "Check the version of Ansible",
        *("ansible.builtin.assert", "fail_msg"),
        expected=r"ansible-core \S+ is older than 2\.18\..*",
    ),
    "preflight_regions": argument(
        "preflight/tasks/settings.yml",
        "Check that the account may use the region",
        *("ansible.builtin.assert", "fail_msg"),
        expected=r"aws_region: us-east-1 is not a valid region: .+ use us-east-1, eu-west-1\..*",
    ),
    "backfill_experiments": Elsewhere(
        "tests/provisioning/test_reader.py::test_backfill_writes_blocks_of_the_values"
    ),
    "backfill_directory": Elsewhere(
        "tests/provisioning/test_reader.py::test_backfill_writes_blocks_of_the_values"
    ),
    "confirm": Elsewhere(SITE + "test_destroy_takes_confirm_and_purge_from_the_inventory"),
    "purge": Elsewhere(SITE + "test_destroy_takes_confirm_and_purge_from_the_inventory"),
    "renew_certificates": Argument(
        "{{ [aws_lambda_renew_certificates, mlflow_database_ca_force] }}", [False, False]
    ),
    "cost_prices_file": Resource(lambda d: d.cost["address of the host"], 7300.0),
    "cost_usage": Resource(lambda d: d.cost["artifacts"], 23.0),
    # The network.
    "aws_vpc_cidr": Resource(lambda d: d.vpc["CidrBlock"]),
    "aws_vpc_subnets": Resource(
        lambda d: sorted(
            (name, net["CidrBlock"], net["AvailabilityZone"]) for name, net in d.subnets.items()
        ),
        [(net["name"], net["cidr"], net["zone"]) for net in VALUES["aws_vpc_subnets"]],
    ),
    "aws_vpc_host_ports": Resource(lambda d: sorted(d.host_rules)),
    "aws_vpc_host_egress_ports": Resource(lambda d: d.egress("tcp"), [80, 443, 5432, 8443]),
    "aws_vpc_host_egress_udp_ports": Resource(lambda d: d.egress("udp")),
    # The host.
    "aws_ec2_allowed_sizes": argument(
        "aws_ec2/tasks/preflight.yml",
        "Check that the account may have the host's size",
        *("ansible.builtin.assert", "fail_msg"),
        expected=".*'t3.large' is not an allowed size .*: medium, large.*",
    ),
    "aws_ec2_image_name": argument(
        "aws_ec2/tasks/find_image.yml",
        "Find the newest image",
        *("amazon.aws.ec2_ami_info", "filters", "name"),
        expected=OTHER_VALUES["aws_ec2_image_name"],
        other=True,
    ),
    "aws_ec2_image_owner": argument(
        "aws_ec2/tasks/find_image.yml",
        "Find the newest image",
        *("amazon.aws.ec2_ami_info", "owners"),
        expected=[OTHER_VALUES["aws_ec2_image_owner"]],
        other=True,
    ),
    "aws_ec2_instance_type": Resource(lambda d: d.instance["InstanceType"]),
    "aws_ec2_memory_min_mib": argument(
        "aws_ec2/tasks/preflight.yml",
        "Check that the host has enough memory",
        *("ansible.builtin.assert", "fail_msg"),
        expected=".*at least 3000 MiB is required.*",
    ),
    "aws_ec2_subnet": Resource(
        lambda d: d.instance["SubnetId"] == d.subnets["web"]["SubnetId"], expected=True
    ),
    "aws_ec2_user": argument(
        "aws_ec2/tasks/find.yml",
        "Publish the host",
        *("ansible.builtin.set_fact", "aws_ec2", "user"),
        expected=OTHER_VALUES["aws_ec2_user"],
        other=True,
    ),
    "aws_ec2_volume_gib": Resource(lambda d: d.volume["Size"]),
    "aws_ec2_wait_seconds": argument(
        "aws_ec2/tasks/wait_ssh.yml",
        "Wait until the host takes SSH connections",
        *("ansible.builtin.wait_for", "timeout"),
        expected=240,
    ),
    # Roles.
    "aws_iam_mode": argument(
        "aws_iam/tasks/create.yml", "Create roles", "when", expected=False, other=True
    ),
    "aws_iam_host_role": Resource(lambda d: d.profile["Roles"][0]["RoleName"]),
    "aws_iam_instance_profile": Resource(
        lambda d: d.instance["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    ),
    "aws_iam_function_role": Resource(lambda d: d.function["Role"].rpartition("/")[2]),
    "aws_iam_monitoring_role": Resource(
        lambda d: d.database["MonitoringRoleArn"].rpartition("/")[2]
    ),
    # Bucket and passwords.
    "aws_s3_bucket": Resource(lambda d: d.outputs["artifacts_bucket"]),
    "aws_s3_noncurrent_days": Resource(
        lambda d: d.aws.client("s3").get_bucket_lifecycle_configuration(Bucket="knobs-mlflow-own")[
            "Rules"
        ][0]["NoncurrentVersionExpiration"]["NoncurrentDays"]
    ),
    "recovery_keep_days": argument(
        "aws_s3/tasks/preflight.yml",
        "Check that versions of artifacts outlive",
        *("ansible.builtin.assert", "fail_msg"),
        expected=r".*to a time 5 days ago.*",
    ),
    "recovery_copy_region": Elsewhere(COPIES + "test_restored_deployment_has_the_data_of_the_copy"),
    "recovery_copy_lock_days": argument(
        "recovery_copy/tasks/write.yml",
        "Copy the artifacts",
        *("mlflow_ec2.aws.s3_version_list_copy", "lock_days"),
        expected=2,
    ),
    "recovery_copy_lock_mode": argument(
        "recovery_copy/tasks/write.yml",
        "Copy the artifacts",
        *("mlflow_ec2.aws.s3_version_list_copy", "lock_mode"),
        expected="COMPLIANCE",
    ),
    "drill_deployment": Elsewhere(RECOVERY + "test_drill_restores_compares_and_deletes"),
    "recovery_checksums": argument(
        "recovery/tasks/check.yml",
        "Compare the restored database",
        *("vars", "__recovery_checksums"),
        expected={},
    ),
    "recovery_compare_bytes": argument(
        "recovery/tasks/copy.yml",
        "Copy the artifacts",
        "mlflow_ec2.aws.s3_version_copy",
        expected={
            "bucket": "former",
            "target": "knobs-artifacts",
            "prefix": "artifacts/",
            "compare_bytes": True,
            "begin": "2026-11-29T12:00:00Z",
            "end": "2026-11-29T12:01:00Z",
        },
    ),
    "recovery_point": Elsewhere(RECOVERY + "test_restored_deployment_has_the_data_of_the_point"),
    "restore_bucket": Elsewhere(RECOVERY + "test_restored_deployment_has_the_data_of_the_point"),
    "restore_source": Elsewhere(RECOVERY + "test_restored_deployment_has_the_data_of_the_point"),
    "restore_to": Elsewhere(RECOVERY + "test_restore_to_a_time_has_what_was_logged_before_it"),
    "restore_safety_point": Elsewhere(IN_PLACE + "test_stopped_database_is_replaced"),
    "aws_secretsmanager_recovery_days": argument(
        "aws_secretsmanager/tasks/delete.yml",
        "Delete passwords",
        *("mlflow_ec2.aws.secretsmanager_password", "recovery_window"),
        expected=8,
    ),
    "aws_secretsmanager_rotate": Elsewhere(
        SITE + "test_rotate_keys_generates_the_keys_of_the_inventory"
    ),
    "aws_secretsmanager_secure_logging": argument(
        "aws_secretsmanager/tasks/create.yml", "Create passwords", "no_log", expected=False
    ),
    # The database.
    "aws_rds_allowed_sizes": argument(
        "aws_rds/tasks/preflight.yml",
        "Check that the account may have the database's size",
        *("ansible.builtin.assert", "fail_msg"),
        expected=".*'db.t3.small' is not an allowed size .*: small, medium.*",
    ),
    "aws_rds_backup_days": rds("BackupRetentionPeriod"),
    "aws_rds_ca_url": argument(
        "aws_rds/tasks/certificates.yml",
        "Fetch the certificate authorities",
        *("ansible.builtin.uri", "url"),
        expected=r".*/_local/rds-ca.pem\?settings",
    ),
    "aws_rds_deletion_protection": rds("DeletionProtection"),
    "aws_rds_engine_version": rds("EngineVersion"),
    "aws_rds_instance_class": rds("DBInstanceClass"),
    "aws_rds_keep_snapshots": argument(
        "aws_rds/tasks/delete_snapshots.yml", "Delete snapshots of upgrades", "loop", expected=["a"]
    ),
    "aws_rds_max_storage_gib": rds("MaxAllocatedStorage"),
    "aws_rds_monitoring_seconds": rds("MonitoringInterval"),
    "aws_rds_multi_az": rds("MultiAZ"),
    "aws_rds_reboot": argument(
        "aws_rds/tasks/parameters.yml",
        "Check that the database may be rebooted",
        *("ansible.builtin.assert", "that"),
        expected=True,
    ),
    "aws_rds_slow_statement_ms": sql(
        "SELECT setting FROM pg_settings WHERE name = 'log_min_duration_statement'", "2500"
    ),
    "aws_rds_snapshot": argument(
        "playbooks/upgrade_back.yml",
        "Restore the database",
        *("vars", "aws_rds_snapshot_name"),
        expected=OTHER_VALUES["aws_rds_snapshot"],
        other=True,
    ),
    "aws_rds_storage_gib": rds("AllocatedStorage"),
    "aws_rds_storage_type": rds("StorageType"),
    "aws_rds_wait_seconds": argument(
        "aws_rds/tasks/wait_status.yml", "Wait until the database is", "retries", expected=300
    ),
    # The function and its endpoint.
    "aws_lambda_architecture": argument(
        "aws_lambda/tasks/package.yml",
        "Build the package",
        *("mlflow_ec2.aws.lambda_package", "architecture"),
        expected="arm64",
        other=True,
    ),
    "aws_lambda_python_version": argument(
        "aws_lambda/tasks/create.yml",
        "Create function",
        *("amazon.aws.lambda", "runtime"),
        expected="python3.12",
        other=True,
    ),
    "aws_lambda_log_days": retention("/aws/lambda/knobs-mlflow-metrics"),
    "aws_lambda_memory_mib": function("MemorySize"),
    "aws_lambda_metrics_experiments": variable_of_function(
        "METRICS_EXPERIMENTS", VALUES["aws_lambda_metrics_experiments"]
    ),
    "aws_lambda_metrics_max_age_seconds": variable_of_function("METRICS_MAX_AGE_SECONDS", "864000"),
    "aws_lambda_metrics_max_model_series": variable_of_function("METRICS_MAX_MODEL_SERIES", "700"),
    "aws_lambda_metrics_max_series": variable_of_function("METRICS_MAX_SERIES", "5000"),
    "aws_lambda_metrics_names": variable_of_function(
        "METRICS_NAMES", VALUES["aws_lambda_metrics_names"]
    ),
    "aws_lambda_metrics_tags": variable_of_function("METRICS_TAGS", json.dumps(["team"])),
    "aws_lambda_timeout_seconds": function("Timeout"),
    "aws_api_gateway_burst_limit": Resource(
        lambda d: d.stage["DefaultRouteSettings"]["ThrottlingBurstLimit"]
    ),
    "aws_api_gateway_rate_limit": Resource(
        lambda d: d.stage["DefaultRouteSettings"]["ThrottlingRateLimit"]
    ),
    "aws_api_gateway_log_days": retention("/aws/vendedlogs/apigateway/knobs-mlflow-metrics"),
    # What every host has.
    "host_journal_max_age": file(
        "/etc/systemd/journald.conf.d/host.conf", "^MaxRetentionSec=9day$"
    ),
    "host_journal_max_size": file("/etc/systemd/journald.conf.d/host.conf", "^SystemMaxUse=300M$"),
    "host_node_exporter": Argument(
        "{{ [__host_packages, tls_proxy_metrics | map(attribute='path')] | to_json }}",
        r'\[\["chrony"\], \["/-/metrics/mlflow"\]\]',
        other=True,
    ),
    "host_node_exporter_port": Resource(
        lambda d: d.listens("127.0.0.1:9170") and "node_cpu" in d.scrape("host"), expected=True
    ),
    "host_reboot_time": file("/etc/apt/apt.conf.d/60host", 'Automatic-Reboot-Time "04:45"'),
    "host_security_updates": argument(
        "host/tasks/main.yml", "Keep the host up to date", "when", expected=False, other=True
    ),
    "host_ssh": Resource(
        lambda d: d.run("test -e /etc/ssh/sshd_config.d/00-host.conf; echo $?"), "1"
    ),
    "host_time_servers": file("/etc/chrony/sources.d/host.sources", "^server 192.0.2.123 "),
    # Where the host's journal is sent.
    "log_shipping_labels": Argument("{{ __log_shipping_arguments }}", 'team="league"', other=True),
    "log_shipping_loki_ca": argument(
        "log_shipping/tasks/loki.yml",
        "Copy the certificate of the target",
        *("ansible.builtin.copy", "src"),
        expected=OTHER_VALUES["log_shipping_loki_ca"],
        other=True,
    ),
    "log_shipping_loki_password": template(SHIPPING, "password('password-of-knobs')"),
    "log_shipping_loki_tenant": template(SHIPPING, '"X-Scope-OrgID: knobs"'),
    "log_shipping_loki_url": template(SHIPPING, "url('https://loki.knobs.test/loki/api/v1/push')"),
    "log_shipping_loki_username": template(SHIPPING, "user('knobs')"),
    "log_shipping_memory_max": template(
        "roles/log_shipping/templates/log-shipping.service.j2", "MemoryMax=100M"
    ),
    "log_shipping_secure_logging": argument(
        "log_shipping/tasks/loki.yml", "Write the settings", "no_log", expected=False, other=True
    ),
    "log_shipping_target": argument(
        "log_shipping/tasks/main.yml", "Send the journal", "when", expected=True, other=True
    ),
    "aws_logs_days": argument(
        "aws_logs/tasks/create.yml",
        "Plan the retention of the log group",
        *("mlflow_ec2.aws.difference", "after"),
        expected={"retention_in_days": 90},
        other=True,
    ),
    # The tracking server.
    "mlflow_access_secure_logging": argument(
        "mlflow_access/tasks/users.yml", "Configure user", "no_log", expected=False
    ),
    "mlflow_access_users": Resource(
        lambda d: (
            d.status("ana", "experiments/search?max_results=1"),
            d.read("/etc/tracking/read_only_users"),
        ),
        (200, "ana\n"),
    ),
    "mlflow_admin_username": Resource(
        lambda d: (
            d.status("chief", "users/list"),
            d.client_environment["MLFLOW_TRACKING_USERNAME"],
        ),
        (200, "chief"),
    ),
    "mlflow_allow_old": argument(
        "mlflow/tasks/release.yml",
        "Check that a deployment may start",
        "ansible.builtin.assert",
        "that",
        expected=True,
        other=True,
    ),
    "mlflow_allowed_artifact_locations": file(
        "/etc/tracking/mlflow.env",
        '^MLFLOW_HOST_ALLOWED_ARTIFACT_LOCATIONS="s3://other-bucket/artifacts"$',
    ),
    "mlflow_allowed_destinations": file(
        "/etc/tracking/mlflow.env", '^MLFLOW_HOST_ALLOWED_DESTINATIONS="10.9.0.0/24"$'
    ),
    "mlflow_artifacts_presigned": Resource(
        lambda d: (
            "presigned"
            in d.aws.client("iam").list_role_policies(RoleName="knobs-own-host")["PolicyNames"],
            d.client_environment["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"],
            d.client_environment["MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE"],
            '\nMLFLOW_HOST_PRESIGNED="only"\n' in d.read("/etc/tracking/mlflow.env"),
        ),
        (True, "1", "8388608", True),
    ),
    "mlflow_artifacts_presigned_max_size": file(
        "/etc/tracking/mlflow.env", f'^MLFLOW_HOST_PRESIGNED_MAX_BYTES="{700 * 2**20}"$'
    ),
    "mlflow_artifacts_presigned_seconds": file(
        "/etc/tracking/mlflow.env", '^MLFLOW_HOST_PRESIGNED_SECONDS="77"$'
    ),
    "mlflow_artifacts_presigned_upload_seconds": file(
        "/etc/tracking/mlflow.env", '^MLFLOW_HOST_PRESIGNED_UPLOAD_SECONDS="99"$'
    ),
    "mlflow_auth_cache_ttl": file("/etc/tracking/basic_auth.ini", "^auth_cache_ttl_seconds = 5$"),
    "mlflow_bootstrap_lock_file": file(
        "/srv/tracking/bootstrap/requirements.txt", r"\A# settings$"
    ),
    "mlflow_audit": Argument(
        "{{ [__mlflow_environment.MLFLOW_HOST_AUDIT, mlflow_access_audit_file] | to_json }}",
        r'\["", ""\]',
        other=True,
    ),
    "mlflow_audit_keep_days": file(AUDIT_ROTATION, r"^\tmaxage 90$"),
    "mlflow_audit_max_size": file(AUDIT_ROTATION, r"^\tmaxsize 50M$"),
    "mlflow_audit_reads": file("/etc/tracking/mlflow.env", '^MLFLOW_HOST_AUDIT_READS="true"$'),
    "mlflow_audit_rotation": file(AUDIT_ROTATION, r"^\tdaily$"),
    "mlflow_config_dir": file(MAIN_UNIT, "^EnvironmentFile=/etc/tracking/mlflow.env$"),
    "mlflow_database_ca_path": Resource(
        lambda d: (
            "sslrootcert=/etc/ssl/another-ca.pem" in d.read("/etc/tracking/mlflow.env")
            and "BEGIN CERTIFICATE" in d.read("/etc/ssl/another-ca.pem")
        ),
        expected=True,
    ),
    "mlflow_database_connections": sql(
        "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'tracker'", 46
    ),
    "mlflow_database_maintenance_name": argument(
        "mlflow_database/tasks/roles.yml",
        "Create role",
        *("community.postgresql.postgresql_user", "login_db"),
        expected="mlflow",
    ),
    "mlflow_database_metrics_connection_limit": sql(
        "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'scraper'", 6
    ),
    "mlflow_database_metrics_statement_timeout": sql(
        "SELECT 'statement_timeout=7000' = ANY (rolconfig) FROM pg_roles WHERE rolname = 'scraper'",
        expected=True,
    ),
    "mlflow_database_metrics_tables": sql(
        "SELECT has_table_privilege('scraper', 'params', 'SELECT')", expected=True
    ),
    "mlflow_database_metrics_user": variable_of_function("DATABASE_USER", "scraper"),
    "mlflow_database_reader": sql(
        "SELECT has_table_privilege('viewer', 'mlflow_history.runs', 'SELECT')", expected=True
    ),
    "mlflow_database_reader_connection_limit": sql(
        "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'viewer'", 3
    ),
    "mlflow_database_reader_rows": sql(
        "SELECT pg_get_functiondef('mlflow_history.curve'::regproc) LIKE '% 777 %'", expected=True
    ),
    "mlflow_database_reader_statement_timeout": sql(
        "SELECT 'statement_timeout=9000' = ANY (rolconfig) FROM pg_roles WHERE rolname = 'viewer'",
        expected=True,
    ),
    "mlflow_database_reader_user": Resource(
        lambda d: "\nPGUSER=viewer\n" in (d.directory / "reader.env").read_text(), expected=True
    ),
    "mlflow_database_secure_logging": argument(
        "mlflow_database/tasks/roles.yml", "Create the roles", "no_log", expected=False
    ),
    "mlflow_database_server_user": Resource(
        lambda d: "//tracker@" in d.read("/etc/tracking/mlflow.env"), expected=True
    ),
    "mlflow_database_user": sql(
        "SELECT tableowner FROM pg_tables WHERE tablename = 'runs'", "owner"
    ),
    "mlflow_default_permission": file(
        "/etc/tracking/basic_auth.ini", "^default_permission = NO_PERMISSIONS$"
    ),
    "mlflow_discard_unreadable_secrets": argument(
        "mlflow/tasks/database.yml",
        "Check that a key fits every secret in the database",
        *("ansible.builtin.assert", "that"),
        expected=True,
    ),
    "mlflow_environment": file("/etc/tracking/mlflow.env", '^MLFLOW_LOGGING_LEVEL="WARNING"$'),
    "mlflow_features": file("/etc/tracking/mlflow.env", '^MLFLOW_ENABLE_AI_GATEWAY="false"$'),
    "mlflow_gc_older_than": file("/etc/systemd/system/mlflow-gc.service", "--older-than=40d$"),
    "mlflow_gc_schedule": file(
        "/etc/systemd/system/mlflow-gc.timer", r"^OnCalendar=\*-\*-\* 02:15:00$"
    ),
    "mlflow_install_dir": file(MAIN_UNIT, "^ExecStart=/srv/tracking/current/bin/python "),
    "mlflow_keep_versions": argument(
        "mlflow/tasks/old_versions.yml", "Remove old versions", "loop", expected=["1.0.0"]
    ),
    "mlflow_lock_file": file("/srv/tracking/3.17.2/requirements.txt", r"\A# settings$"),
    "mlflow_log_dir": file(AUDIT_ROTATION, r"^/var/log/tracking/audit\.jsonl {$"),
    "mlflow_memory_max": Resource(
        lambda d: d.property_of("mlflow", "MemoryMax"), str(1400 * 2**20)
    ),
    "mlflow_patches": file("/etc/tracking/mlflow.env", '^MLFLOW_HOST_PATCHES="messages,jobs"$'),
    "mlflow_program_dir": argument(
        "mlflow/tasks/install.yml",
        "Copy the program",
        *("mlflow_ec2.aws.python_zipapp", "src"),
        expected="/srv/program",
        other=True,
    ),
    "mlflow_metrics_port": Resource(
        lambda d: d.listens("127.0.0.1:9172") and "mlflow" in d.scrape("mlflow"), expected=True
    ),
    "mlflow_names": Argument("{{ mlflow_public_urls }}", ["https://knobs.test:5443"], other=True),
    "mlflow_port": Resource(lambda d: d.listens("127.0.0.1:5071"), expected=True),
    "mlflow_ready_timeout": file(MAIN_UNIT, "--timeout=150$"),
    "mlflow_secure_logging": argument(
        "mlflow/tasks/configure.yml", "Write the secrets", "no_log", expected=False
    ),
    "mlflow_tasks_max": Resource(lambda d: d.property_of("mlflow", "TasksMax"), "400"),
    "mlflow_tls": Elsewhere(
        "tests/unit/test_settings.py::test_urls_follow_names_port_and_mlflow_tls"
    ),
    "mlflow_tls_ca": argument(
        "playbooks/outputs.yml",
        "Write the outputs",
        *("vars", "outputs_tracking_ca"),
        expected=OTHER_VALUES["mlflow_tls_ca"],
        other=True,
    ),
    "mlflow_tls_mode": template("roles/tls_proxy/templates/Caddyfile.j2", "issuer acme"),
    "mlflow_export_folder": Elsewhere(TRANSFER + "test_mlflow_serves_an_export_as_the_deployment"),
    "mlflow_import_artifacts": Elsewhere(TRANSFER + "test_import_moves_all_that_the_other_answers"),
    "mlflow_import_database": Elsewhere(TRANSFER + "test_import_moves_all_that_the_other_answers"),
    "mlflow_import_roots": Elsewhere(TRANSFER + "test_import_of_other_files_is_refused"),
    "mlflow_upgrade_free_mib": argument(
        "mlflow_upgrade/tasks/preflight.yml",
        "Check the free space",
        *("ansible.builtin.assert", "fail_msg"),
        expected=".*requires 2048.*",
    ),
    "mlflow_user": Resource(lambda d: d.property_of("mlflow", "User")),
    "mlflow_version": argument(
        "mlflow/tasks/service.yml",
        "Switch to",
        "ansible.builtin.file",
        "src",
        expected="3.14.0",
        other=True,
    ),
    "mlflow_watch_seconds": file(
        "/etc/systemd/system/mlflow-watch.timer", "^OnUnitInactiveSec=45$"
    ),
    "mlflow_wheelhouse": argument(
        "mlflow/tasks/install.yml", "Copy packages from", "when", expected=True, other=True
    ),
    "mlflow_wheelhouse_dir": argument(
        "mlflow/tasks/wheelhouse.yml",
        "Provide the packages",
        *("vars", "__mlflow_wheels"),
        expected="/var/cache/knobs/3.14.0-.*",
        other=True,
    ),
    "mlflow_workers": file(MAIN_UNIT, "--workers=3 "),
    # Monitoring.
    "monitoring_alertmanager_port": Resource(lambda d: d.listens("127.0.0.1:9193"), expected=True),
    "monitoring_blackbox_exporter_port": Resource(
        lambda d: d.listens("127.0.0.1:9194"), expected=True
    ),
    "monitoring_backup_hours": file(MONITORING_RULES, r"> 30 \* 3600$"),
    "monitoring_certificate_hours": file(MONITORING_RULES, r"expiry.* < 3 \* 3600$"),
    "monitoring_champions": file(MONITORING_RULES, 'model: "knobs.home"$'),
    "monitoring_connections_percent": file(MONITORING_RULES, "ratio > 71 / 100$"),
    "monitoring_database_name": file(MONITORING_UNIT.format("-postgres-exporter"), "/template1?"),
    "monitoring_database_user": sql(
        "SELECT pg_has_role('watcher', 'pg_monitor', 'MEMBER')", expected=True
    ),
    "monitoring_disk_percent": file(MONITORING_RULES, "< 12 / 100$"),
    "monitoring_drill_days": file(MONITORING_RULES, r"drill.* > 9 \* 86400 "),
    "monitoring_email_from": file(ALERTMANAGER_SETTINGS, 'smtp_from: "host@knobs.test"$'),
    "monitoring_email_to": file(ALERTMANAGER_SETTINGS, 'to: "operator@knobs.test"$'),
    # The inventory of local AWS has it on, as inventory.yml has.
    "monitoring_enabled": argument(
        "monitoring/tasks/main.yml", "Switch monitoring on", "when", expected=False, other=True
    ),
    "monitoring_error_percent": file(MONITORING_RULES, "> 13 / 100$"),
    "monitoring_memory_max": Resource(
        lambda d: d.property_of("prometheus", "MemoryMax"), str(400 * 2**20)
    ),
    "monitoring_memory_percent": file(MONITORING_RULES, "< 14 / 100$"),
    "monitoring_no_run_hours": file(MONITORING_RULES, "hours > 48$"),
    "monitoring_pages_username": Resource(
        lambda d: "\nMONITORING_USERNAME=viewer\n" in (d.directory / "monitoring.env").read_text(),
        expected=True,
    ),
    "monitoring_postgres_exporter_port": Resource(
        lambda d: d.listens("127.0.0.1:9195"), expected=True
    ),
    "monitoring_prometheus_port": Resource(lambda d: d.listens("127.0.0.1:9196"), expected=True),
    "monitoring_retention_size": file(MONITORING_UNIT.format(""), "retention.size=2GB "),
    "monitoring_retention_time": file(MONITORING_UNIT.format(""), "retention.time=20d "),
    "monitoring_runbook_url": file(
        MONITORING_RULES, 'runbook_url: "https://knobs.test/runbook#mlflowserverdown"$'
    ),
    "monitoring_scrape_seconds": file(
        "/etc/monitoring/prometheus/prometheus.yml", "scrape_interval: 20s$"
    ),
    "monitoring_secure_logging": argument(
        "monitoring/tasks/configure.yml", "Write secrets", "no_log", expected=False
    ),
    "monitoring_slow_request_seconds": file(MONITORING_RULES, "p95_rate5m > 4$"),
    "monitoring_slow_scrape_seconds": file(MONITORING_RULES, "> 6 and up"),
    "monitoring_smtp_password": file(
        "/etc/monitoring/alertmanager/smtp_password", r"^secret-of-knobs$"
    ),
    "monitoring_smtp_server": file(ALERTMANAGER_SETTINGS, 'smtp_smarthost: "smtp.knobs.test:587"$'),
    "monitoring_smtp_username": file(ALERTMANAGER_SETTINGS, 'smtp_auth_username: "knobs"$'),
    "monitoring_token_days": file(MONITORING_RULES, r"> 90 \* 86400$"),
    "monitoring_webhook_url": file(
        "/etc/monitoring/alertmanager/webhook_url", r"^https://knobs.test/hook$"
    ),
    "status_backup_hours": Elsewhere(
        "tests/e2e/test_monitoring.py::test_status_reports_a_backup_that_is_too_old"
    ),
    # The proxy.
    "tls_proxy_acme_ca": Argument(
        "{{ __tls_proxy_files.acme[0].src }}", OTHER_VALUES["tls_proxy_acme_ca"], other=True
    ),
    "tls_proxy_acme_directory": template(
        "roles/tls_proxy/templates/Caddyfile.j2", "dir https://acme.knobs.test/directory"
    ),
    "tls_proxy_acme_email": template(
        "roles/tls_proxy/templates/Caddyfile.j2", "email operator@knobs.test"
    ),
    "tls_proxy_body_max": file("/etc/caddy/Caddyfile", f"max_size {32 * 2**20}$"),
    "tls_proxy_body_unlimited": Resource(
        lambda d: "ajax-api" not in d.read("/etc/caddy/Caddyfile"), expected=True
    ),
    "tls_proxy_caddy_source": file(
        "/var/lib/dpkg/status", r"^Package: caddy\n(?:.+\n)*Version: 2\.6\."
    ),
    "tls_proxy_certificate": Argument(
        "{{ __tls_proxy_files.provided[0].src }}", OTHER_VALUES["tls_proxy_certificate"], other=True
    ),
    "tls_proxy_certificate_key": Argument(
        "{{ __tls_proxy_files.provided[1].src }}",
        OTHER_VALUES["tls_proxy_certificate_key"],
        other=True,
    ),
    "tls_proxy_hsts_seconds": template(
        "roles/tls_proxy/templates/Caddyfile.j2", "Strict-Transport-Security max-age=3600"
    ),
    "tls_proxy_memory_max": Resource(
        lambda d: d.property_of("caddy", "MemoryMax"), str(200 * 2**20)
    ),
    "tls_proxy_port": Resource(
        lambda d: (
            {d.outputs["mlflow_tracking_uri"], d.client_environment["MLFLOW_TRACKING_URI"]}
            == {f"https://{d.address}:5443"}
            and d.listens("*:5443")
        ),
        expected=True,
    ),
    "tls_proxy_ready_timeout": argument(
        "tls_proxy/tasks/service.yml", "Wait until the proxy answers", "retries", expected=90
    ),
    "tls_proxy_secure_logging": argument(
        "tls_proxy/tasks/configure.yml", "Write what lets Prometheus in", "no_log", expected=False
    ),
}
