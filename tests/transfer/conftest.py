"""Other MLflows, and deployments without runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from local_aws import profile
from tests import other_mlflow, sites
from tests.conftest import ROOT, LocalAws, deploy_policy
from tests.postgres import running_cluster
from tests.tracking_server import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAYBOOKS = ["preflight", "vpc", "s3", "iam", "secrets", "rds", "ec2", "mlflow"]
BUCKET = "former-artifacts"


@dataclass(frozen=True)
class Other:
    """What is brought to this machine of another MLflow, as docs/import.md says.

    Attributes
    ----------
    folder
        It has mlflow.db and mlruns.
    root
        Where its artifacts were, as its database names it.
    """

    folder: Path
    root: str


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    """Local AWS for all deployments of this suite."""
    found = LocalAws(ROOT / ".cache/transfer", 5598)
    start = found.command("start")
    assert start.returncode == 0, start.stdout + start.stderr
    try:
        yield found
    finally:
        stop = found.command("stop")
    assert stop.returncode == 0, stop.stdout + stop.stderr


@contextmanager
def deployed(aws: LocalAws, name: str) -> Iterator[sites.Site]:
    """Create a deployment without runs, function and endpoint."""
    shutil.rmtree(ROOT / ".deploy" / name, ignore_errors=True)
    ours = replace(aws, variables={"deployment": name})
    ours.allow(name, deploy_policy(name))
    try:
        for playbook in PLAYBOOKS:
            play = ours.play(f"playbooks/{playbook}.yml")
            assert play.returncode == 0, play.output
        yield sites.Site(ours, name)
    finally:
        subprocess.run(["rm", "-rf", ROOT / ".deploy" / name], check=True)


@pytest.fixture(scope="module")
def site(aws: LocalAws, request: pytest.FixtureRequest) -> Iterator[sites.Site]:
    """A deployment of each module's own."""
    with deployed(aws, request.module.DEPLOYMENT) as created:
        yield created


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Other:
    """An MLflow of the oldest release: a file of SQLite and a folder."""
    folder = tmp_path_factory.mktemp("other")
    other_mlflow.fill(folder, VERSIONS[0])
    return Other(folder, f"{folder}/mlruns")


@pytest.fixture(scope="session")
def former(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Other:
    """A server of MLflow 2 with PostgreSQL and a bucket, as the project's predecessor had."""
    folder = tmp_path_factory.mktemp("former")
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    root = f"s3://{BUCKET}/mlflow"
    with running_cluster() as cluster:
        cluster.execute("CREATE DATABASE mlflow_db")
        address = cluster.url("mlflow_db")
        environ = environment_of_s3(aws)
        # Clients of such a server write to the bucket themselves.
        artifacts = ("--no-serve-artifacts", f"--default-artifact-root={root}")
        with other_mlflow.serving(address, artifacts, folder, other_mlflow.OLD, **environ) as url:
            other_mlflow.log(url, folder, other_mlflow.OLD, **environ)
        subprocess.run(
            [
                other_mlflow.python(other_mlflow.OLD),
                ROOT / "server/mlflow_host/transfer/sqlite_copy.py",
                folder / "mlflow.db",
            ],
            env=os.environ | {"MLFLOW_BACKEND_STORE_URI": address},
            check=True,
        )
    # As `aws s3 sync` does.
    for key in keys(s3):
        file = folder / "mlruns" / key.removeprefix("mlflow/")
        file.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(BUCKET, key, str(file))
    return Other(folder, root)


def keys(s3: Any) -> list[str]:
    """Return the keys of all objects of the former server."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


def environment_of_s3(aws: LocalAws) -> dict[str, str]:
    """Return what a client of S3 needs to find local AWS."""
    return {
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{aws.port}",
        "MLFLOW_S3_ENDPOINT_URL": f"https://127.0.0.1:{aws.port}",
        "AWS_CA_BUNDLE": str(aws.directory / "ca.pem"),
        "AWS_ACCESS_KEY_ID": profile.ADMINISTRATOR.access_key,
        "AWS_SECRET_ACCESS_KEY": profile.ADMINISTRATOR.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
