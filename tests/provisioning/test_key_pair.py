"""The key pair of the host: imported once, and only replaced when the SSH key is another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalAws, Play

CREATE = "tests/provisioning/create_key.yml"
NAME = "prov-mlflow"
CALLS = ("ec2:ImportKeyPair", "ec2:DeleteKeyPair", "ec2:CreateTags")


@pytest.fixture
def ec2(aws: LocalAws) -> Iterator[Any]:
    """A client; the key pair is gone at the end."""
    client = aws.client("ec2")
    yield client
    client.delete_key_pair(KeyName=NAME)


def create(aws: LocalAws, directory: Path, *arguments: str) -> Play:
    """Create the key pair with the SSH key of a directory, or with a new one."""
    return aws.play(CREATE, "-e", f"deployment_dir={directory}", *arguments)


def test_key_pair_second_run_and_check_write_nothing(
    aws: LocalAws, ec2: Any, tmp_path: Path
) -> None:
    planned = create(aws, tmp_path, "--check")
    created = create(aws, tmp_path)

    assert planned.returncode == created.returncode == 0, planned.output + created.output
    assert created.recap["changed"] > 0
    assert [key["KeyName"] for key in ec2.describe_key_pairs()["KeyPairs"]] == [NAME]
    for arguments in ((), ("--check",)):
        with aws.denied(*CALLS):
            again = create(aws, tmp_path, *arguments)
        assert again.returncode == 0, again.output
        assert again.recap["changed"] == 0, again.output


def test_key_pair_of_another_ssh_key_is_replaced(aws: LocalAws, ec2: Any, tmp_path: Path) -> None:
    create(aws, tmp_path)
    [before] = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    play = create(aws, tmp_path / "another")
    [after] = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]

    assert play.returncode == 0, play.output
    assert after["PublicKey"] != before["PublicKey"]
    assert {tag["Key"]: tag["Value"] for tag in after["Tags"]}["Deployment"] == "prov"


def test_key_pair_of_a_stranger_is_refused_and_not_touched(
    aws: LocalAws, ec2: Any, tmp_path: Path
) -> None:
    stranger = ec2.create_key_pair(KeyName=NAME)["KeyPairId"]
    play = create(aws, tmp_path)

    assert play.returncode != 0
    assert "has a key pair 'prov-mlflow' without the tags" in play.output
    assert [key["KeyPairId"] for key in ec2.describe_key_pairs()["KeyPairs"]] == [stranger]
