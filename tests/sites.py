"""A deployment with data, seen from its operator and from its users."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg2
import requests
from psycopg2 import sql

from tests.conftest import ROOT, LocalAws

if TYPE_CHECKING:
    from collections.abc import Iterator

READER = ("reader", "a password of reader's")


@dataclass(frozen=True)
class Site:
    """The deployment, seen from its operator and from its users."""

    aws: LocalAws
    name: str

    @property
    def directory(self) -> str:
        """Keys and certificates."""
        return str(ROOT / ".deploy" / self.name)

    @cached_property
    def address(self) -> str:
        """The public address."""
        ours = [{"Name": "tag:Deployment", "Values": [self.name]}]
        (address,) = self.aws.client("ec2").describe_addresses(Filters=ours)["Addresses"]
        return str(address["PublicIp"])

    @cached_property
    def bucket(self) -> str:
        """Where the artifacts lie."""
        (bucket,) = self.aws.client("s3").list_buckets(Prefix=f"{self.name}-mlflow-")["Buckets"]
        return str(bucket["Name"])

    @cached_property
    def session(self) -> requests.Session:
        """A client of the administrator's."""
        session = requests.Session()
        # Authorities that the environment names would go before the given one.
        session.trust_env = False
        session.auth = ("admin", self.secret("mlflow-admin"))
        session.verify = f"{self.directory}/ca.pem"
        return session

    def secret(self, name: str) -> str:
        """A password of the deployment."""
        value = self.aws.client("secretsmanager").get_secret_value(SecretId=f"{self.name}/{name}")
        return str(value["SecretString"])

    def ssh(self, command: str) -> str:
        """Run a command on the host."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        result = subprocess.run(
            [
                "ssh",
                "-i",
                f"{self.directory}/id_ed25519",
                *options,
                f"admin@{self.address}",
                command,
            ],
            text=True,
            capture_output=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    @property
    def running(self) -> str:
        """The version that serves, which systemd says is up."""
        self.ssh("systemctl is-active mlflow")
        return self.ssh("basename $(readlink /opt/mlflow/current)").strip()

    def instances(self) -> list[dict[str, Any]]:
        """The deployment's database instances: two while one takes the place of the other."""
        found = self.aws.client("rds").describe_db_instances()["DBInstances"]
        name = f"{self.name}-mlflow"
        names = re.compile(rf"{name}(-replaced-.*)?")
        return [one for one in found if names.fullmatch(one["DBInstanceIdentifier"])]

    def snapshots(self) -> list[dict[str, Any]]:
        """The snapshots that were asked for, the newest first."""
        found = self.aws.client("rds").describe_db_snapshots(
            DBInstanceIdentifier=f"{self.name}-mlflow", SnapshotType="manual"
        )["DBSnapshots"]
        return sorted(found, key=lambda one: one["SnapshotCreateTime"], reverse=True)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Ask MLflow's API, as the administrator."""
        answer = self.session.request(
            method, f"https://{self.address}:5000/api/{path}", timeout=60, **arguments
        )
        assert answer.ok, answer.text
        return answer.json() if answer.content else {}

    def post(self, path: str, **body: Any) -> Any:
        """Change something, as the administrator."""
        return self.call("POST", f"2.0/mlflow/{path}", json=body)

    def get(self, path: str, **query: Any) -> Any:
        """Read something, as the administrator."""
        return self.call("GET", f"2.0/mlflow/{path}", params=query)

    def artifact(self, method: str, uri: str, path: str, **arguments: Any) -> bytes:
        """Put or get an artifact through the server."""
        folder = uri.removeprefix("mlflow-artifacts:/")
        answer = self.session.request(
            method,
            f"https://{self.address}:5000/api/2.0/mlflow-artifacts/artifacts/{folder}/{path}",
            timeout=60,
            **arguments,
        )
        assert answer.ok, answer.text
        return answer.content

    @contextlib.contextmanager
    def database(self) -> Iterator[Any]:
        """A cursor of MLflow's own role."""
        (instance,) = self.instances()
        connection = psycopg2.connect(
            host=self.aws.door(instance["Endpoint"]["Address"]),
            user="mlflow",
            password=self.secret("mlflow-database"),
            dbname="mlflow",
            sslmode="verify-full",
            sslrootcert=str(self.aws.directory / "rds-ca.pem"),
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def rows(self) -> dict[str, list[str]]:
        """Every row of every table, as text."""
        with self.database() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            found = {}
            for (table,) in sorted(cursor.fetchall()):
                name = sql.Identifier(table)
                cursor.execute(sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(name))
                found[table] = [text for (text,) in cursor.fetchall()]
        return found

    def artifacts(self) -> dict[str, str]:
        """Name and checksum of everything in the bucket."""
        pages = self.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}

    def answers(self) -> dict[str, Any]:
        """The API's answers about everything, in terms that all versions share."""
        everything = {"view_type": "ALL", "max_results": 1000}
        experiments = self.get("experiments/search", **everything)["experiments"]
        runs = self.post(
            "runs/search",
            experiment_ids=[one["experiment_id"] for one in experiments],
            run_view_type="ALL",
            max_results=1000,
        )["runs"]
        (league,) = (one["experiment_id"] for one in experiments if one["name"] == "league")
        models = self.get("registered-models/search", max_results=100)["registered_models"]
        versions = self.get("model-versions/search", max_results=100)["model_versions"]
        user = self.get("users/get", username=READER[0])["user"]
        return {
            "experiments": {
                one["experiment_id"]: [one["name"], one["lifecycle_stage"], tags(one)]
                for one in experiments
            },
            "runs": {one["info"]["run_id"]: self.answers_of(one) for one in runs},
            "models": {one["name"]: [tags(one), one.get("aliases")] for one in models},
            "versions": {
                (one["name"], one["version"]): [one["source"], one["run_id"], tags(one)]
                for one in versions
            },
            "user": [user["username"], user["is_admin"]],
            "permissions": sorted(
                [row["resource_type"], row["resource_pattern"], row["permission"]]
                for row in self.call(
                    "GET", "3.0/mlflow/users/permissions/list", params={"username": READER[0]}
                )["permissions"]
            ),
            "login": self.login(league),
        }

    def answers_of(self, run: dict[str, Any]) -> dict[str, Any]:
        """The API's answers about one run, down to the bytes of its artifacts."""
        info, data = run["info"], run["data"]
        return {
            "info": {
                key: info.get(key)
                for key in ("experiment_id", "run_name", "status", "start_time", "end_time")
            },
            "stage": info["lifecycle_stage"],
            "params": {one["key"]: one["value"] for one in data.get("params", [])},
            "tags": tags(data),
            "metrics": {
                one["key"]: [
                    (point["step"], point["timestamp"], point["value"])
                    for point in self.get(
                        "metrics/get-history", run_id=info["run_id"], metric_key=one["key"]
                    )["metrics"]
                ]
                for one in data.get("metrics", [])
            },
            "artifacts": {
                one["path"]: hashlib.sha256(
                    self.artifact("GET", info["artifact_uri"], one["path"])
                ).hexdigest()
                for one in self.get("artifacts/list", run_id=info["run_id"]).get("files", [])
            },
        }

    def login(self, experiment: str) -> int:
        """What the reader's password is good for."""
        return requests.get(
            f"https://{self.address}:5000/api/2.0/mlflow/experiments/get",
            params={"experiment_id": experiment},
            auth=READER,
            verify=f"{self.directory}/ca.pem",
            timeout=60,
        ).status_code


