"""Sources of model versions: all that MLflow itself sends is accepted, all else is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, environment

if TYPE_CHECKING:
    from .conftest import Tracking

API = "2.0/mlflow"
PATTERN = re.compile(
    yaml.safe_load((ROOT / "roles/mlflow/vars/main.yml").read_text())["__mlflow_model_sources"]
)
# Every way in which MLflow's client makes a version of a model or a prompt.
CLIENT = """
import json, sys
import mlflow
from mlflow import MlflowClient
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str]) -> list[str]:
        return model_input

name, client, made = sys.argv[1], MlflowClient(), {}
mlflow.set_experiment(name)
text = mlflow.genai.register_prompt(f"{name}-text", "Hello {{ name }}", commit_message="first")
made["prompt"] = text.version
made["prompt again"] = mlflow.genai.register_prompt(f"{name}-text", "Hi {{ name }}").version
chat = [{"role": "user", "content": "{{ question }}"}]
made["chat prompt"] = mlflow.genai.register_prompt(f"{name}-chat", chat).version
assert mlflow.genai.load_prompt(f"prompts:/{name}-text/2").format(name="x") == "Hi x"
with mlflow.start_run() as run:
    mlflow.log_text("flavors: {}", "old/MLmodel")
    logged = mlflow.pyfunc.log_model(
        name="model", python_model=Model(), pip_requirements=[], registered_model_name=f"{name} ñ"
    )
made["log_model"] = logged.registered_model_version
register = mlflow.register_model
made["register models:/"] = register(logged.model_uri, f"{name} ñ").version
made["register runs:/ of a logged model"] = register(f"runs:/{run.info.run_id}/model", name).version
made["register runs:/ of artifacts"] = register(f"runs:/{run.info.run_id}/old", name).version
source = RunsArtifactRepository.get_underlying_uri(f"runs:/{run.info.run_id}/old")
made["create"] = client.create_model_version(name, source, run.info.run_id).version
runs = f"runs:/{run.info.run_id}/old"
made["create from runs:/"] = client.create_model_version(name, runs, run.info.run_id).version
made["copy"] = client.copy_model_version(f"models:/{name} ñ/1", f"{name}-copy").version
client.set_registered_model_alias(f"{name} ñ", "best", "1")
made["copy an alias"] = client.copy_model_version(f"models:/{name} ñ@best", f"{name}-copy").version
print(json.dumps(made))
"""
ALLOWED = [
    "dummy-source",
    "prompt-template",
    "mlflow-artifacts:/0/run/artifacts/model",
    "mlflow-artifacts:/0/run/artifacts/my model (1)/ñ",
    "mlflow-artifacts:/0/run/artifacts/100%25",
    "mlflow-artifacts:/0/run/artifacts/v1..2/model..",
    "models:/m-0123456789abcdef",
    "models:/a name/3",
    "models:/a name@champion",
    "runs:/0123456789abcdef/model",
]
REFUSED = [
    "",
    "s3://somewhere/else",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "/etc/passwd",
    "etc/passwd",
    "mlflow-artifacts://elsewhere:5000/1/x/artifacts/model",
    "mlflow-artifacts:///1/x/artifacts/model",
    "mlflow-artifacts:/\\elsewhere/model",
    "mlflow-artifacts:/%2Felsewhere/model",
    "models://profile@databricks/model/1",
    "runs://profile@databricks/0123/model",
    "https://somewhere/model",
    "http://127.0.0.1:5001/api/2.0/mlflow-artifacts/artifacts/1/model",
    "gs://somewhere/model",
    "wasbs://x@somewhere/model",
    "hdfs:/model",
    "dbfs:/model",
    "ftp://somewhere/model",
    "mlflow-artifacts",
    "mlflow-artifacts:",
    "mlflow-artifacts:/",
    "x mlflow-artifacts:/1/model",
    "MLFLOW-ARTIFACTS:/1/model",
    "dummy-source/../etc",
    "dummy-source2",
    "xprompt-template",
    "prompts:/greeting/1",
    *(
        f"mlflow-artifacts:/{path}"
        for path in [
            "..",
            "../x",
            "1/../../2/model",
            "1/..",
            "1/%2e%2E/model",
            "1/.%2e/model",
            "1%2F..%2Fmodel",
            "1/%252e%252e/model",
            "1%25252f%25252e.%255cmodel",
            "1\\..\\model",
            "1/..?x",
            "1/..#x",
            "1/..;x/model",
            "1/..%3Fx",
            "1/model%00",
            "1/model%2500",
            "1/model%0a",
            "1/mo\tdel",
            "1/mo\rdel",
        ]
    ),
]


@pytest.fixture(scope="module")
def made_by_client(tracking: Tracking) -> dict[str, Any]:
    """The versions that MLflow's own client has made, by the way they were made."""
    done = subprocess.run(
        [environment(), "-c", CLIENT, f"sources-{uuid.uuid4().hex[:8]}"],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": tracking.server.url,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


def test_client_makes_versions_in_every_way(made_by_client: dict[str, Any]) -> None:
    assert {way: str(version) for way, version in made_by_client.items()} == {
        "prompt": "1",
        "prompt again": "2",
        "chat prompt": "1",
        "log_model": "1",
        "register models:/": "2",
        "register runs:/ of a logged model": "1",
        "register runs:/ of artifacts": "2",
        "create": "3",
        "create from runs:/": "4",
        "copy": "1",
        "copy an alias": "2",
    }


@pytest.mark.parametrize("source", ALLOWED)
def test_pattern_matches_what_mlflow_sends(source: str) -> None:
    assert PATTERN.search(source)


@pytest.mark.parametrize("source", REFUSED)
def test_pattern_refuses_other_sources(source: str) -> None:
    assert not PATTERN.search(source)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\x00", "\nfile:///etc/passwd"])
@pytest.mark.parametrize("source", ALLOWED)
def test_pattern_matches_the_whole_source(source: str, end: str) -> None:
    assert not PATTERN.search(source + end)
    assert not PATTERN.search(end + source)


@pytest.mark.parametrize("source", [source for source in REFUSED if source])
@pytest.mark.parametrize("prompt", [False, True])
def test_server_refuses_other_sources(tracking: Tracking, *, source: str, prompt: bool) -> None:
    name = f"from-{uuid.uuid4().hex}"
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}] if prompt else []
    tracking.admin("POST", f"{API}/registered-models/create", name=name, tags=tags)

    answer = tracking.call(
        ADMIN,
        "POST",
        f"{API}/model-versions/create",
        ADMIN_PASSWORD,
        name=name,
        source=source,
        tags=tags,
    )

    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_server_refuses_placeholder_of_prompts_for_a_model(tracking: Tracking) -> None:
    name = f"model-{uuid.uuid4().hex}"
    tracking.admin("POST", f"{API}/registered-models/create", name=name)
    body = {"name": name, "source": "dummy-source"}
    answer = tracking.call(ADMIN, "POST", f"{API}/model-versions/create", ADMIN_PASSWORD, **body)
    assert answer.status_code == 400
