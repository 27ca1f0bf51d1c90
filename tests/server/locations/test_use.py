"""Locations of artifacts that are older than the checks, as those of an imported database.

The rows are written by SQL, so that no check of the server's has seen them.
"""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.listener import listening
from tests.tracking_server import ADMIN, VERSION, deployed_server
from tests.tracking_server.routes import routes_that_call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

    from tests.listener import Listener
    from tests.postgres import Cluster
    from tests.tracking_server import Server

API = "/api/2.0/mlflow"
AJAX = "/ajax-api/2.0/mlflow"
DATABASE = "locations"
CONTENT = "of the host"
# By which a route comes to a location that is kept in the database.
OPENING = {
    "_create_promptlab_run_impl",
    "_get_artifact_repository_for_uri",
    "_is_servable_proxied_run_artifact_root",
}
# Method, path and body of a request by each such route; `{run}` and others are filled in.
ROUTES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "get artifact": ("GET", "/get-artifact?run_id={run}&path={name}", None),
    "head artifact": ("HEAD", "/get-artifact?run_id={run}&path={name}", None),
    "list artifacts": ("GET", API + "/artifacts/list?run_id={run}", None),
    "list artifacts of a page": ("GET", AJAX + "/artifacts/list?run_id={run}", None),
    "upload of a page": ("POST", AJAX + "/upload-artifact?run_uuid={run}&path=new", {"a": 1}),
    "version's artifact": (
        *("GET", "/model-versions/get-artifact?name={model}&version=1&path={name}", None),
    ),
    "logged model's artifact": (
        "GET",
        AJAX + "/logged-models/{logged}/artifacts/files?artifact_file_path={name}",
        None,
    ),
    "logged model's folder": ("GET", API + "/logged-models/{logged}/artifacts/directories", None),
    "logged model's folder of a page": (
        *("GET", AJAX + "/logged-models/{logged}/artifacts/directories", None),
    ),
    "trace's data": ("GET", AJAX + "/get-trace-artifact?request_id={trace}", None),
    "trace's attachment": (
        *("GET", "/ajax-api/3.0/mlflow/get-trace-artifact?request_id={trace}&path={name}", None),
    ),
    **{
        f"presigned {way} of a {kind}": (
            "POST",
            f"{API}/artifacts/presigned-{way}-url",
            {"path": "{name}", field: value},
        )
        for way, kind, field, value in (
            ("upload", "run", "run_id", "{run}"),
            ("upload", "logged model", "model_id", "{logged}"),
            ("download", "run", "run_id", "{run}"),
        )
    },
}
PATHS = {
    *("/get-artifact", "/model-versions/get-artifact", f"{AJAX}/upload-artifact"),
    *(f"{prefix}/artifacts/list" for prefix in (API, AJAX)),
    *(f"{API}/artifacts/presigned-{way}-url" for way in ("upload", "download")),
    *(f"{AJAX}/artifacts/presigned-{way}-url" for way in ("upload", "download")),
    *(f"{prefix}/logged-models/<model_id>/artifacts/directories" for prefix in (API, AJAX)),
    f"{AJAX}/logged-models/<model_id>/artifacts/files",
    *(f"/ajax-api/{number}/mlflow/get-trace-artifact" for number in ("2.0", "3.0")),
    f"{AJAX}/runs/create-promptlab-run",
}
# The folder and the listener of the tests are filled in.
LOCATIONS = [
    *("{folder}", "{listener}", "s3://other-bucket/x", "ftp://{address}/x"),
    *(
        pytest.param(location, marks=pytest.mark.slow)
        for location in (
            *(
                "file:{folder}",
                "file://{folder}",
                "mlruns/0",
                "./mlruns/0",
                "http://169.254.169.254",
            ),
            *("{listener}/api/2.0/mlflow-artifacts/artifacts/1", "mlflow-artifacts://{address}/1"),
            *("sftp://{address}/x", "gs://other-bucket/x", "hdfs://{address}/x", "dbfs:/x"),
            *("mlflow-artifacts:/1/../../x", "models://x@databricks/m/1"),
        )
    ),
]
# A folder of the host, another server, another bucket.
KINDS = ["{folder}", "{listener}", "s3://other-bucket/x"]


@dataclass(frozen=True)
class Site:
    """A server and its database."""

    server: Server
    cluster: Cluster
    database: str

    def execute(self, statement: str) -> None:
        """Change rows past the server."""
        self.cluster.execute(statement, self.database)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post JSON in the administrator's name."""
        answer = self.server.session().post(f"{self.server.url}{path}", json=body)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found


