"""Presigned transfers: bytes of artifacts pass by the server, which decides who may have them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.tracking_server import ADMIN, ADMIN_PASSWORD, VERSION
from tests.waiting import eventually

from .conftest import BUCKET, MIB
from .presigning import (
    API,
    MAX_BYTES,
    SECONDS,
    UPLOAD_SECONDS,
    Presigning,
    presigning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalAws

MODES = ("on", "only")
S3_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture(scope="module", params=MODES)
def server(
    aws: LocalAws,
    bucket: str,  # noqa: ARG001  it has to exist
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Presigning]:
    directory = tmp_path_factory.mktemp(f"presigned-{request.param}")
    with presigning(aws, directory, request.param) as found:
        yield found


def code_of(answer: requests.Response) -> str:
    """Return the code of an error of S3's."""
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


def test_server_info_offers_presigned_transfers(server: Presigning) -> None:
    info = server.ask("GET", "/api/3.0/mlflow/server-info").json()

    assert info["multipart_uploads_enabled"] is True
    assert info["multipart_downloads_enabled"] is True


def test_upload_in_parts_makes_the_object(server: Presigning) -> None:
    created = server.create("two parts.png", 2).json()
    first, second = (one["url"] for one in created["credentials"])
    pieces = [b"a" * (5 * MIB), b"b" * 1000]

    etags = [
        server.send(url, piece).headers["ETag"]
        for url, piece in zip((first, second), pieces, strict=True)
    ]
    answer = server.complete("two parts.png", created["upload_id"], etags)

    assert answer.status_code == 200, answer.text
    key = server.store.key("two parts.png")
    found = server.store.s3.get_object(Bucket=BUCKET, Key=key)
    assert found["Body"].read() == b"".join(pieces)
    assert found["ContentType"] == "image/png"
    assert created["upload_id"] not in server.uploads()


def test_download_address_gives_the_object_as_a_file(server: Presigning) -> None:
    name = server.store.keep("ünïcødé & b.txt", b"content")

    answer = server.address_of(name)

    assert answer.status_code == 200, answer.text
    assert answer.json()["headers"] == {}
    assert answer.json()["file_size"] == len(b"content")
    fetched = server.fetch(answer.json()["url"])
    assert (fetched.status_code, fetched.content) == (200, b"content")
    assert fetched.headers["Content-Disposition"].startswith("attachment")


def test_download_address_of_missing_artifact_is_not_found(server: Presigning) -> None:
    answer = server.address_of("missing")

    assert answer.status_code == 404
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_addresses_have_short_lives_and_no_more(server: Presigning) -> None:
    name = server.store.keep("times", b"x")

    download = server.address_of(name).json()["url"]
    created = server.create("times up").json()

    def seconds(url: str) -> int:
        return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])

    assert seconds(download) == SECONDS
    assert [seconds(one["url"]) for one in created["credentials"]] == [UPLOAD_SECONDS]


@pytest.mark.parametrize("change", ["bucket", "key", "upload", "part", "expires", "signature"])
def test_changed_address_is_refused_by_s3(server: Presigning, change: str) -> None:
    server.store.keep("other", b"other")
    created = server.create("changed").json()
    url = created["credentials"][0]["url"]
    changed = {
        "bucket": url.replace(f"/{BUCKET}/", "/other-bucket/"),
        "key": url.replace("/changed?", "/other?"),
        "upload": url.replace(created["upload_id"], created["upload_id"][::-1]),
        "part": url.replace("partNumber=1&", "partNumber=2&"),
        "expires": url.replace(f"Expires={UPLOAD_SECONDS}", "Expires=604800"),
        "signature": f"{url[:-4]}0000",
    }[change]
    assert changed != url

    answer = server.send(changed, b"x")

    assert (answer.status_code, code_of(answer)) == (403, "SignatureDoesNotMatch")


def test_download_address_allows_no_other_method(server: Presigning) -> None:
    url = server.address_of(server.store.keep("read", b"read")).json()["url"]

    assert server.send(url, b"written").status_code == 403
    assert requests.delete(url, verify=server.ca, timeout=30).status_code == 403
    assert server.fetch(url).content == b"read"


