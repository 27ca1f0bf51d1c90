"""Every route of the release that carries an artifact's bytes: it streams, or it is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.tracking_server import ADMIN, ADMIN_PASSWORD, VERSION
from tests.tracking_server.routes import routes_that_call

from .conftest import BUCKET, MIB, Watch, content

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Store

SIZE = 64 * MIB
# By which bytes of artifacts are read or written.
PRIMITIVES = {
    *("send_file", "send_from_directory", "wrap_file", "FileResponse", "TemporaryDirectory"),
    *("NamedTemporaryFile", "mkdtemp", "mkstemp", "log_artifact", "log_artifacts"),
    *("log_artifact_from_stream", "log_artifact_from_async_stream", "download_artifacts"),
    *("create_multipart_upload", "complete_multipart_upload", "abort_multipart_upload"),
    *("get_download_presigned_url", "create_presigned_upload_url"),
}
PREFIXES = ("/api", "/ajax-api")
# They serve the user interface itself, from the host's disk.
INTERFACE = {"/", "/static-files/<path:path>"}
UPLOADS = {
    "/ajax-api/2.0/mlflow/upload-artifact",
    *(f"{prefix}/2.0/mlflow-artifacts/artifacts/{{artifact_path:path}}" for prefix in PREFIXES),
}
REFUSED = {
    **{
        f"{prefix}/2.0/mlflow-artifacts/{way}/<path:artifact_path>": method
        for prefix in PREFIXES
        for way, method in (
            ("mpu/create", "POST"),
            ("mpu/complete", "POST"),
            ("mpu/abort", "POST"),
            ("presigned", "GET"),
        )
    },
    **{
        f"{prefix}/2.0/mlflow/artifacts/presigned-{way}-url": "POST"
        for prefix in PREFIXES
        for way in ("upload", "download")
    },
}
DOWNLOADS = (
    "/api/2.0/mlflow-artifacts/artifacts/<path:artifact_path>",
    "/ajax-api/2.0/mlflow-artifacts/artifacts/<path:artifact_path>",
    "/get-artifact",
    "/model-versions/get-artifact",
    "/ajax-api/2.0/mlflow/logged-models/<model_id>/artifacts/files",
    "/ajax-api/2.0/mlflow/get-trace-artifact",
    "/ajax-api/3.0/mlflow/get-trace-artifact",
)


@dataclass(frozen=True)
class Places:
    """One artifact, in every place from which a route reads."""

    run: str
    model: str
    trace: str
    name: str

    def path(self, route: str, name: str = "") -> str:
        """Return what to ask of a route for the artifact, or for another of the same folder."""
        name = name or self.name
        return {
            "/get-artifact": f"/get-artifact?run_id={self.run}&path={name}",
            "/model-versions/get-artifact": (
                f"/model-versions/get-artifact?name=places&version=1&path={name}"
            ),
            "/ajax-api/2.0/mlflow/logged-models/<model_id>/artifacts/files": (
                f"/ajax-api/2.0/mlflow/logged-models/{self.model}/artifacts/files"
                f"?artifact_file_path={name}"
            ),
        }.get(route) or route.replace(
            "<path:artifact_path>", f"0/{self.run}/artifacts/{name}"
        ).replace("get-trace-artifact", f"get-trace-artifact?request_id={self.trace}&path={name}")


@pytest.fixture(scope="module")
def places(store: Store) -> Iterator[Places]:
    # Attachments of traces have such names, and no others.
    name = str(uuid.uuid4())
    model = store.call("/api/2.0/mlflow/logged-models", {"experiment_id": "0"})
    trace = store.call(
        "/api/3.0/mlflow/traces",
        {
            "trace": {
                "trace_info": {
                    "trace_id": f"tr-{uuid.uuid4().hex}",
                    "trace_location": {
                        "type": "MLFLOW_EXPERIMENT",
                        "mlflow_experiment": {"experiment_id": "0"},
                    },
                    "request_time": "2026-11-01T00:00:00Z",
                    "state": "OK",
                }
            }
        },
    )["trace"]["trace_info"]
    found = Places(store.run, model["model"]["info"]["model_id"], trace["trace_id"], name)
    store.call("/api/2.0/mlflow/registered-models/create", {"name": "places"})
    source = f"mlflow-artifacts:/0/{store.run}/artifacts"
    store.call(
        "/api/2.0/mlflow/model-versions/create",
        {"name": "places", "source": source, "run_id": store.run},
    )
    store.keep(name, b"".join(content(SIZE)))
    for folder in (
        model["model"]["info"]["artifact_uri"],
        f"{trace['tags']['mlflow.artifactLocation']}/attachments",
    ):
        store.s3.copy_object(
            Bucket=BUCKET,
            Key=f"root/{folder.partition(':/')[2].lstrip('/')}/{name}",
            CopySource={"Bucket": BUCKET, "Key": store.key(name)},
        )
    yield found
    store.s3.delete_object(Bucket=BUCKET, Key=store.key(name))


@pytest.fixture(scope="module")
def byte_routes(version: str) -> set[str]:
    return routes_that_call(PRIMITIVES, version)


def test_byte_routes_of_release_are_all_tested_here(byte_routes: set[str], version: str) -> None:
    known = {*DOWNLOADS, *UPLOADS, *REFUSED, *INTERFACE}

    assert byte_routes <= known
    if version == VERSION:
        # The list above is that of the newest release; earlier ones have fewer.
        assert byte_routes == known


@pytest.mark.parametrize("route", DOWNLOADS)
def test_download_streams_without_file(store: Store, places: Places, route: str) -> None:
    before = store.temporary.stat().st_mtime_ns
    size = 0

    with (
        Watch(store) as watch,
        store.server.session().get(
            store.address(places.path(route)), stream=True, timeout=60
        ) as answer,
    ):
        for piece in answer.iter_content(MIB):
            size += len(piece)

    assert (answer.status_code, size) == (200, SIZE)
    assert watch.memory < 40 * MIB
    # Whatever is made in a folder changes its time, however soon it is gone.
    assert store.temporary.stat().st_mtime_ns == before
    fields = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename={places.name}",
        "Content-Length": str(SIZE),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Accept-Ranges": "bytes",
    }
    assert fields.items() <= answer.headers.items()


@pytest.mark.parametrize("route", DOWNLOADS)
def test_head_sends_fields_and_reads_nothing(store: Store, places: Places, route: str) -> None:
    received, before = store.relay.received, store.temporary.stat().st_mtime_ns

    answer = store.ask("HEAD", places.path(route))
    with store.server.session().get(
        store.address(places.path(route)), headers={"Range": "bytes=0-0"}
    ) as one:
        fields = one.headers
        fields["Content-Length"] = str(SIZE)

    assert (answer.status_code, answer.content) == (200, b"")
    assert store.relay.received - received < MIB
    assert store.temporary.stat().st_mtime_ns == before
    for name in ("Content-Type", "Content-Disposition", "Content-Length", "ETag", "Last-Modified"):
        assert answer.headers[name] == fields[name]


@pytest.mark.parametrize("route", DOWNLOADS)
def test_range_reads_only_the_range(store: Store, places: Places, route: str) -> None:
    received = store.relay.received

    answer = store.ask("GET", places.path(route), Range=f"bytes={SIZE - 5}-")

    assert answer.status_code == 206
    assert answer.content == b"".join(content(SIZE))[-5:]
    assert answer.headers["Content-Range"] == f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}"
    assert store.relay.received - received < MIB


@pytest.mark.parametrize("route", DOWNLOADS)
def test_missing_artifact_is_not_found(store: Store, places: Places, route: str) -> None:
    missing = str(uuid.uuid4())

    answer = store.ask("GET", places.path(route, missing))

    if "trace" in route:
        # MLflow gives no other answer for a missing attachment.
        assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
    else:
        assert answer.status_code == 404
        assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
        assert answer.json()["message"].startswith("No such artifact: ")
    assert store.ask("HEAD", places.path(route, missing)).status_code == answer.status_code


@pytest.mark.parametrize("route", [route for route in DOWNLOADS if "trace" not in route])
def test_directory_is_refused(store: Store, places: Places, route: str) -> None:
    store.keep("folder/file", b"x")
    uri = store.call("/api/2.0/mlflow/logged-models/search", {"experiment_ids": ["0"]})["models"]
    folder = uri[0]["info"]["artifact_uri"].partition(":/")[2].lstrip("/")
    store.s3.put_object(Bucket=BUCKET, Key=f"root/{folder}/folder/file", Body=b"x")

    answer = store.ask("GET", places.path(route, "folder"))

    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert answer.json()["message"].startswith("Artifact path refers to a directory, not a file: ")


@pytest.mark.parametrize(("route", "method"), REFUSED.items())
def test_presigned_transfer_is_refused(
    store: Store, byte_routes: set[str], route: str, method: str
) -> None:
    if route not in byte_routes:
        pytest.skip("this release has no such route")
    path = route.replace("<path:artifact_path>", store.path("any"))
    store.keep("any", b"x")
    direct = store.call(
        "/api/2.0/mlflow/experiments/create",
        {"name": uuid.uuid4().hex, "artifact_location": f"s3://{BUCKET}/root/direct"},
    )
    run = store.call("/api/2.0/mlflow/runs/create", {"experiment_id": direct["experiment_id"]})[
        "run"
    ]["info"]["run_id"]
    parts = [{"part_number": 1, "etag": "x", "url": "x"}]
    body = {"path": "any", "num_parts": 1, "upload_id": "x", "parts": parts}
    if "presigned-" in route:
        body = {"path": "any", "run_id": run}

    answer = store.server.session().request(
        method, store.address(path), json=body if method == "POST" else None
    )

    # Clients look at the status for downloads, and at the text for uploads.
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert " is not supported for the current artifact repository" in answer.json()["message"]
    assert "://" not in answer.text
    assert not store.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_server_info_offers_no_presigned_transfer(store: Store, prefix: str) -> None:
    info = store.ask("GET", f"{prefix}/3.0/mlflow/server-info").json()

    # Releases before 3.15 do not mention it.
    assert info.get("multipart_uploads_enabled", False) is False
    assert info.get("multipart_downloads_enabled", False) is False


def test_client_that_insists_on_presigned_transfers_uses_the_server(
    store: Store, tmp_path: Path
) -> None:
    program = """
