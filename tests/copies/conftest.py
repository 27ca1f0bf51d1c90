"""A deployment with data, whose recovery points are copied to another region."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from local_aws import profile
from tests import sites
from tests.conftest import ROOT, LocalAws, deploy_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME, COPY = "copied", "copiedb"
HERE, THERE = "us-east-1", "us-west-2"
LOCK_DAYS = 1
PLAYBOOKS = ["preflight", "vpc", "s3", "iam", "secrets", "rds", "ec2", "mlflow"]
SETTINGS = {"recovery_copy_region": THERE, "recovery_copy_lock_days": str(LOCK_DAYS)}
# Services that answer in one region for all.
GLOBAL = ["budgets:*", "freetier:*", "iam:*", "sts:*"]


class There(LocalAws):
    """The same local AWS, seen in the other region."""

    def client(
        self,
        service: str,
        user: profile.User = profile.ADMINISTRATOR,
        region: str = THERE,
        signature_version: str | None = None,
        attempts: int = 3,
    ) -> Any:
        """Return a client of that region."""
        return super().client(service, user, region, signature_version, attempts)


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    """A local AWS whose deployer is allowed what the policies of both deployments allow."""
    for name in (NAME, COPY):
        shutil.rmtree(ROOT / ".deploy" / name, ignore_errors=True)
    found = LocalAws(ROOT / ".cache/copies", 5593, {"deployment": NAME, **SETTINGS})
    start = found.command("start")
    assert start.returncode == 0, start.stdout + start.stderr
    try:
        for name in (NAME, COPY):
            found.allow(name, deploy_policy(name))
        yield found
    finally:
        stop = found.command("stop")
        for name in (NAME, COPY):
            subprocess.run(["rm", "-rf", ROOT / ".deploy" / name], check=True)
    assert stop.returncode == 0, stop.stdout + stop.stderr


@pytest.fixture(scope="session")
def there(aws: LocalAws) -> LocalAws:
    """The region of the copies."""
    # With the settings of the deployment that is lost.
    variables = {"deployment": COPY, "restore_source": NAME, "aws_region": THERE, **SETTINGS}
    return There(aws.directory, aws.port, variables)


@pytest.fixture(scope="session")
def site(aws: LocalAws) -> sites.Site:
    """The deployment with the data of a team; without function and endpoint."""
    made = sites.Site(aws, NAME)
    for name in PLAYBOOKS:
        play = aws.play(f"playbooks/{name}.yml")
        assert play.returncode == 0, play.output
    sites.fill(made)
    # There is one bucket as yet.
    assert made.bucket
    return made


@pytest.fixture
def copy(there: LocalAws) -> sites.Site:
    """The deployment that is restored in the other region."""
    return sites.Site(there, COPY)


@contextmanager
def region_lost(aws: LocalAws) -> Iterator[None]:
    """Refuse every call of the deployer to the region of the deployment."""
    folder = aws.directory / "service-control-policies"
    folder.mkdir(exist_ok=True)
    file = folder / "lost.json"
    statement = {
        "Effect": "Deny",
        "NotAction": GLOBAL,
        "Resource": "*",
        "Condition": {
            "StringEquals": {"aws:RequestedRegion": HERE},
            "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/deployer"},
        },
    }
    file.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    try:
        yield
    finally:
        file.unlink()