def test_expired_address_is_refused_by_s3(aws: LocalAws, bucket: str, tmp_path: Path) -> None:
    assert bucket
    with presigning(aws, tmp_path, "on", mlflow_artifacts_presigned_seconds=2) as server:
        name = server.store.keep("expires", b"x")
        url = server.address_of(name).json()["url"]
        assert server.fetch(url).status_code == 200
        time.sleep(3)

        answer = server.fetch(url)

    assert (answer.status_code, code_of(answer)) == (403, "AccessDenied")
    assert "Request has expired" in answer.text


def test_single_part_is_the_whole_file_where_s3_limits_its_size(
    aws: LocalAws, bucket: str, tmp_path: Path
) -> None:
    assert bucket
    with presigning(aws, tmp_path, "only", mlflow_artifacts_presigned_max_size="5G") as server:
        before = server.uploads()
        created = server.create("whole.txt").json()
        [part] = created["credentials"]
        sent = server.send(part["url"], b"whole", **part["headers"])
        completed = server.complete("whole.txt", created["upload_id"], [sent.headers["ETag"]])
        again = server.create("failed.txt").json()
        body = {"path": "failed.txt", "upload_id": again["upload_id"]}
        aborted = server.ask("POST", f"{API}/mpu/abort/{server.folder}", json=body)

        assert (sent.status_code, completed.status_code, aborted.status_code) == (200, 200, 200)
        assert f"X-Amz-Expires={SECONDS}&" in part["url"]
        found = server.store.s3.get_object(Bucket=BUCKET, Key=server.store.key("whole.txt"))
        assert (found["Body"].read(), found["ContentType"]) == (b"whole", "text/plain")
        assert server.uploads() == before
        assert server.address_of("failed.txt").status_code == 404
        assert "uploadId" in server.create("two.bin", 2).text


# Who asks, and what about: nobody, a user without and with permissions, one who may only read.


@pytest.mark.parametrize(
    ("permission", "read_only", "down", "up"),
    [
        ("DENY", False, 403, 403),
        ("READ", False, 200, 403),
        ("EDIT", False, 200, 200),
        ("EDIT", True, 200, 403),
    ],
)
def test_permission_decides_who_gets_an_address(
    server: Presigning, permission: str, down: int, up: int, *, read_only: bool
) -> None:
    user = server.user("someone", permission=permission, read_only=read_only)
    name = server.store.keep("permitted", b"x")
    before = server.uploads()

    download, upload = server.address_of(name, user), server.create("permitted up", user=user)

    assert (download.status_code, upload.status_code) == (down, up)
    for answer in (download, upload):
        assert ("X-Amz-Signature" in answer.text) is (answer.status_code == 200)
    assert len(server.uploads()) - len(before) == (up == 200)


def test_stranger_gets_no_address(server: Presigning) -> None:
    server.store.keep("mine", b"x")

    for user in ("", "nobody-here"):
        for answer in (server.address_of("mine", user), server.create("mine", user=user)):
            assert answer.status_code == 401
            assert "X-Amz-" not in answer.text


@pytest.mark.parametrize("step", ["complete", "abort"])
def test_upload_of_another_is_left_alone_by_reader(server: Presigning, step: str) -> None:
    reader = server.user("reader", permission="READ")
    created = server.create("of another").json()
    etag = server.send(created["credentials"][0]["url"], b"x").headers["ETag"]
    parts = [{"part_number": 1, "etag": etag, "url": ""}]
    body = {"path": "of another", "upload_id": created["upload_id"], "parts": parts}

    answer = server.ask("POST", f"{API}/mpu/{step}/{server.folder}", reader, json=body)

    assert answer.status_code == 403
    assert created["upload_id"] in server.uploads()


@pytest.mark.parametrize(
    "path",
    [
        "%2e%2e/%2e%2e/secret",
        "0/%2e%2e/%2e%2e/secret",
        "0/%252e%252e/%252e%252e/secret",
        "/etc/passwd",
        "s3://other-bucket/secret",
        "0/run/artifacts/a%0ab",
    ],
)
def test_path_that_leaves_the_artifacts_gets_no_address(server: Presigning, path: str) -> None:
    server.store.s3.put_object(Bucket=BUCKET, Key="secret", Body=b"secret")

    def ask(method: str, url: str, body: Any = None) -> requests.Response:
        request = requests.Request(
            method,
            url,
            headers={"Authorization": server.store.server.authorization},
            json=body,
        ).prepare()
        # requests would resolve the dots.
        request.url = url
        return requests.Session().send(request, timeout=30)

    down = ask("GET", server.store.address(f"{API}/presigned/{path}"))
    up = ask("POST", server.store.address(f"{API}/mpu/create/{path}"), {"path": "x"})

    for answer in (down, up):
        if "X-Amz-" in answer.text:
            # A name like any other, below the artifacts of this server.
            url = answer.json().get("url") or answer.json()["credentials"][0]["url"]
            assert urlsplit(url).path.startswith(f"/{BUCKET}/root/")
            assert ".." not in urlsplit(url).path
        else:
            assert answer.status_code in {400, 404}, answer.text