import mlflow, pathlib, sys
client = mlflow.MlflowClient()
pathlib.Path("sent").write_bytes(b"x" * 1000)
client.log_artifact(sys.argv[1], "sent")
found = client.download_artifacts(sys.argv[1], "sent", str(pathlib.Path("found").absolute()))
assert pathlib.Path(found).read_bytes() == b"x" * 1000
"""
    (tmp_path / "found").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program, store.run],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "MLFLOW_TRACKING_URI": store.server.url,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
            "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
            "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert store.s3.head_object(Bucket=BUCKET, Key=store.key("sent"))["ContentLength"] == 1000


@pytest.mark.parametrize("prefix", PREFIXES)
def test_upload_streams_without_file(store: Store, prefix: str) -> None:
    before = store.temporary.stat().st_mtime_ns
    path = f"{prefix}/2.0/mlflow-artifacts/artifacts/{store.path('up')}"

    answer = store.server.session().put(store.address(path), data=content(SIZE), timeout=60)

    assert answer.status_code == 200
    assert store.temporary.stat().st_mtime_ns == before
    assert store.s3.head_object(Bucket=BUCKET, Key=store.key("up"))["ContentLength"] == SIZE


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("size", [0, 1, 2048])
def test_upload_of_few_bytes_without_content_type_is_kept(
    store: Store, prefix: str, size: int
) -> None:
    path = f"{prefix}/2.0/mlflow-artifacts/artifacts/{store.path('few')}"

    answer = store.server.session().put(store.address(path), data=bytes(size), timeout=60)

    assert answer.status_code == 200, answer.text
    assert store.s3.get_object(Bucket=BUCKET, Key=store.key("few"))["Body"].read() == bytes(size)


@pytest.mark.parametrize("name", ["plot.png", "a folder/plot.png"])
def test_interface_upload_makes_no_file(store: Store, name: str) -> None:
    before = store.temporary.stat().st_mtime_ns

    answer = store.server.session().post(
        store.address("/ajax-api/2.0/mlflow/upload-artifact"),
        params={"run_uuid": store.run, "path": name},
        data=b"not really",
    )

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "application/json"
    kept = store.s3.get_object(Bucket=BUCKET, Key=store.key(name))
    assert (kept["Body"].read(), kept["ContentType"]) == (b"not really", "image/png")
    assert store.temporary.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("query", "size", "message"),
    [
        ({"path": "a"}, 1, "Request must specify run_uuid."),
        ({"run_uuid": "RUN"}, 1, "Request must specify path."),
        ({"run_uuid": "RUN", "path": "a"}, 0, "Request must specify data."),
        ({"run_uuid": "RUN", "path": "../a"}, 1, "Invalid path"),
        ({"run_uuid": "0" * 32, "path": "a"}, 1, f"Run with id={'0' * 32} not found"),
        (
            {"run_uuid": "RUN", "path": "a"},
            10 * MIB + 1,
            "Artifact size is too large. Max size is 10MB.",
        ),
    ],
)
def test_interface_upload_invalid_is_refused_as_by_mlflow(
    store: Store, query: dict[str, str], size: int, message: str
) -> None:
    answer = store.server.session().post(
        store.address("/ajax-api/2.0/mlflow/upload-artifact"),
        params={name: value.replace("RUN", store.run) for name, value in query.items()},
        data=bytes(size),
    )

    assert answer.status_code in {400, 404}
    assert answer.json()["message"] == message
