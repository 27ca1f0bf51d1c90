from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.loaders import JSONFileLoader, Loader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.modules.conftest import RunModule


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


def client(service: str) -> Any:
    return boto3.Session().client(service, region_name="us-east-1")


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
