"""MLflow's advisories of 2025 and 2026 that concern a tracking server, each tried on ours.

Webhooks and addresses are in ../destinations, locations of artifacts in ../locations, scripts of
users in test_scripts.py. docs/security.md lists all of them.
`mallory` may log in, and is denied the administrator's experiment and model.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.listener import listening
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, HAS_OPTIONAL_PATCHES, VERSION, basic
from tests.tracking_server.routes import routes as routes_of

from .conftest import PASSWORD

if TYPE_CHECKING:
    import requests

    from .conftest import Tracking

MALLORY = "mallory"
AJAX = "/ajax-api/2.0/mlflow"
API = "/api/2.0/mlflow"
API_3 = "/api/3.0/mlflow"
# What MLflow shows before a login: whether it lives, its pages' files, and its version's abilities.
PUBLIC = ("/health", "/static-files/", "/static/", "/favicon.ico", "server-info")
# Answers to a request that would start a job. Without the patch `jobs`, MLflow itself looks at it
# and misses what the job would need.
NOT_RUN = {501} if HAS_OPTIONAL_PATCHES else {400, 404}


@dataclass(frozen=True)
class Target:
    """What belongs to the administrator, and mallory is denied."""

    tracking: Tracking
    experiment: str
    run: str
    trace: str
    model: str
    logged_model: str

    def ask(self, method: str, path: str, /, user: str = MALLORY, **body: Any) -> requests.Response:
        """Ask the server in a user's name."""
        password = ADMIN_PASSWORD if user == ADMIN else PASSWORD
        session = self.tracking.server.session(basic(user, password))
        return session.request(method, f"{self.tracking.server.url}{path}", json=body or None)

    def refuses(self, method: str, path: str, /, **body: Any) -> None:
        """Check that mallory is refused what the administrator is not."""
        answer = self.ask(method, path, **body)
        assert answer.status_code == 403, f"{method} {path}: {answer.status_code} {answer.text}"
        allowed = self.ask(method, path, user=ADMIN, **body)
        assert allowed.status_code != 403, allowed.text


@pytest.fixture(scope="module")
def target(tracking: Tracking) -> Target:
    name = f"secret-{uuid.uuid4().hex[:8]}"
    experiment = tracking.admin("POST", "2.0/mlflow/experiments/create", name=name)["experiment_id"]
    run = tracking.admin("POST", "2.0/mlflow/runs/create", experiment_id=experiment)
    trace = f"tr-{uuid.uuid4().hex}"
    info = {
        "trace_id": trace,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": experiment},
        },
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    tracking.admin("POST", "3.0/mlflow/traces", trace={"trace_info": info})
    tracking.admin("POST", "2.0/mlflow/registered-models/create", name=name)
    tracking.admin(
        "POST",
        "2.0/mlflow/model-versions/create",
        name=name,
        source=f"{run['run']['info']['artifact_uri']}/model",
        run_id=run["run"]["info"]["run_id"],
    )
    logged = tracking.admin("POST", "2.0/mlflow/logged-models", experiment_id=experiment, name="m")
    tracking.module("mlflow_user", name=MALLORY, password=PASSWORD)
    denied: dict[str, Any] = {"user": MALLORY, "permission": "DENY"}
    tracking.module("mlflow_permission", experiment=name, **denied)
    tracking.module("mlflow_permission", registered_model=name, **denied)
    return Target(
        tracking,
        experiment,
        run["run"]["info"]["run_id"],
        trace,
        name,
        logged["model"]["info"]["model_id"],
    )


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    return routes_of(VERSION)


