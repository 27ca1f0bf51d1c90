"""Each key, secret and token that the source of a release names is in keys.yml."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.tracking_server import EACH_VERSION, VERSIONS, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE: dict[str, dict[str, str]] = yaml.safe_load((Path(__file__).parent / "keys.yml").read_text())
KINDS = {"ours", "random", "given", "absent", "no key"}
# Variables of other programs (a provider's key, Databricks' token) are given to MLflow or are not.
VARIABLE = re.compile(r"_?MLFLOW_[A-Z0-9_]+")
SECRET = re.compile(
    r"KEY|SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|CRYPT|HMAC|NONCE|SIGNATURE|SIGNING|JWT|KEK"
)
DRAWN = re.compile(
    r"(.*\.)?(generate_key|generate_private_key|token_bytes|token_hex|token_urlsafe|urandom"
    r"|randbytes|getrandbits|SystemRandom|get_random_bytes)|secrets\.(choice|randbelow)"
)
DEFAULT = re.compile(
    r"(.*_)?(PASSWORD|PASSPHRASE|SECRET|TOKEN|SALT|CREDENTIALS?"
    r"|(SECRET|API|PRIVATE|ENCRYPTION|SIGNING|SESSION|HMAC|MASTER)_KEY)",
    re.IGNORECASE,
)
SETTINGS = {".cfg", ".conf", ".env", ".ini", ".toml", ".yaml", ".yml"}
SETTING = re.compile(r"(?:export\s+)?([\w.-]+)\s*[:=]\s*[\"']?([^\s\"'#$].*)")
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


def names_with_values(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """List what a piece of source names, and the value that it gives it."""
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((name, value) for name in map(target_name, targets))
        case ast.AnnAssign(target=target, value=value):
            yield target_name(target), value
        case ast.Dict(keys=keys, values=values):
            yield from ((text(key), value) for key, value in zip(keys, values, strict=True))
        case ast.arguments(posonlyargs=first, args=second, defaults=defaults):
            arguments = [*first, *second][-len(defaults) :] if defaults else []
            given: list[ast.expr | None] = [*defaults, *node.kw_defaults]
            for argument, value in zip([*arguments, *node.kwonlyargs], given, strict=True):
                yield argument.arg, value
        case ast.Call(args=arguments, keywords=keywords):
            # A variable and its default: os.environ.get("A_SECRET", "…").
            if len(arguments) > 1:
                yield text(arguments[0]), arguments[-1]
            yield from ((keyword.arg or "", keyword.value) for keyword in keywords)


def target_name(target: ast.AST) -> str:
    """Return the name that is assigned to, of a variable, an attribute or an entry."""
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=key):
            return text(key)
    return ""


def text(node: ast.AST | None) -> str:
    """Return the text of a literal, "" of anything else."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.Constant(value=bytes(value)):
            return value.decode("latin-1")
    return ""


def read_source(source_text: str, module: str) -> dict[str, set[str]]:
    """List what a module's source names: variables, generators and defaults of secrets."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(ast.parse(source_text)):
        match node:
            case ast.Constant(value=str(name)) if VARIABLE.fullmatch(name) and SECRET.search(name):
                found["variables"].add(name)
            case ast.Call(func=function):
                called = ".".join(ast.unparse(function).split(".")[-2:])
                if DRAWN.fullmatch(called):
                    found["generators"].add(f"{module} {called}")
        found["defaults"] |= {
            f"{module} {name}"
            for name, value in names_with_values(node)
            if DEFAULT.fullmatch(name) and re.search("[a-z]", text(value))
        }
    return found


def read_settings(content: str, file: str) -> set[str]:
    """List the secrets that a file of settings gives a value."""
    lines = map(SETTING.fullmatch, map(str.strip, content.splitlines()))
    return {
        f"{file} {line[1]}"
        for line in lines
        if line and DEFAULT.fullmatch(line[1].replace("-", "_"))
    }


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
    for file in path.rglob("*"):
        if file.suffix in SETTINGS and file.is_file():
            name = str(file.relative_to(path.parent))
            found["defaults"] |= read_settings(file.read_text(), name)
    return found


@pytest.mark.parametrize("version", EACH_VERSION)
@pytest.mark.parametrize("kind", TABLE)
def test_every_key_of_a_release_is_in_the_table(version: str, kind: str) -> None:
    assert source(version)[kind] - set(TABLE[kind]) == set()


@pytest.mark.slow
@pytest.mark.parametrize("kind", TABLE)
def test_table_has_no_key_that_no_release_has(kind: str) -> None:
    everything = set().union(*(source(version)[kind] for version in VERSIONS))
    assert set(TABLE[kind]) - everything == set()


@pytest.mark.parametrize("version", EACH_VERSION)
def test_plug_ins_of_a_release_are_mlflows_own(version: str) -> None:
    assert package(version)[1] == ["mlflow", "mlflow-skinny"]


def test_table_says_what_is_done() -> None:
    assert {done for entries in TABLE.values() for done in entries.values()} <= KINDS


def test_keys_of_ours_are_handed_over() -> None:
    program = (ROOT / "server/mlflow_host/keys.py").read_text()
    handed = read_source(program, "keys")["variables"]
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
        ('SIGNING_KEY = b"public"', "defaults", "new SIGNING_KEY"),
        ('self.api_key = "changeme"', "defaults", "new api_key"),
        ('app.config["SECRET_KEY"] = "dev"', "defaults", "new SECRET_KEY"),
        ('app.config.update(SECRET_KEY="dev")', "defaults", "new SECRET_KEY"),
        ('{"SECRET_KEY": "dev"}', "defaults", "new SECRET_KEY"),
        ('os.environ.get("A_SECRET", "dev")', "defaults", "new A_SECRET"),
        ('os.environ.setdefault("A_SECRET", "dev")', "defaults", "new A_SECRET"),
        ('X = _EnvironmentVariable("A_SECRET", str, "dev")', "defaults", "new A_SECRET"),
        ('def sign(text, *, salt="dev"): ...', "defaults", "new salt"),
        ('def sign(text, secret="dev"): ...', "defaults", "new secret"),
        ("key = secrets.choice(LETTERS)", "generators", "new secrets.choice"),
    ],
)
def test_new_key_in_a_release_is_found(text: str, kind: str, name: str | None) -> None:
    found: dict[str, Any] = read_source(text, "new")
    wanted = name or re.findall(r'"(\w+)"', text)[0]
    assert found[kind] == {wanted}
    assert wanted not in TABLE[kind]


@pytest.mark.parametrize(
    "text",
    [
        "[mlflow]\nadmin_password = password1234",
        "session:\n  signing_key: 'dev'",
        "export SECRET_KEY=dev",
    ],
)
def test_new_key_in_a_file_of_settings_is_found(text: str) -> None:
    found = read_settings(text, "new.ini")
    assert len(found) == 1
    assert not found & set(TABLE["defaults"])


@pytest.mark.parametrize(
    "text", ["# password = x", "password =", "password: ''", "api_key: $OPENAI_API_KEY", "path = x"]
)
def test_setting_without_a_key_is_not_found(text: str) -> None:
    assert read_settings(text, "new.ini") == set()
