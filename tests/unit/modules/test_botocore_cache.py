from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.loaders import JSONFileLoader

if TYPE_CHECKING:
    from tests.unit.modules.conftest import RunModule


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What botocore reads in this test; afterwards it is as it was."""
    paths: list[str] = []
    load = JSONFileLoader.load_file

    def load_file(self: JSONFileLoader, file_path: str) -> Any:
        paths.append(file_path)
        return load(self, file_path)

    monkeypatch.setattr(JSONFileLoader, "load_file", load_file)
    return paths


def client(service: str) -> Any:
    return boto3.Session().client(service, region_name="us-east-1")


def test_each_file_is_read_once_for_all_sessions(run_module: RunModule, read: list[str]) -> None:
    run_module("botocore_cache")
    names = [sorted(dir(client("ec2"))) for _ in range(3)]

    assert names[0] == names[1] == names[2]
    assert any(path.endswith("service-2") for path in read)
    assert len(set(read)) == len(read)


def test_second_run_keeps_the_cache(run_module: RunModule, read: list[str]) -> None:
    first = run_module("botocore_cache")
    client("sts")
    second = run_module("botocore_cache", check=True)

    assert (first["changed"], second["changed"]) == (False, False)
    assert first["files"] == 0
    assert second["files"] == len(read) > 0


@pytest.mark.usefixtures("read")
def test_clients_answer_as_before(run_module: RunModule, aws: str) -> None:
    run_module("botocore_cache")

    for _ in range(2):
        vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        assert client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"] == "10.0.0.0/16"
        assert client("s3").list_buckets()["Buckets"] == []
        assert client("sts").get_caller_identity()["Account"] == "123456789012", aws
