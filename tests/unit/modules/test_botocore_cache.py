from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials
from botocore.handlers import BUILTIN_HANDLERS
from botocore.hooks import EVENT_ALIASES, EventAliaser, HierarchicalEmitter
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.modules.conftest import RunModule


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Permanent credentials, and botocore's own method, which the module replaces."""
    monkeypatch.setattr(Session, "create_client", Session.create_client)
    monkeypatch.setattr(EventAliaser, "__init__", EventAliaser.__init__)
    for name, value in (("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(name, value)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What botocore reads in this test; afterwards it is as it was."""
    paths: list[str] = []
    load = JSONFileLoader.load_file

    def load_file(self: JSONFileLoader, file_path: str) -> Any:
        paths.append(file_path)
        return load(self, file_path)

    monkeypatch.setattr(JSONFileLoader, "load_file", load_file)
    yield paths
    if "_cache" in vars(Loader):
        del Loader._cache


def client(service: str, **options: Any) -> Any:
    return boto3.Session().client(service, **({"region_name": "us-east-1"} | options))


def test_each_file_is_read_once_for_all_sessions(run_module: RunModule, read: list[str]) -> None:
    run_module("botocore_cache")
    names = [sorted(dir(client("ec2"))) for _ in range(3)]

    assert names[0] == names[1] == names[2]
    assert any(path.endswith("service-2") for path in read)
    assert len(set(read)) == len(read)


@pytest.mark.usefixtures("read")
def test_second_run_keeps_the_cache(run_module: RunModule) -> None:
    first = run_module("botocore_cache")
    client("sts")
    second = run_module("botocore_cache", check=True)

    assert (first["changed"], second["changed"]) == (False, False)
    assert first["kept"] == 0
    assert second["kept"] > 0
    client("sts")
    assert run_module("botocore_cache")["kept"] == second["kept"]


@pytest.mark.usefixtures("read")
def test_loaders_of_other_folders_keep_their_own(run_module: RunModule, tmp_path: Path) -> None:
    run_module("botocore_cache")
    (tmp_path / "other/2026-01-01").mkdir(parents=True)
    (tmp_path / "other/2026-01-01/service-2.json").write_text("{}")
    usual, other = Loader(), Loader(extra_search_paths=[str(tmp_path)])
    assert "other" not in usual.list_available_services("service-2")
    assert "other" in other.list_available_services("service-2")
    assert "other" not in Loader().list_available_services("service-2")


def test_loader_without_a_cache_of_its_own_is_left_alone(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialize = Loader.__init__

    def rename(self: Loader) -> None:
        initialize(self)
        self._other_cache = vars(self).pop("_cache")

    monkeypatch.setattr(Loader, "__init__", rename)
    assert run_module("botocore_cache")["kept"] == 0
    assert "_cache" not in vars(Loader)


@pytest.mark.usefixtures("read")
def test_clients_answer_as_before(run_module: RunModule, aws: str) -> None:
    run_module("botocore_cache")

    for _ in range(2):
        vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        assert client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"] == "10.0.0.0/16"
        assert client("s3").list_buckets()["Buckets"] == []
        assert client("sts").get_caller_identity()["Account"] == "123456789012", aws


@pytest.mark.usefixtures("read")
def test_sessions_share_a_client(run_module: RunModule) -> None:
    run_module("botocore_cache")
    first = client("sts", config=Config(retries={"mode": "standard"}))

    assert client("sts", config=Config(retries={"mode": "standard"})) is first
    assert client("ec2") is client("ec2")
    assert run_module("botocore_cache")["clients"] == 2


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize(
    "options",
    [
        {"region_name": "eu-west-1"},
        {"endpoint_url": "https://127.0.0.1:1"},
        {"verify": False},
        {"aws_access_key_id": "other", "aws_secret_access_key": "other"},
        {"config": Config(read_timeout=1)},
    ],
)
def test_client_with_other_arguments_is_another(
    run_module: RunModule, options: dict[str, Any]
) -> None:
    run_module("botocore_cache")

    assert client("sts", **options) is not client("sts")


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ACCESS_KEY_ID", "other"),
        ("AWS_SECRET_ACCESS_KEY", "other"),
        ("AWS_SESSION_TOKEN", "other"),
        ("AWS_ENDPOINT_URL", "https://127.0.0.1:1"),
        ("AWS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt"),
        ("AWS_MAX_ATTEMPTS", "9"),
        ("https_proxy", "http://127.0.0.1:1"),
    ],
)
def test_client_in_another_environment_is_another(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    run_module("botocore_cache")
    before = client("sts")
    monkeypatch.setenv(name, value)

    assert client("sts") is not before


@pytest.mark.usefixtures("read")
def test_client_with_another_configuration_is_another(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_module("botocore_cache")
    file = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    file.write_text("[default]\nmax_attempts = 3\n")
    before = client("sts")

    assert client("sts") is before
    file.write_text("[default]\nmax_attempts = 4\n")
    assert client("sts") is not before


@pytest.mark.usefixtures("read")
def test_client_with_credentials_that_are_renewed_is_not_shared(run_module: RunModule) -> None:
    run_module("botocore_cache")
    clients = []
    for _ in range(2):
        session = Session()
        session._credentials = DeferredRefreshableCredentials(dict, "sso")
        clients.append(session.create_client("sts", region_name="us-east-1"))

    assert clients[0] is not clients[1]


@pytest.mark.usefixtures("read")
def test_fork_begins_with_clients_of_its_own(run_module: RunModule) -> None:
    run_module("botocore_cache")
    before = client("sts")
    child = os.fork()
    if child == 0:
        os._exit(int(client("sts") is before))

    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.usefixtures("read")
def test_session_with_other_arguments_is_left_alone(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Session.create_client

    def create_client(self: Session, service_name: str, tenant: str = "", **named: Any) -> Any:
        assert not tenant
        return create(self, service_name, **named)

    monkeypatch.setattr(Session, "create_client", create_client)

    assert run_module("botocore_cache")["clients"] == 0
    assert client("sts") is not client("sts")


def present_names(aliaser: Any) -> list[str]:
    """Return the present names of events with a handler, and of some with a former name."""
    names = [handler[0] for handler in BUILTIN_HANDLERS]
    names += [f"before-call.{name}.DescribeSomething" for name in EVENT_ALIASES]
    return [aliaser._alias_event_name(name) for name in names]


def test_sessions_share_the_names_of_events(run_module: RunModule) -> None:
    theirs = present_names(EventAliaser(HierarchicalEmitter()))
    for _ in range(2):
        run_module("botocore_cache")
    first, second = (EventAliaser(HierarchicalEmitter()) for _ in range(2))
    assert present_names(first) == present_names(copy.copy(second)) == theirs
    assert vars(first)["_alias_name_cache"] is vars(copy.copy(second))["_alias_name_cache"]


def test_events_of_another_table_have_names_of_their_own(run_module: RunModule) -> None:
    run_module("botocore_cache")
    assert EventAliaser(HierarchicalEmitter())._alias_event_name("a.b") == "a.b"
    other = EventAliaser(HierarchicalEmitter(), {"a": "c"})
    assert other._alias_event_name("a.b") == "c.b"


def test_aliaser_with_other_arguments_is_left_alone(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def initialise(self: Any, emitter: Any) -> None:
        """Take something else."""

    monkeypatch.setattr(EventAliaser, "__init__", initialise)
    run_module("botocore_cache")
    assert EventAliaser.__init__ is initialise