def test_every_route_without_a_login_is_refused(
    tracking: Tracking, routes: list[tuple[str, str]]
) -> None:
    """CVE-2026-2652, CVE-2026-0545, CVE-2025-14297: routes of FastAPI and Flask had no login.

    https://nvd.nist.gov/vuln/detail/CVE-2026-2652
    https://nvd.nist.gov/vuln/detail/CVE-2026-0545
    https://nvd.nist.gov/vuln/detail/CVE-2025-14297
    """
    assert len(routes) > 300
    session = tracking.server.session()
    del session.headers["Authorization"]
    answered = {}
    for method, path in routes:
        if method == "OPTIONS" or any(part in path for part in PUBLIC):
            continue
        filled = path
        for opening, closing in (("<", ">"), ("{", "}")):
            while opening in filled:
                before, _, rest = filled.partition(opening)
                filled = f"{before}x{rest.partition(closing)[2]}"
        answer = session.request(method, f"{tracking.server.url}{filled}", json={})
        if answer.status_code != 401:
            answered[f"{method} {path}"] = answer.status_code

    assert answered == {}


def test_default_password_is_refused(tracking: Tracking) -> None:
    """CVE-2026-2635: the administrator's password was that of MLflow's own configuration.

    https://nvd.nist.gov/vuln/detail/CVE-2026-2635
    """
    for password in ("password", "password1234"):
        session = tracking.server.session(basic(ADMIN, password))
        assert session.get(f"{tracking.server.url}{API}/users/current").status_code == 401


@pytest.mark.parametrize("password", ["", "1", "short", "elevenchars"])
def test_weak_password_is_refused(target: Target, password: str) -> None:
    """CVE-2025-11200: a password could be of any length.

    https://nvd.nist.gov/vuln/detail/CVE-2025-11200
    """
    body = {"username": f"weak-{uuid.uuid4().hex[:6]}", "password": password}

    assert target.ask("POST", f"{API}/users/create", user=ADMIN, **body).status_code == 400


def test_sign_up_of_another_site_is_refused(target: Target) -> None:
    """CVE-2025-1473: a page of another site could make a user in the administrator's name.

    https://nvd.nist.gov/vuln/detail/CVE-2025-1473
    """
    server = target.tracking.server
    name = f"csrf-{uuid.uuid4().hex[:6]}"
    form = {"username": name, "password": PASSWORD}
    answer = server.session().post(f"{server.url}{API}/users/create-ui", data=form)
    cross = server.session().post(
        f"{server.url}{API}/users/create",
        json=form,
        headers={"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"},
    )
    found = target.ask("GET", f"{API}/users/get?username={name}", user=ADMIN)

    assert (answer.ok, cross.ok, found.status_code) == (False, False, 404)


def test_foreign_host_name_is_refused(tracking: Tracking) -> None:
    """CVE-2025-14279: a name that was rebound to the server's address reached it.

    https://nvd.nist.gov/vuln/detail/CVE-2025-14279
    """
    answer = tracking.server.session().post(
        f"{tracking.server.url}{API}/experiments/search",
        json={"max_results": 1},
        headers={"Host": "evil.test"},
    )

    assert answer.status_code == 403


def test_traces_and_assessments_need_permission(target: Target) -> None:
    """CVE-2025-15381: every user could read traces and assess them.

    https://nvd.nist.gov/vuln/detail/CVE-2025-15381
    """
    assessment = {
        "assessment_name": "good",
        "trace_id": target.trace,
        "source": {"source_type": "HUMAN", "source_id": MALLORY},
        "feedback": {"value": True},
    }
    target.refuses("GET", f"{API_3}/traces/{target.trace}")
    target.refuses("GET", f"{API_3}/traces/get?trace_id={target.trace}")
    target.refuses("GET", f"/ajax-api/3.0/mlflow/get-trace-artifact?request_id={target.trace}")
    target.refuses("POST", f"{API_3}/traces/{target.trace}/assessments", assessment=assessment)
    target.refuses("PATCH", f"{API_3}/traces/{target.trace}/tags", key="a", value="b")
    target.refuses(
        "POST", f"{API_3}/traces/delete-traces", experiment_id=target.experiment, trace_ids=["x"]
    )
    found = target.ask(
        "POST",
        f"{API_3}/traces/search",
        locations=[
            {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": target.experiment},
            }
        ],
    )
    assert found.status_code == 403 or target.trace not in found.text