@dataclass(frozen=True)
class Rows:
    """An experiment and what is in it, all at one location that was written by SQL."""

    server: Server
    values: dict[str, str]

    def ask(self, method: str, path: str, body: dict[str, Any] | None) -> requests.Response:
        """Send a request whose path and body name the rows."""
        filled = {
            name: value.format(**self.values) if isinstance(value, str) else value
            for name, value in (body or {}).items()
        }
        url = f"{self.server.url}{path.format(**self.values)}"
        return self.server.session().request(method, url, json=filled or None, timeout=30)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the host that is not one of artifacts."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def site(
    cluster: Cluster,
    listener: Listener,
    version: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    environ = {
        "AWS_ENDPOINT_URL": listener.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_MAX_ATTEMPTS": "1",
    }
    database = f"{DATABASE}_{version.replace('.', '_')}"
    cluster.execute(f"CREATE DATABASE {database}")
    with ExitStack() as stack:
        server = stack.enter_context(
            deployed_server(
                cluster,
                database,
                tmp_path_factory.mktemp("server"),
                environ,
                version=version,
                mlflow_workers=1,
                mlflow_allowed_artifact_locations=["s3://listed-bucket/artifacts"],
            )
        )
        yield Site(server, cluster, database)


def import_rows(site: Site, location: str) -> Rows:
    """Make an experiment and what is in it, and lead all of it to a location by SQL."""
    name = uuid.uuid4().hex
    experiment = site.post(f"{API}/experiments/create", {"name": name})["experiment_id"]
    run = site.post(f"{API}/runs/create", {"experiment_id": experiment})["run"]["info"]
    logged = site.post(f"{API}/logged-models", {"experiment_id": experiment})["model"]["info"]
    site.post(f"{API}/registered-models/create", {"name": name})
    site.post(
        f"{API}/model-versions/create",
        {"name": name, "source": run["artifact_uri"], "run_id": run["run_id"]},
    )
    info = {
        "trace_id": f"tr-{uuid.uuid4().hex}",
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": experiment},
        },
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    site.post("/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})
    for statement in (
        f"UPDATE experiments SET artifact_location = '{location}' WHERE experiment_id = {experiment}",  # noqa: S608, E501  all of it is ours
        f"UPDATE runs SET artifact_uri = '{location}' WHERE run_uuid = '{run['run_id']}'",  # noqa: S608
        f"UPDATE logged_models SET artifact_location = '{location}' WHERE model_id = '{logged['model_id']}'",  # noqa: S608, E501
        f"UPDATE model_versions SET source = '{location}', storage_location = '{location}' WHERE name = '{name}'",  # noqa: S608, E501
        f"UPDATE trace_tags SET value = '{location}' WHERE request_id = '{info['trace_id']}' AND key = 'mlflow.artifactLocation'",  # noqa: S608, E501
        f"DELETE FROM trace_tags WHERE request_id = '{info['trace_id']}' AND key = 'mlflow.trace.spansLocation'",  # noqa: S608, E501
    ):
        site.execute(statement)
    values = {
        "experiment": experiment,
        "run": run["run_id"],
        "model": name,
        "logged": logged["model_id"],
        "trace": str(info["trace_id"]),
        "name": str(uuid.uuid5(uuid.NAMESPACE_URL, "name")),
    }
    return Rows(site.server, values)


@pytest.fixture(scope="module")
def imported(site: Site, listener: Listener, folder: Path, request: pytest.FixtureRequest) -> Rows:
    location = request.param.format(
        folder=folder, listener=listener.url, address=listener.url.removeprefix("http://")
    )
    rows = import_rows(site, location)
    for place in (folder, folder / "attachments"):
        place.mkdir(exist_ok=True)
        (place / rows.values["name"]).write_text(CONTENT)
    (folder / "traces.json").write_text(f'{{"spans": ["{CONTENT}"]}}')
    return rows


def test_routes_that_open_a_location_are_all_tested_here() -> None:
    assert routes_that_call(OPENING, VERSION) == PATHS


@pytest.mark.parametrize("imported", LOCATIONS, indirect=True)
@pytest.mark.parametrize("route", ROUTES)
def test_route_refuses_location_elsewhere(
    imported: Rows, listener: Listener, folder: Path, route: str, version: str
) -> None:
    heard, files = len(listener.requests), sorted(folder.rglob("*"))

    answer = imported.ask(*ROUTES[route])

    assert len(listener.requests) == heard
    assert sorted(folder.rglob("*")) == files
    if route.startswith("presigned") and version != VERSION:
        # Earlier releases have no such route, or none that opens a location.
        assert answer.status_code in {400, 404, 501}
        return
    assert answer.status_code == 400, answer.text
    if not route.startswith("head"):
        assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
        assert CONTENT not in answer.text
    if not route.startswith(("head", "presigned")):
        assert "is not a valid location" in answer.json()["message"]


@pytest.mark.parametrize("imported", KINDS, indirect=True)
def test_graphql_refuses_location_elsewhere(imported: Rows, listener: Listener) -> None:
    heard = len(listener.requests)
    query = (
        f'query x {{ mlflowListArtifacts(input: {{runId: "{imported.values["run"]}"}})'
        " { files { path } apiError { message } } }"
    )
    body = {"query": query, "operationName": "x", "variables": {}}
    answer = imported.server.session().post(f"{imported.server.url}/graphql", json=body)

    assert len(listener.requests) == heard
    # MLflow's login turns every error of an administrator's query into null.
    assert answer.json()["data"] == {"mlflowListArtifacts": None}


@pytest.mark.parametrize("imported", KINDS, indirect=True)
def test_archived_trace_elsewhere_is_neither_read_nor_deleted(
    imported: Rows, listener: Listener, folder: Path, site: Site
) -> None:
    trace = imported.values["trace"]
    (folder / "traces.pb").write_text(CONTENT)
    for key, value in (
        ("mlflow.trace.spansLocation", "ARCHIVE_REPO"),
        ("mlflow.trace.archiveLocation", str(folder)),
    ):
        site.execute(
            f"INSERT INTO trace_tags (request_id, key, value) VALUES ('{trace}', '{key}', '{value}')"  # noqa: S608, E501  ours
        )
    heard, files = len(listener.requests), sorted(folder.rglob("*"))
    read = imported.ask("GET", AJAX + "/get-trace-artifact?request_id={trace}", None)
    got = imported.ask("GET", "/api/3.0/mlflow/traces/get?trace_id={trace}", None)
    imported.ask(
        "POST",
        "/api/3.0/mlflow/traces/delete-traces",
        {"experiment_id": "{experiment}", "request_ids": [trace]},
    )

    assert not read.ok
    assert CONTENT not in read.text + got.text
    assert len(listener.requests) == heard
    assert sorted(folder.rglob("*")) == files


@pytest.mark.parametrize("imported", KINDS, indirect=True)
def test_prompt_lab_writes_nothing_elsewhere(
    imported: Rows, listener: Listener, folder: Path
) -> None:
    heard, files = len(listener.requests), sorted(folder.rglob("*"))
    imported.ask(
        "POST",
        AJAX + "/runs/create-promptlab-run",
        {
            "experiment_id": "{experiment}",
            "prompt_template": "x",
            "prompt_parameters": [{"key": "a", "value": "b"}],
            "model_route": "x",
            "model_parameters": [],
            "model_input": "x",
            "mlflow_version": "3.17.2",
        },
    )

    assert len(listener.requests) == heard
    assert sorted(folder.rglob("*")) == files


@pytest.mark.parametrize("imported", KINDS, indirect=True)
def test_new_run_of_experiment_elsewhere_has_no_artifacts(
    imported: Rows, listener: Listener, site: Site
) -> None:
    heard = len(listener.requests)
    created = {"experiment_id": imported.values["experiment"]}
    run = site.post(f"{API}/runs/create", created)["run"]["info"]["run_id"]
    answer = imported.server.session().get(
        f"{imported.server.url}{API}/artifacts/list?run_id={run}", timeout=30
    )

    assert (answer.status_code, len(listener.requests)) == (400, heard)
    assert "is not a valid location" in answer.json()["message"]


def test_listed_location_is_opened(site: Site, listener: Listener) -> None:
    rows = import_rows(site, "s3://listed-bucket/artifacts/1")
    heard = len(listener.requests)
    rows.ask(*ROUTES["list artifacts"])

    assert "listed-bucket" in "".join(path for path, _, _ in listener.requests[heard:])


def test_garbage_collection_deletes_rows_and_no_artifacts_elsewhere(
    site: Site, listener: Listener, folder: Path
) -> None:
    server = site.server
    assert server.host
    gone = []
    for location in (
        f"{folder}",
        f"file://{folder}",
        listener.url,
        "s3://other-bucket/x",
        "ftp://x",
    ):
        rows = import_rows(site, location)
        site.post(f"{API}/runs/delete", {"run_id": rows.values["run"]})
        server.session().delete(f"{server.url}{API}/logged-models/{rows.values['logged']}")
        gone.append(rows)
    own = import_rows(site, "mlflow-artifacts:/1/x/artifacts")
    site.post(f"{API}/runs/delete", {"run_id": own.values["run"]})
    heard, files = len(listener.requests), sorted(folder.rglob("*"))

    server.host.run("collect-garbage", f"--admin={ADMIN}", "--older-than=0s")

    assert len(listener.requests) == heard
    assert sorted(folder.rglob("*")) == files
    for rows in [*gone, own]:
        assert rows.ask("GET", API + "/runs/get?run_id={run}", None).status_code == 404


@pytest.mark.parametrize(
    "location",
    [
        *("/etc", "file:///etc", "relative", "../up", "http://127.0.0.1/x", "ftp://127.0.0.1/x"),
        *("wasbs://a@127.0.0.1/x", "mlflow-artifacts://127.0.0.1:1/x", "mlflow-artifacts:/x/../y"),
        "s3://other-bucket/x",
    ],
)
def test_new_experiment_elsewhere_is_refused(site: Site, location: str) -> None:
    server = site.server
    answer = server.session().post(
        f"{server.url}{API}/experiments/create",
        json={"name": uuid.uuid4().hex, "artifact_location": location},
    )

    assert answer.status_code == 400, answer.text
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
