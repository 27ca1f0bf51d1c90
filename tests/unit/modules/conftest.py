"""The real modules against a real HTTP server of moto."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.amazon.aws.plugins.module_utils import modules
from moto.apigatewayv2 import urls
from moto.apigatewayv2.responses import ApiGatewayV2Response
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.apigatewayv2.models import Stage

ROOT = Path(__file__).parents[3]
MODULES = "ansible_collections.mlflow_ec2.aws.plugins.modules"


class RunModule(Protocol):
    """Runs one module within this process and returns its result."""

    def __call__(
        self, module_name: str, /, *, check: bool = False, fails: bool = False, **params: Any
    ) -> dict[str, Any]: ...


class RunTasks(Protocol):
    """Runs tasks by ansible-playbook and returns the result of each, and all that was printed."""

    def __call__(self, *tasks: dict[str, Any]) -> tuple[list[dict[str, Any]], str]: ...


def _complete_moto() -> None:
    """Add what moto 5.2.5 leaves out around stages: changing one, its log, its tags."""

    def stage_of(response: ApiGatewayV2Response) -> Stage:
        parts = urllib.parse.unquote(response.path).split("/apis/")[-1].split("/")
        return response.apigatewayv2_backend.get_api(parts[0]).get_stage(parts[2])

    def update_stage(response: ApiGatewayV2Response) -> tuple[int, dict[str, str], str]:
        stage = stage_of(response)
        names = {
            "accessLogSettings": "access_log_settings",
            "autoDeploy": "auto_deploy",
            "defaultRouteSettings": "default_route_settings",
            "description": "description",
        }
        for key, value in json.loads(response.body).items():
            setattr(stage, names[key], value)
        return 200, {}, json.dumps(stage.to_json())

    def delete_access_log_settings(
        response: ApiGatewayV2Response,
    ) -> tuple[int, dict[str, str], str]:
        stage_of(response).access_log_settings = None
        return 204, {}, ""

    def tag_stage(request: Any, full_url: str, headers: Any) -> tuple[int, dict[str, str], str]:
        response = ApiGatewayV2Response()
        response.setup_class(request, full_url, headers)
        tags = stage_of(response).tags
        if request.method == "DELETE":
            for key in response.querystring["tagKeys"]:
                tags.pop(key, None)
        else:
            tags.update(json.loads(response.body)["tags"])
        return 201, {}, "{}"

    for operation in (update_stage, delete_access_log_settings):
        setattr(ApiGatewayV2Response, operation.__name__, operation)
    stage = "{0}/v2/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)"
    tagged = "{0}/v2/tags/(?P<arn>[^/]+)/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)$"
    urls.url_paths[f"{stage}/accesslogsettings$"] = ApiGatewayV2Response.dispatch
    urls.url_paths[tagged] = tag_stage


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    _complete_moto()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point everything of AWS to an empty account of moto; return the endpoint."""
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unit-key")
    # Ansible masks the secret key wherever it reads it, so no name contains it.
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "zq7-unit")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    reset = urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()
    return moto_url


@pytest.fixture(scope="session")
def clients() -> dict[tuple[str, str], Any]:
    """Hold the clients that modules made, by service and region.

    Making one takes longer than what a test does.
    """
    return {}


@pytest.fixture
def run_module(
    aws: str, clients: dict[tuple[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> RunModule:
    assert aws
    make_client = modules.boto3_conn

    def client(module: Any, resource: str, **arguments: Any) -> Any:
        key = (resource, arguments["region"])
        if key not in clients:
            clients[key] = make_client(module, resource=resource, **arguments)
        return clients[key]

    monkeypatch.setattr(modules, "boto3_conn", client)

    def run(
        module_name: str, /, *, check: bool = False, fails: bool = False, **params: Any
    ) -> dict[str, Any]:
        module = importlib.import_module(f"{MODULES}.{module_name}")
        arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": True}
        printed = io.StringIO()
        with (
            patch_module_args(arguments),
            redirect_stdout(printed),
            pytest.raises(SystemExit) as stopped,
        ):
            module.main()
        result: dict[str, Any] = json.loads(printed.getvalue())
        result.pop("invocation", None)
        assert bool(stopped.value.code) is fails, result
        return result

    return run


@pytest.fixture
def run_tasks(aws: str, tmp_path: Path) -> RunTasks:
    assert aws

    def run(*tasks: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
        plays = [
            {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "vars": {"ansible_python_interpreter": sys.executable},
                "tasks": list(tasks),
            }
        ]
        playbook = tmp_path / "playbook.yml"
        playbook.write_text(json.dumps(plays))
        configuration = tmp_path / "ansible.cfg"
        configuration.write_text("")
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(configuration),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
        }
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", playbook],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        printed = json.loads(done.stdout)
        results = [task["hosts"]["localhost"] for task in printed["plays"][0]["tasks"]]
        return results, done.stdout + done.stderr

    return run


@pytest.fixture
def lambda_functions(aws: str) -> dict[str, str]:
    """Create two functions; return their ARNs by name."""
    assert aws
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "def handle(event, context):\n    return {}\n")
    role = boto3.client("iam").create_role(
        RoleName="function", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"})
    )["Role"]["Arn"]
    client = boto3.client("lambda")
    return {
        name: client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role,
            Handler="handler.handle",
            Code={"ZipFile": code.getvalue()},
        )["FunctionArn"]
        for name in ("metrics", "other")
    }