def test_trace_in_a_denied_experiment_is_not_created(target: Target) -> None:
    """CVE-2025-15381, CVE-2026-2652: spans could be put into everybody's experiments.

    https://nvd.nist.gov/vuln/detail/CVE-2026-2652
    """
    info = {
        "trace_id": f"tr-{uuid.uuid4().hex}",
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": target.experiment},
        },
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    assert target.ask("POST", f"{API_3}/traces", trace={"trace_info": info}).status_code == 403
    server = target.tracking.server
    answer = server.session(basic(MALLORY, PASSWORD)).post(
        f"{server.url}/v1/traces",
        data=b"",
        headers={
            "Content-Type": "application/x-protobuf",
            "x-mlflow-experiment-id": target.experiment,
        },
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("trace", ["../../x", "tr-1/../../x", "..", "/etc/x", "tr-%2e%2e%2fx"])
def test_trace_id_does_not_lead_out_of_its_folder(target: Target, trace: str) -> None:
    """CVE-2026-53995: the id of a trace was a path.

    https://nvd.nist.gov/vuln/detail/CVE-2026-53995
    """
    info = {
        "trace_id": trace,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": target.experiment},
        },
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    made = target.ask("POST", f"{API_3}/traces", user=ADMIN, trace={"trace_info": info})

    assert made.status_code == 400, made.text


def test_trace_does_not_pass_on_a_location_of_others(target: Target) -> None:
    """CVE-2025-15381 and its kind: whoever may read a trace read where its tag led.

    https://nvd.nist.gov/vuln/detail/CVE-2025-15381
    """
    tracking = target.tracking
    own = target.ask("POST", f"{API}/experiments/create", name=f"own-{uuid.uuid4().hex[:8]}")
    assert own.ok, own.text
    trace = f"tr-{uuid.uuid4().hex}"
    elsewhere = f"mlflow-artifacts:/{target.experiment}/{target.run}/artifacts"
    info = {
        "trace_id": trace,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": own.json()["experiment_id"]},
        },
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
        "tags": {"mlflow.artifactLocation": elsewhere},
    }
    target.ask("POST", f"{API_3}/traces", trace={"trace_info": info})
    body: dict[str, Any] = {"key": "mlflow.artifactLocation", "value": elsewhere}
    changed = target.ask("PATCH", f"{API_3}/traces/{trace}/tags", **body)
    kept = tracking.call(ADMIN, "GET", f"3.0/mlflow/traces/{trace}", ADMIN_PASSWORD)

    assert not changed.ok
    assert elsewhere not in kept.text


def test_model_versions_of_a_denied_model_are_not_found(target: Target) -> None:
    """CVE-2026-2734: a search found versions of every model, by REST and by GraphQL.

    https://nvd.nist.gov/vuln/detail/CVE-2026-2734
    """
    where = f"filter=name%3D'{target.model}'"
    admin = target.ask("GET", f"{API}/model-versions/search?{where}", user=ADMIN)
    found = target.ask("GET", f"{API}/model-versions/search?{where}")
    query = "query x { mlflowSearchModelVersions(input: {}) { modelVersions { name source } } }"
    answer = target.ask("POST", "/graphql", query=query, operationName="x", variables={})

    assert target.model in admin.text
    assert target.model not in found.text
    assert target.model not in answer.text


