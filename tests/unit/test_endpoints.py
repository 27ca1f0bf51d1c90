"""Local AWS is asked for each service, whatever endpoints an operator has exported."""

from __future__ import annotations

import re
from pathlib import Path

import botocore.session
import yaml
from ansible_collections.amazon import aws

from tests.conftest import ROOT

CLIENT = re.compile(r"""\bclient\(\s*["']([a-z0-9-]+)["']""")
MODULE = re.compile(r"\bamazon\.aws\.([a-z0-9_]+):")


def sources() -> list[Path]:
    """Return our plugins, and the modules of amazon.aws that playbooks and roles name."""
    modules = Path(aws.__path__[0]) / "plugins/modules"
    named = {
        name
        for folder in ("playbooks", "roles")
        for path in (ROOT / folder).rglob("*.yml")
        for name in MODULE.findall(path.read_text())
    }
    return [*(ROOT / "collections").rglob("*.py"), *(modules / f"{name}.py" for name in named)]


def test_local_inventory_names_the_endpoint_of_each_service() -> None:
    used = {name for path in sources() for name in CLIENT.findall(path.read_text())}
    assert {"ec2", "rds", "service-quotas", "sts"} <= used
    session = botocore.session.get_session()
    names = {
        session.get_service_model(service).service_id.replace(" ", "_").upper() for service in used
    }
    inventory = yaml.safe_load((ROOT / "inventory/local/group_vars/all/aws.yml").read_text())
    # boto3 prefers these to AWS_ENDPOINT_URL.
    missing = {f"AWS_ENDPOINT_URL_{name}" for name in names} - inventory["aws_environment"].keys()
    assert missing == set()
