"""Each key, secret and token that the source of a release names is in keys.yml."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.tracking_server import VERSIONS, environment

TABLE: dict[str, dict[str, str]] = yaml.safe_load((Path(__file__).parent / "keys.yml").read_text())
KINDS = {"ours", "random", "given", "absent", "no key"}
# Variables of other programs (a provider's key, Databricks' token) are given to MLflow or are not.
VARIABLE = re.compile(r"_?MLFLOW_[A-Z0-9_]+")
SECRET = re.compile(
    r"KEY|SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|CRYPT|HMAC|NONCE|SIGNATURE|SIGNING|JWT|KEK"
)
DRAWN = re.compile(
    r"(generate_key|generate_private_key|token_bytes|token_hex|token_urlsafe|urandom|randbytes"
    r"|getrandbits|SystemRandom|get_random_bytes)"
)
DEFAULT = re.compile(r".*(PASSWORD|PASSPHRASE|SECRET|SECRET_KEY|TOKEN|PRIVATE_KEY)")
# Where the packages are that are part of the server: MLflow, and its plug-ins.
PACKAGES = """
import json
from importlib.metadata import distributions, version
owners = {
    dist.metadata["Name"]
    for dist in distributions() for point in dist.entry_points if point.group.startswith("mlflow.")
}
import mlflow
print(json.dumps([mlflow.__path__[0], sorted(owners), version("mlflow")]))
"""


@cache
def package(version: str) -> tuple[Path, list[str]]:
    """Where the package of a locked version is, and which distributions plug into it."""
    done = subprocess.run(
        [environment(version=version), "-c", PACKAGES], capture_output=True, text=True, check=True
    )
    path, owners, found = json.loads(done.stdout.splitlines()[-1])
    assert found == version
    return Path(path), owners


def read_source(text: str, module: str) -> dict[str, set[str]]:
    """List what a module's source names: variables, generators and defaults of secrets."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Constant(value=str(name)) if VARIABLE.fullmatch(name) and SECRET.search(name):
                found["variables"].add(name)
            case ast.Call(func=function):
                called = ast.unparse(function).split(".")
                if DRAWN.fullmatch(called[-1]):
                    found["generators"].add(f"{module} {'.'.join(called[-2:])}")
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value)))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(value)))
            ) if DEFAULT.fullmatch(name) and re.search("[a-z]", value):
                found["defaults"].add(f"{module} {name}")
    return found


@cache
def source(version: str) -> dict[str, set[str]]:
    """List what the source of a locked version names."""
    path, _ = package(version)
    found: dict[str, set[str]] = defaultdict(set)
    for file in path.rglob("*.py"):
        parts = file.relative_to(path.parent).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        for kind, names in read_source(file.read_text(), module).items():
            found[kind] |= names
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", TABLE)
def test_every_key_of_a_release_is_in_the_table(version: str, kind: str) -> None:
    assert source(version)[kind] - set(TABLE[kind]) == set()


@pytest.mark.parametrize("kind", TABLE)
def test_table_has_no_key_that_no_release_has(kind: str) -> None:
    everything = set().union(*(source(version)[kind] for version in VERSIONS))
    assert set(TABLE[kind]) - everything == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_plug_ins_of_a_release_are_mlflows_own(version: str) -> None:
    assert package(version)[1] == ["mlflow", "mlflow-skinny"]


def test_table_says_what_is_done() -> None:
    assert {done for entries in TABLE.values() for done in entries.values()} <= KINDS


def test_keys_of_ours_are_handed_over() -> None:
    program = (ROOT / "roles/mlflow/files/mlflow_keys.py").read_text()
    handed = read_source(program, "mlflow_keys")["variables"]
    handed.discard("MLFLOW_HOST_SECRETS")
    assert handed == {name for name, done in TABLE["variables"].items() if done == "ours"}


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ('X = _EnvironmentVariable("MLFLOW_NEW_SIGNING_SECRET", str, None)', "variables", None),
        ('os.environ.get("_MLFLOW_JOB_TOKEN")', "variables", None),
        ("key = secrets.token_urlsafe(32)", "generators", "new secrets.token_urlsafe"),
        ("app.secret_key = os.urandom(24)", "generators", "new os.urandom"),
        (
            "key = cryptography.fernet.Fernet.generate_key()",
            "generators",
            "new Fernet.generate_key",
        ),
        ("from secrets import token_hex\nx = token_hex()", "generators", "new token_hex"),
        ('DEFAULT_PASSWORD = "password"', "defaults", "new DEFAULT_PASSWORD"),
        ('_TOKEN: str = "changeme"', "defaults", "new _TOKEN"),
    ],
)
def test_new_key_in_a_release_is_found(text: str, kind: str, name: str | None) -> None:
    found: dict[str, Any] = read_source(text, "new")
    wanted = name or re.findall(r'"(\w+)"', text)[0]
    assert found[kind] == {wanted}
    assert wanted not in TABLE[kind]