@pytest.mark.parametrize("name", ["..", ".", "", "a/..", "a\nb", "a\x00b"])
def test_upload_with_name_that_is_no_name_is_refused(server: Presigning, name: str) -> None:
    before = server.uploads()

    answer = server.create(name)

    assert answer.status_code == 400, answer.text
    assert server.uploads() == before


def test_upload_of_one_key_completes_no_other(server: Presigning) -> None:
    created = server.create("one").json()
    etag = server.send(created["credentials"][0]["url"], b"x").headers["ETag"]

    answer = server.complete("another", created["upload_id"], [etag])

    assert answer.status_code == 404, answer.text
    assert server.address_of("another").status_code == 404
    assert server.address_of("one").status_code == 404


@pytest.mark.parametrize("parts", [0, -1, 4, 10_001])
def test_upload_in_invalid_number_of_parts_is_refused(server: Presigning, parts: int) -> None:
    # Three parts of 5 MiB and one byte exceed the limit of 12 MiB.
    before = server.uploads()

    answer = server.create("parts", parts)

    assert answer.status_code == 400
    assert server.uploads() == before


def test_upload_that_is_too_large_is_deleted(server: Presigning) -> None:
    created = server.create("large", 2).json()
    etags = [
        server.send(one["url"], b"a" * (7 * MIB)).headers["ETag"] for one in created["credentials"]
    ]

    answer = server.complete("large", created["upload_id"], etags)

    assert answer.status_code == 400
    assert "mlflow_artifacts_presigned_max_size" in answer.json()["message"]
    assert created["upload_id"] not in server.uploads()
    assert server.address_of("large").status_code == 404