def test_graphql_needs_permission(target: Target) -> None:
    """CVE-2025-14297: GraphQL gave runs and experiments to everybody.

    https://nvd.nist.gov/vuln/detail/CVE-2025-14297
    """
    queries = (
        (
            f'query x {{ mlflowGetExperiment(input: {{experimentId: "{target.experiment}"}})'
            " { experiment { name } } }"
        ),
        (
            f'query x {{ mlflowGetRun(input: {{runId: "{target.run}"}})'
            " { run { info { runName runUuid } } } }"
        ),
        (
            f'query x {{ mlflowSearchRuns(input: {{experimentIds: ["{target.experiment}"]}})'
            " { runs { info { runName runUuid } } } }"
        ),
    )
    for query in queries:
        body: dict[str, Any] = {"query": query, "operationName": "x", "variables": {}}
        admin = target.ask("POST", "/graphql", user=ADMIN, **body).text
        said = target.ask("POST", "/graphql", **body).text

        assert target.run in admin or target.model in admin, admin
        assert target.run not in said
        assert target.model not in said


def test_graphql_with_many_aliases_is_refused(target: Target) -> None:
    """CVE-2025-0453: one request could hold any number of queries.

    https://nvd.nist.gov/vuln/detail/CVE-2025-0453
    """
    search = f'mlflowSearchRuns(input: {{experimentIds: ["{target.experiment}"]}})'
    aliases = " ".join(
        f"a{index}: {search} {{ runs {{ info {{ runName }} }} }}" for index in range(500)
    )
    body: dict[str, Any] = {
        "query": f"query x {{ {aliases} }}",
        "operationName": "x",
        "variables": {},
    }
    answer = target.ask("POST", "/graphql", user=ADMIN, **body)

    assert answer.json().get("errors"), answer.text[:300]
    assert not answer.json().get("data")


def test_gateway_lists_show_no_secrets_of_others(target: Target) -> None:
    """CVE-2026-3198: every user could list secrets, endpoints and models of the gateway.

    https://nvd.nist.gov/vuln/detail/CVE-2026-3198
    """
    name = f"gateway-{uuid.uuid4().hex[:8]}"
    made = target.ask(
        "POST",
        f"{API_3}/gateway/secrets/create",
        user=ADMIN,
        secret_name=name,
        secret_value={"api_key": "sk-secret"},
        provider="openai",
    )
    assert made.ok, made.text
    secret = made.json()["secret"]["secret_id"]
    model = target.ask(
        "POST",
        f"{API_3}/gateway/model-definitions/create",
        user=ADMIN,
        name=name,
        secret_id=secret,
        provider="openai",
        model_name="test",
    )
    assert model.ok, model.text
    target.tracking.read_only()
    for kind in ("secrets", "endpoints", "model-definitions"):
        admin = target.ask("GET", f"{API_3}/gateway/{kind}/list", user=ADMIN)
        found = target.ask("GET", f"{API_3}/gateway/{kind}/list")
        assert admin.ok, admin.text
        assert "sk-secret" not in admin.text + found.text
    # `mlflow_default_permission` lets everybody see names, and use nothing.
    used = target.ask(
        "POST",
        f"{API_3}/gateway/secrets/update",
        secret_id=secret,
        secret_value={"api_key": "sk-mallory"},
    )
    assert used.status_code == 403


def test_multipart_uploads_need_permission(target: Target) -> None:
    """CVE-2026-2651: parts of a file could be written into everybody's artifacts.

    https://nvd.nist.gov/vuln/detail/CVE-2026-2651
    """
    path = f"{target.experiment}/{target.run}/artifacts"
    for step in ("create", "complete", "abort"):
        answer = target.ask(
            "POST",
            f"/api/2.0/mlflow-artifacts/mpu/{step}/{path}",
            path="model.pkl",
            num_parts=1,
            upload_id="x",
            parts=[],
        )
        assert answer.status_code == 403, answer.text


