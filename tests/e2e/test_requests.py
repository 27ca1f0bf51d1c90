"""Requests as other programs send them, through the proxy, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import requests

from .conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Deployment

SEARCH = "2.0/mlflow/experiments/search"
BODY = {"max_results": 1, "filter": "name = 'Default'"}
WAYS = {
    "length": ("--data-binary", "@-"),
    # The default of .NET's client, and of every client that streams.
    "chunked": ("--upload-file", "-", "--request", "POST"),
    "expectation": ("--data-binary", "@-", "--header", "Expect: 100-continue"),
    "gzip": ("--data-binary", "@-", "--header", "Content-Encoding: gzip"),
    "gzip in chunks": ("--upload-file", "-", "-X", "POST", "--header", "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("way", WAYS)
def test_json_is_read_however_it_is_framed(
    deployment: Deployment, tmp_path: Path, way: str, version: str
) -> None:
    client = deployment.client_environment
    # The password is not an argument, because others see those.
    config = tmp_path / "curlrc"
    config.touch(0o600)
    login = f"{client['MLFLOW_TRACKING_USERNAME']}:{client['MLFLOW_TRACKING_PASSWORD']}"
    config.write_text(f'user = "{login}"\n')
    body = json.dumps(BODY).encode()
    done = subprocess.run(
        [
            *("curl", "--disable", "--silent", "--show-error", "--max-time", "30"),
            *("--config", config, "--cacert", client["MLFLOW_TRACKING_SERVER_CERT_PATH"]),
            *("--header", "Content-Type: application/json", f"--http{version}"),
            *("--write-out", "\n%{http_code} %{http_version}", *WAYS[way]),
            f"{client['MLFLOW_TRACKING_URI']}/api/{SEARCH}",
        ],
        input=gzip.compress(body) if way.startswith("gzip") else body,
        capture_output=True,
        check=True,
    )
    text, _, status = done.stdout.decode().rpartition("\n")
    assert status == f"200 {version}"
    answer = json.loads(text)
    assert [found["name"] for found in answer["experiments"]] == ["Default"]
    assert answer == deployment.ask("POST", SEARCH, json=BODY).json()


class _Interruption(Exception):  # noqa: N818 - it is what the client means to do
    pass


def test_interrupted_upload_leaves_no_parts_in_the_bucket(deployment: Deployment) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(32):
            yield bytes(1 << 20)
        raise _Interruption

    s3, needed = deployment.aws.client("s3"), "s3:AbortMultipartUpload"
    [bucket] = s3.list_buckets(Prefix=f"{NAME}-mlflow-")["Buckets"]
    with pytest.raises(_Interruption):
        deployment.ask("PUT", "2.0/mlflow-artifacts/artifacts/interrupted", data=body())

    deadline = time.monotonic() + 60
    while needed not in {need.action for need in deployment.aws.permissions}:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert not s3.list_multipart_uploads(Bucket=bucket["Name"]).get("Uploads")


def test_artifact_is_deleted_through_the_server(deployment: Deployment) -> None:
    artifact = "2.0/mlflow-artifacts/artifacts/deleted"
    deployment.ask("PUT", artifact, data=b"text").raise_for_status()
    before = deployment.ask("GET", artifact).status_code

    deleted = deployment.ask("DELETE", artifact)

    assert (before, deleted.status_code) == (200, 200)
    assert deployment.ask("GET", artifact).status_code == requests.codes.not_found