def test_upload_at_the_limit_is_kept(server: Presigning) -> None:
    created = server.create("full", 2).json()
    etags = [
        server.send(one["url"], b"a" * (MAX_BYTES // 2)).headers["ETag"]
        for one in created["credentials"]
    ]

    assert server.complete("full", created["upload_id"], etags).status_code == 200


def test_part_that_was_replaced_is_not_completed(server: Presigning) -> None:
    created = server.create("replaced").json()
    url = created["credentials"][0]["url"]
    etag = server.send(url, b"small").headers["ETag"]
    server.send(url, b"a" * (13 * MIB))

    answer = server.complete("replaced", created["upload_id"], [etag])

    assert answer.status_code == 400
    assert "part 1 is not a valid part" in answer.json()["message"]


def test_aborted_upload_leaves_nothing(server: Presigning) -> None:
    created = server.create("aborted").json()
    server.send(created["credentials"][0]["url"], b"x")
    body = {"path": "aborted", "upload_id": created["upload_id"]}

    answer = server.ask("POST", f"{API}/mpu/abort/{server.folder}", json=body)

    assert answer.status_code == 200
    assert created["upload_id"] not in server.uploads()
    assert server.send(created["credentials"][0]["url"], b"x").status_code == 404


# Runs whose artifacts are in S3 by name, and whole files.


@pytest.fixture
def direct_run(server: Presigning) -> str:
    """A run with a location in the bucket, as MLflow's other routes for addresses need."""
    experiment = server.store.call(
        "/api/2.0/mlflow/experiments/create",
        {"name": uuid.uuid4().hex, "artifact_location": f"s3://{BUCKET}/root/{uuid.uuid4().hex}"},
    )
    made = server.store.call(
        "/api/2.0/mlflow/runs/create", {"experiment_id": experiment["experiment_id"]}
    )
    run: str = made["run"]["info"]["run_id"]
    return run


def presign(server: Presigning, way: str, body: dict[str, Any], **options: Any) -> Any:
    path = f"/api/2.0/mlflow/artifacts/presigned-{way}-url"
    return server.ask("POST", path, json={"path": "file.txt", **body}, **options)


def test_whole_file_has_the_size_that_was_stated(server: Presigning, direct_run: str) -> None:
    answer = presign(
        server, "upload", {"run_id": direct_run}, headers={"X-Mlflow-Artifact-Size": "5"}
    )

    assert answer.status_code == 200, answer.text
    url, headers = answer.json()["presigned_url"], answer.json()["headers"]
    assert headers == {"Content-Type": "text/plain", "Content-Length": "5"}
    kind = {"Content-Type": "text/plain"}
    longer = server.send(url, b"123456", **kind)
    assert (longer.status_code, code_of(longer)) == (403, "SignatureDoesNotMatch")
    assert server.send(url, b"12345", **kind).status_code == 200
    fetched = server.fetch(
        presign(server, "download", {"run_id": direct_run}).json()["presigned_url"]
    )
    assert fetched.content == b"12345"


@pytest.mark.parametrize("size", ["", str(MAX_BYTES + 1), "-1", "many"])
def test_whole_file_of_invalid_size_gets_no_address(
    server: Presigning, direct_run: str, size: str
) -> None:
    answer = presign(
        server, "upload", {"run_id": direct_run}, headers={"X-Mlflow-Artifact-Size": size}
    )

    assert answer.status_code == 400
    assert "X-Amz-" not in answer.text


@pytest.mark.parametrize("way", ["upload", "download"])
def test_client_cannot_lengthen_the_life_of_an_address(
    server: Presigning, direct_run: str, way: str
) -> None:
    stated = {"X-Mlflow-Artifact-Size": "5"}
    headers = {**stated, "Content-Type": "text/plain"}
    url = presign(server, "upload", {"run_id": direct_run}, headers=stated).json()["presigned_url"]
    server.send(url, b"12345", **{"Content-Type": headers["Content-Type"]}).raise_for_status()

    answer = presign(
        server, way, {"run_id": direct_run, "expiration": 604_800}, headers=stated
    ).json()

    assert f"X-Amz-Expires={SECONDS}&" in answer["presigned_url"]


@pytest.mark.parametrize("way", ["upload", "download"])
def test_address_for_run_of_another_is_refused(
    server: Presigning, direct_run: str, way: str
) -> None:
    user = server.user("other")
    experiment = server.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={direct_run}").json()["run"][
        "info"
    ]["experiment_id"]
    server.grant(user, experiment, "DENY")

    assert presign(server, way, {"run_id": direct_run}, user=user).status_code == 403


def test_location_in_foreign_bucket_is_refused(server: Presigning) -> None:
    answer = server.ask(
        "POST",
        "/api/2.0/mlflow/experiments/create",
        json={"name": uuid.uuid4().hex, "artifact_location": "s3://other-bucket/x"},
    )

    assert answer.status_code == 400
    assert "mlflow_allowed_artifact_locations" in answer.json()["message"]


# The audit trail.


def records(server: Presigning) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.audit.read_text().splitlines()]


def test_audit_trail_names_presigned_transfers(server: Presigning) -> None:
    user = server.user("audited", permission="EDIT")
    name = server.store.keep("audited", b"x")
    started = datetime.now(UTC).isoformat(timespec="milliseconds")

    server.address_of(name, user).raise_for_status()
    created = server.create("audited up", user=user).json()
    server.ask(
        "POST",
        f"{API}/mpu/abort/{server.folder}",
        user,
        json={"path": "audited up", "upload_id": created["upload_id"]},
    ).raise_for_status()
    server.address_of(name, server.user("curious", permission="DENY"))

    def recorded() -> list[tuple[str, str, str | None]]:
        return [
            (one["action"], one["result"], one["objects"].get("artifact_path"))
            for one in records(server)
            if one["time"] >= started and "mlflow-artifacts" in one["path"]
        ]

    # A record is written after its answer.
    assert eventually(lambda: len(recorded()) >= 4, pause=0.1)
    assert sorted(recorded()) == sorted(
        [
            ("get_presigned_download_url", "done", f"{server.folder}/audited"),
            ("create_multipart_upload_artifact", "done", server.folder),
            ("abort_multipart_upload_artifact", "done", server.folder),
            ("get_presigned_download_url", "denied", f"{server.folder}/audited"),
        ]
    )
    assert "X-Amz-" not in server.audit.read_text()