def test_artifacts_need_permission(target: Target) -> None:
    """CVE-2026-33866 and its kind: the pages' own way to artifacts asked for no permission.

    https://nvd.nist.gov/vuln/detail/CVE-2026-33866
    """
    folder = f"{target.experiment}/{target.run}/artifacts"
    for method in ("GET", "PUT", "DELETE"):
        answer = target.ask(method, f"/api/2.0/mlflow-artifacts/artifacts/{folder}/x")
        assert answer.status_code == 403, answer.text
    where = "artifact_file_path=MLmodel"
    target.refuses("GET", f"{AJAX}/logged-models/{target.logged_model}/artifacts/files?{where}")
    target.refuses("GET", f"{API}/logged-models/{target.logged_model}/artifacts/directories")
    target.refuses("GET", f"{API}/logged-models/{target.logged_model}")
    target.refuses("GET", f"/get-artifact?run_id={target.run}&path=x")
    target.refuses("POST", f"{AJAX}/upload-artifact?run_uuid={target.run}&path=x")
    target.refuses("GET", f"/model-versions/get-artifact?name={target.model}&version=1&path=x")


@pytest.mark.parametrize(
    "path", ["../x", "..%2Fx", "%252e%252e/x", "/etc/passwd", "x/../../y", "C:/x", "..\\x"]
)
def test_artifact_path_does_not_lead_out_of_its_folder(target: Target, path: str) -> None:
    """CVE-2026-2033, CVE-2025-11201: a path of artifacts or of a model led to other files.

    https://nvd.nist.gov/vuln/detail/CVE-2026-2033
    https://nvd.nist.gov/vuln/detail/CVE-2025-11201
    """
    root = f"/api/2.0/mlflow-artifacts/artifacts/{target.experiment}/{target.run}/artifacts"
    answers = [
        target.ask("GET", f"/get-artifact?run_id={target.run}&path={path}", user=ADMIN),
        target.ask("GET", f"/api/2.0/mlflow-artifacts/artifacts?path={path}", user=ADMIN),
        target.ask("PUT", f"{root}/{path.replace('/', '%2F')}", user=ADMIN),
        target.ask("GET", f"{API}/artifacts/list?run_id={target.run}&path={path}", user=ADMIN),
    ]
    folder = target.tracking.directory

    assert "root:" not in "".join(answer.text for answer in answers)
    assert not (folder / "x").exists()
    assert not (folder / "artifacts/x").exists()
    assert not any(file.name == "x" for file in folder.glob("artifacts/*/x"))


def test_prompt_with_a_path_as_source_is_refused(target: Target) -> None:
    """CVE-2026-2614: the source of a prompt was not checked, and was then read as artifacts.

    https://nvd.nist.gov/vuln/detail/CVE-2026-2614
    """
    name = f"prompt-{uuid.uuid4().hex[:8]}"
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    created = target.ask(
        "POST", f"{API}/registered-models/create", user=ADMIN, name=name, tags=tags
    )
    version: dict[str, Any] = {"name": name, "source": "/etc", "tags": tags}
    answer = target.ask("POST", f"{API}/model-versions/create", user=ADMIN, **version)
    read = target.ask(
        "GET", f"/model-versions/get-artifact?name={name}&version=1&path=passwd", user=ADMIN
    )

    assert created.ok
    assert answer.status_code == 400
    assert "root:" not in read.text


def test_jobs_of_others_are_refused(target: Target) -> None:
    """CVE-2026-118624: every user could read jobs; without jobs there is nothing to read.

    https://nvd.nist.gov/vuln/detail/CVE-2026-118624
    """
    job = str(uuid.uuid4())
    for method, path in (
        ("GET", f"/ajax-api/3.0/jobs/{job}"),
        ("PATCH", f"/ajax-api/3.0/jobs/cancel/{job}"),
        ("GET", f"/ajax-api/3.0/mlflow/jobs/{job}"),
        ("GET", f"/ajax-api/3.0/mlflow/prompt-optimization/jobs/{job}"),
        ("GET", f"{API_3}/prompt-optimization/jobs/{job}"),
    ):
        answer = target.ask(method, path)
        assert answer.status_code >= 400, f"{method} {path}: {answer.text}"


