"""The rules of role `monitoring`, rendered as Ansible's module does."""

from __future__ import annotations

import json
import re
from typing import Any

import jinja2
import yaml

from tests.conftest import ROOT

ROLE = ROOT / "roles/monitoring"
DEFAULTS: dict[str, Any] = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
# What a deployment sets that follows its champions, and switches the optional alerts on.
VARIABLES = {
    "monitoring_certificate_hours": 2,
    "monitoring_drill_days": 8,
    "monitoring_no_run_hours": 24,
    "monitoring_node_exporter_port": 9100,
    "monitoring_runbook_url": "https://mlflow.test/docs/runbook.md",
    "monitoring_token_days": 365,
    "monitoring_champions": [
        {"model": "tree.home", "experiment": "trees", "metric": "mse/home", "better": "lower"},
        {
            "model": 'tree."away"',
            "experiment": "trees",
            "metric": "f1",
            "better": "higher",
            "percent": 10,
            "alias": "best",
        },
    ],
}


def rendered(**variables: object) -> str:
    """Return the file of rules with the defaults of the role and these variables."""
    environment = jinja2.Environment(
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  no HTML
    )
    environment.filters["to_json"] = json.dumps
    environment.filters["regex_replace"] = lambda text, old, new: re.sub(old, new, text)
    template = environment.from_string((ROLE / "templates/rules.yml.j2").read_text())
    return template.render({**DEFAULTS, **VARIABLES, **variables})


def alerts(text: str) -> list[dict[str, Any]]:
    """Return the alerting rules of a file of rules."""
    groups = yaml.safe_load(text)["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]