# What passes through the server, by mode.


@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
def test_server_streams_unless_only_presigned(server: Presigning, prefix: str) -> None:
    path = f"{prefix}/2.0/mlflow-artifacts/artifacts/{server.store.path('through')}"
    server.store.keep("through", b"old")

    up = server.ask("PUT", path, data=b"new")
    down = server.ask("GET", path)

    if server.mode == "on":
        assert (up.status_code, down.status_code, down.content) == (200, 200, b"new")
        return
    assert (up.status_code, down.status_code) == (403, 403)
    assert up.json()["error_code"] == "PERMISSION_DENIED"
    assert "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=1" in up.json()["message"]
    assert "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD" in down.json()["message"]
    found = server.store.s3.get_object(Bucket=BUCKET, Key=server.store.key("through"))
    assert found["Body"].read() == b"old"


def test_streaming_is_refused_only_after_the_login(server: Presigning) -> None:
    path = f"{API}/artifacts/{server.store.path('through')}"

    assert server.ask("GET", path, "").status_code == 401
    assert server.ask("PUT", path, "", data=b"x").status_code == 401


def test_listing_deleting_and_fields_work_in_each_mode(server: Presigning) -> None:
    name = server.store.keep("listed", b"12345")
    path = f"{API}/artifacts/{server.store.path(name)}"

    listed = server.ask("GET", f"{API}/artifacts", params={"path": server.folder}).json()["files"]
    head = server.ask("HEAD", path)
    deleted = server.ask("DELETE", path)

    assert {"path": "listed", "is_dir": False, "file_size": 5} in listed
    assert (head.status_code, head.headers["Content-Length"]) == (200, "5")
    assert deleted.status_code == 200
    assert server.address_of(name).status_code == 404


def test_pages_show_small_artifacts_in_each_mode(server: Presigning) -> None:
    server.store.keep("shown", b"a" * (10 * MIB))
    server.store.keep("too large to show", b"a" * (10 * MIB + 1))

    def show(name: str, **headers: str) -> requests.Response:
        path = f"/get-artifact?run_id={server.store.run}&path={name}"
        return server.ask("GET", path, headers=headers)

    assert show("shown").status_code == 200
    for answer in (show("too large to show"), show("too large to show", Range="bytes=0-0")):
        if server.mode == "on":
            assert answer.status_code in {200, 206}
        else:
            assert answer.status_code == 403
            assert "10 MiB" in answer.json()["message"]
    assert server.ask(
        "POST",
        "/ajax-api/2.0/mlflow/upload-artifact",
        params={"run_uuid": server.store.run, "path": "from the page"},
        data=b"small",
    ).ok


# MLflow's own client.

PROGRAM = """
import mlflow, pathlib, sys
client = mlflow.MlflowClient()
sent = pathlib.Path("sent")
(sent / "deep").mkdir(parents=True)
(sent / "a.bin").write_bytes(b"a" * 6000000)
(sent / "deep/b.txt").write_text("b")
(sent / "deep/empty").touch()
client.log_artifacts(sys.argv[1], "sent", "by client")
found = pathlib.Path(client.download_artifacts(sys.argv[1], "by client", "."))
for path in ("a.bin", "deep/b.txt", "deep/empty"):
    assert (found / path).read_bytes() == (sent / path).read_bytes(), path
"""


def run_client(server: Presigning, folder: Path, **environ: str) -> Any:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, server.store.run],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MLFLOW_TRACKING_URI": server.store.server.url,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
            "REQUESTS_CA_BUNDLE": server.ca,
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_client_exchanges_all_bytes_with_s3(server: Presigning, tmp_path: Path) -> None:
    before = server.uploads()

    done = run_client(server, tmp_path, MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE="1")

    assert done.returncode == 0, done.stderr
    assert server.uploads() == before


def test_client_with_defaults_is_told_the_cure_by_only(server: Presigning, tmp_path: Path) -> None:
    done = run_client(server, tmp_path)

    assert done.returncode == (server.mode == "only"), done.stderr
    if server.mode == "only":
        assert "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=1" in done.stderr


def test_version_of_these_tests_is_the_default() -> None:
    """Servers of older releases do not start with presigned transfers (test_fences.py)."""
    assert VERSION