def test_routes_with_parameters_need_permission(target: Target) -> None:
    """CVE-2026-118625: routes that are registered by a template had no validator.

    https://nvd.nist.gov/vuln/detail/CVE-2026-118625
    """
    target.refuses("GET", f"{API}/logged-models/{target.logged_model}")
    target.refuses("DELETE", f"{API}/logged-models/{target.logged_model}/tags/x")
    target.refuses("PATCH", f"{API}/logged-models/{target.logged_model}/tags", tags=[])
    target.refuses("GET", f"{API_3}/traces/{target.trace}")
    dataset = target.ask(
        "POST",
        f"{API_3}/datasets/create",
        user=ADMIN,
        name=f"data-{uuid.uuid4().hex[:8]}",
        experiment_ids=[target.experiment],
    ).json()["dataset"]["dataset_id"]
    target.refuses("GET", f"{API_3}/datasets/{dataset}")
    target.refuses("GET", f"{API_3}/datasets/{dataset}/records")
    target.refuses("POST", f"{API_3}/datasets/{dataset}/records", records="[]")
    target.refuses("GET", f"{API_3}/scorers/list?experiment_id={target.experiment}")
    answer = target.ask("POST", f"{API}/webhooks", name="x", url="https://1.1.1.1", events=[])
    assert answer.status_code == 403
    assert target.ask("GET", f"{API}/webhooks").status_code == 403


def test_issues_need_permission(target: Target) -> None:
    """CVE-2026-118626: every user could write and read issues of every experiment.

    https://nvd.nist.gov/vuln/detail/CVE-2026-118626
    """
    issue = {"experiment_id": target.experiment, "name": "slow", "description": "text"}
    made = target.ask("POST", f"{API_3}/issues", user=ADMIN, **issue)
    assert made.ok, made.text
    number = made.json()["issue"]["issue_id"]

    target.refuses("POST", f"{API_3}/issues", **issue)
    target.refuses("GET", f"{API_3}/issues/{number}")
    target.refuses("PATCH", f"{API_3}/issues/{number}", name="mine")
    found = target.ask("POST", f"{API_3}/issues/search", experiment_id=target.experiment)
    assert found.status_code == 403 or number not in found.text


def test_scorer_does_not_choose_where_to_connect(target: Target) -> None:
    """CVE-2026-115886: the arguments of a third-party scorer led the server to any host.

    Here the server keeps scorers as text, and runs none.
    https://github.com/mlflow/mlflow/security/advisories/GHSA-2wqp-q3c6-ccj5
    """
    with listening() as heard:
        scorer = {
            "name": "x",
            "mlflow_version": "3.17.2",
            "serialization_version": 1,
            "third_party_scorer_data": {
                "module": "mlflow.genai.scorers.trulens",
                "class_name": "Groundedness",
                "init_kwargs": {"model": "evil:/x", "api_base": heard.url},
            },
        }
        body = {"experiment_id": target.experiment, "serialized_scorer": json.dumps(scorer)}
        answers = [
            target.ask("POST", f"/ajax-api/3.0/mlflow/{path}", user=ADMIN, **body)
            for path in ("scorer/invoke", "genai/evaluate")
        ]
        target.ask("POST", f"{API_3}/scorers/register", user=ADMIN, name="x", **body)
        target.refuses("POST", f"{API_3}/scorers/register", name="x", **body)

    assert {answer.status_code for answer in answers} <= NOT_RUN
    assert heard.requests == []


def test_gateway_proxy_calls_nobody(target: Target) -> None:
    """CVE-2025-52967: the proxy of the prompt lab followed a path to every host.

    https://nvd.nist.gov/vuln/detail/CVE-2025-52967
    """
    for path in ("http://169.254.169.254/", "@169.254.169.254/"):
        answer = target.ask("GET", f"{AJAX}/gateway-proxy?gateway_path={path}", user=ADMIN)
        assert answer.json() == {"endpoints": []}


