"""A server that signs addresses of S3, with limits that tests can reach."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from tests.postgres import running_cluster
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, basic, deployed_server

from .conftest import BUCKET, MIB, Store, environ_of
from .relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalAws

SECONDS = 120
UPLOAD_SECONDS = 240
MAX_BYTES = 12 * MIB
PASSWORD = "password-of-a-user"
API = "/api/2.0/mlflow-artifacts"


@dataclass(frozen=True)
class Presigning:
    """A server that signs addresses of S3.

    Attributes
    ----------
    mode
        Its mode.
    ca
        What vouches for S3.
    audit
        Its audit trail.
    """

    store: Store
    mode: str
    ca: str
    audit: Path
    directory: Path

    def ask(self, method: str, path: str, user: str = ADMIN, **options: Any) -> requests.Response:
        """Ask the server in a user's name; nobody's if it is empty."""
        password = ADMIN_PASSWORD if user == ADMIN else PASSWORD
        login = {"Authorization": basic(user, password)} if user else {}
        headers = {**login, **options.pop("headers", {})}
        address = self.store.address(path)
        return requests.request(method, address, headers=headers, timeout=30, **options)

    def create(self, name: str, parts: int = 1, user: str = ADMIN) -> requests.Response:
        """Begin an upload."""
        body = {"path": f"/home/user/{name}", "num_parts": parts}
        return self.ask("POST", f"{API}/mpu/create/{self.folder}", user, json=body)

    def complete(self, name: str, upload: str, etags: list[str]) -> requests.Response:
        """End an upload."""
        parts = [{"part_number": n + 1, "etag": etag, "url": ""} for n, etag in enumerate(etags)]
        body = {"path": name, "upload_id": upload, "parts": parts}
        return self.ask("POST", f"{API}/mpu/complete/{self.folder}", json=body)

    def send(self, url: str, body: bytes, **headers: str) -> requests.Response:
        """Send bytes to an address of S3."""
        return requests.put(url, data=body, headers=headers, verify=self.ca, timeout=30)

    def fetch(self, url: str) -> requests.Response:
        """Fetch bytes from an address of S3."""
        return requests.get(url, verify=self.ca, timeout=30)

    def address_of(self, name: str, user: str = ADMIN) -> requests.Response:
        """Ask for the address of a download."""
        return self.ask("GET", f"{API}/presigned/{self.store.path(name)}", user)

    @property
    def folder(self) -> str:
        """The folder of the run's artifacts."""
        return self.store.path("").rstrip("/")

    def uploads(self) -> list[str]:
        """Return the ids of the uploads in progress."""
        listed = self.store.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [upload["UploadId"] for upload in listed]

    def grant(self, user: str, experiment: str, permission: str) -> None:
        """Give a user a permission for an experiment."""
        body = {
            "username": user,
            "resource_type": "experiment",
            "resource_id": experiment,
            "permission": permission,
        }
        path = "/api/3.0/mlflow/users/permissions/grant"
        self.ask("POST", path, json=body).raise_for_status()

    def user(self, name: str, *, permission: str = "", read_only: bool = False) -> str:
        """Create a user, with a permission for the experiment 0."""
        name = f"{name}-{uuid.uuid4().hex[:8]}"
        body = {"username": name, "password": PASSWORD}
        self.ask("POST", "/api/2.0/mlflow/users/create", json=body).raise_for_status()
        if permission:
            self.grant(name, "0", permission)
        if read_only:
            with (self.directory / "read_only_users").open("a") as file:
                file.write(f"{name}\n")
        return name


@contextmanager
def presigning(aws: LocalAws, directory: Path, mode: str, **variables: Any) -> Iterator[Presigning]:
    """Run a server of a mode, with limits that tests can reach."""
    s3 = aws.client("s3")
    temporary = directory / "temporary"
    temporary.mkdir()
    with running_cluster() as cluster, Relay(aws.port) as relay:
        cluster.execute("CREATE DATABASE artifacts")
        with deployed_server(
            cluster,
            "artifacts",
            directory,
            environ_of(aws, relay, temporary),
            mlflow_artifacts_destination=f"s3://{BUCKET}/root",
            mlflow_aws_region="us-east-1",
            **{
                "mlflow_artifacts_presigned": mode,
                "mlflow_artifacts_presigned_seconds": SECONDS,
                "mlflow_artifacts_presigned_upload_seconds": UPLOAD_SECONDS,
                "mlflow_artifacts_presigned_max_size": "12M",
                **variables,
            },
        ) as server:
            made = server.session().post(
                f"{server.url}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}
            )
            run = made.json()["run"]["info"]["run_id"]
            store = Store(server, s3, temporary, relay, run)
            ca = str(aws.directory / "ca.pem")
            yield Presigning(store, mode, ca, directory / "audit.jsonl", directory)