def tags(entity: dict[str, Any]) -> dict[str, str]:
    """The tags of anything."""
    return {one["key"]: one["value"] for one in entity.get("tags", [])}


def fill(site: Site) -> None:
    """Log what a team logs."""
    uris = []
    for name in ("league", "cup", "gone"):
        experiment = site.post(
            "experiments/create", name=name, tags=[{"key": "sport", "value": name}]
        )["experiment_id"]
        for number in range(3):
            run = site.post(
                "runs/create", experiment_id=experiment, run_name=f"{name} {number}", start_time=1
            )["run"]["info"]
            site.post(
                "runs/log-batch",
                run_id=run["run_id"],
                params=[{"key": "depth", "value": str(number)}, {"key": "ñ", "value": "≤"}],
                metrics=[
                    {"key": "loss", "value": 1 / (step + 3), "timestamp": step, "step": step}
                    for step in range(number + 1)
                ],
                tags=[{"key": "number", "value": str(number)}],
            )
            site.artifact("PUT", run["artifact_uri"], "model.bin", data=os.urandom(2048))
            site.post("runs/update", run_id=run["run_id"], status="FINISHED", end_time=2)
            uris.append((run["run_id"], run["artifact_uri"]))
    site.post("runs/delete", run_id=uris[1][0])
    site.post("experiments/delete", experiment_id=experiment)
    site.post("registered-models/create", name="winner", tags=[{"key": "a", "value": "b"}])
    for run_id, uri in uris[:2]:
        site.post("model-versions/create", name="winner", source=f"{uri}/model.bin", run_id=run_id)
    site.post("registered-models/alias", name="winner", alias="champion", version="1")
    site.post("users/create", username=READER[0], password=READER[1])
    league = site.get("experiments/get-by-name", experiment_name="league")["experiment"]
    for kind, resource, permission in (
        ("experiment", league["experiment_id"], "EDIT"),
        ("registered_model", "winner", "MANAGE"),
    ):
        site.call(
            "POST",
            "3.0/mlflow/users/permissions/grant",
            json={
                "username": READER[0],
                "resource_type": kind,
                "resource_id": resource,
                "permission": permission,
            },
        )