def test_scorer_does_not_import_a_module_of_a_user(target: Target) -> None:
    """CVE-2026-116692: a scorer named a module, which the server imported from artifacts.

    https://nvd.nist.gov/vuln/detail/CVE-2026-116692
    """
    tracking = target.tracking
    mark = tracking.directory / "imported"
    program = f"open({str(mark)!r}, 'w').close()\nclass Evil:\n    pass\n"
    root = f"/api/2.0/mlflow-artifacts/artifacts/{target.experiment}/{target.run}/artifacts"
    kept = tracking.server.session().put(
        f"{tracking.server.url}{root}/evil.py", data=program.encode()
    )
    folder = tracking.directory / f"artifacts/{target.experiment}/{target.run}/artifacts"
    assert kept.ok
    assert (folder / "evil.py").exists()
    for module in ("evil", f"{folder}/evil", "mlflow.genai.scorers.evil", "os"):
        data = {"module": module, "class_name": "Evil", "init_kwargs": {}}
        scorer = {
            "name": "x",
            "mlflow_version": "3.17.2",
            "serialization_version": 1,
            "third_party_scorer_data": data,
        }
        body = {"experiment_id": target.experiment, "serialized_scorer": json.dumps(scorer)}
        target.ask("POST", f"{API_3}/scorers/register", user=ADMIN, name="x", **body)
        for path in ("scorer/invoke", "genai/evaluate"):
            answer = target.ask("POST", f"/ajax-api/3.0/mlflow/{path}", user=ADMIN, **body)
            assert answer.status_code in NOT_RUN, answer.text
    target.ask("GET", f"{API_3}/scorers/list?experiment_id={target.experiment}", user=ADMIN)

    assert not mark.exists()


def test_label_schemas_need_permission(target: Target) -> None:
    """CVE-2026-13484: the label schemas of an experiment were everybody's.

    https://nvd.nist.gov/vuln/detail/CVE-2026-13484
    """
    schema: dict[str, Any] = {
        "experiment_id": target.experiment,
        "name": f"schema-{uuid.uuid4().hex[:8]}",
        "type": "FEEDBACK",
        "input": {"text": {}},
    }
    made = target.ask("POST", f"{API_3}/label-schemas/create", user=ADMIN, **schema)
    assert made.ok, made.text
    schema_id = made.json()["label_schema"]["schema_id"]
    target.refuses("POST", f"{API_3}/label-schemas/create", **schema | {"name": "another"})
    target.refuses("GET", f"{API_3}/label-schemas/list?experiment_id={target.experiment}")
    target.refuses("GET", f"{API_3}/label-schemas/get?schema_id={schema_id}")
    target.refuses("PATCH", f"{API_3}/label-schemas/update", schema_id=schema_id, name="mine")
    target.refuses("DELETE", f"{API_3}/label-schemas/delete", schema_id=schema_id)


@pytest.mark.parametrize("origin", ["https://evil.test", "null", ""])
def test_assistant_is_refused(tracking: Tracking, origin: str) -> None:
    """CVE-2026-2611: a page of another site could have commands run by the assistant.

    https://nvd.nist.gov/vuln/detail/CVE-2026-2611
    """
    # As the proxy passes a request on: MLflow takes it for one of another machine.
    fields = {"Origin": origin, "X-Forwarded-For": "203.0.113.7"}
    server = tracking.server
    for method, path, body in (
        ("PUT", "config", {"providers": {}}),
        ("POST", "message", {"message": "x"}),
        ("POST", "skills/install", {}),
    ):
        answer = server.session().request(
            method,
            f"{server.url}/ajax-api/3.0/mlflow/assistant/{path}",
            json=body,
            headers={name: value for name, value in fields.items() if value},
        )
        assert answer.status_code == 403, f"{method} {path}: {answer.status_code} {answer.text}"
