"""What an auditor of code finds in playbooks, roles and the function."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.findings import (
    UNRATED,
    Accepted,
    Finding,
    accepted,
    environment,
    stale,
    unexplained,
)

pytestmark = pytest.mark.slow

CHECKOV = ROOT / ".venv-audit/checkov/bin/checkov"


@pytest.fixture(scope="session")
def findings() -> list[Finding]:
    result = subprocess.run(
        [
            *(str(CHECKOV), "--directory", ".", "--framework", "ansible", "secrets"),
            # Hashes look like passwords, and those of throw-away servers are some.
            *("--skip-path", "requirements/", "--skip-path", "/molecule/"),
            *("--skip-download", "--compact", "--quiet", "--soft-fail", "--output", "json"),
        ],
        cwd=ROOT,
        env=environment({"BC_SKIP_MAPPING": "TRUE", "CKV_SKIP_PACKAGE_UPDATE_CHECK": "TRUE"}),
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    parsed = json.loads(result.stdout)
    reports = parsed if isinstance(parsed, list) else [parsed]
    [summary] = [report["summary"] for report in reports if report["check_type"] == "ansible"]
    assert (summary["passed"] > 0, summary["parsing_errors"]) == (True, 0)
    return [
        _finding(found, found["repo_file_path"].lstrip("/"))
        for report in reports
        for found in report["results"]["failed_checks"]
    ]


def _finding(found: dict[str, Any], path: str) -> Finding:
    # Severities come from the service of its maker only, so every finding counts.
    in_file = Accepted(found["check_id"], UNRATED, path)
    everywhere = Accepted(found["check_id"], UNRATED, "sources")
    return Finding(
        in_file if in_file in accepted(rated=False) else everywhere,
        f"{path}:{found['file_line_range'][0]}",
        found["check_name"],
    )


def test_every_finding_is_explained(findings: list[Finding]) -> None:
    assert unexplained(findings, accepted(rated=False)) == []


def test_no_explanation_outlives_its_finding(findings: list[Finding]) -> None:
    assert stale(findings, accepted(rated=False)) == []
