"""The key pair of the host: imported once, and only replaced when the SSH key is another."""

from __future__ import annotations

import re
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
    """A client; key pair and SSH key are gone at the end."""
    client = aws.client("ec2")
    yield client
    client.delete_key_pair(KeyName=NAME)
    forget(aws)


def pairs(ec2: Any, **arguments: Any) -> list[dict[str, Any]]:
    """Return the key pairs that have a name of the deployment's."""
    found: list[dict[str, Any]] = ec2.describe_key_pairs(**arguments)["KeyPairs"]
    return [pair for pair in found if re.fullmatch("prov-(?!next-).*", pair["KeyName"])]


def forget(aws: LocalAws) -> None:
    """Delete the SSH key for good."""
    aws.client("secretsmanager").delete_secret(
        SecretId="prov/ssh-key", ForceDeleteWithoutRecovery=True
    )


def create(aws: LocalAws, directory: Path, *arguments: str) -> Play:
    """Create the key pair from a machine that has the files of a directory."""
    return aws.play(CREATE, "-e", f"deployment_dir={directory}", *arguments)


def test_key_pair_second_run_and_check_write_nothing(
    aws: LocalAws, ec2: Any, tmp_path: Path
) -> None:
    planned = create(aws, tmp_path, "--check")
    created = create(aws, tmp_path)

    assert planned.returncode == created.returncode == 0, planned.output + created.output
    assert created.recap["changed"] > 0
    assert [key["KeyName"] for key in pairs(ec2)] == [NAME]
    for arguments in ((), ("--check",)):
        with aws.denied(*CALLS):
            again = create(aws, tmp_path, *arguments)
        assert again.returncode == 0, again.output
        assert again.recap["changed"] == 0, again.output


@pytest.mark.slow
def test_key_pair_of_another_ssh_key_is_replaced(aws: LocalAws, ec2: Any, tmp_path: Path) -> None:
    create(aws, tmp_path)
    [before] = pairs(ec2, IncludePublicKey=True)
    forget(aws)
    play = create(aws, tmp_path)
    [after] = pairs(ec2, IncludePublicKey=True)

    assert play.returncode == 0, play.output
    assert after["PublicKey"] != before["PublicKey"]
    assert {tag["Key"]: tag["Value"] for tag in after["Tags"]}["Deployment"] == "prov"


def test_key_pair_of_a_machine_without_files_is_kept(
    aws: LocalAws, ec2: Any, tmp_path: Path
) -> None:
    create(aws, tmp_path / "first")
    [before] = pairs(ec2)
    play = create(aws, tmp_path / "second")

    keys = [(tmp_path / name / "id_ed25519").read_text() for name in ("first", "second")]
    assert play.returncode == 0, play.output
    assert pairs(ec2) == [before]
    assert keys[0] == keys[1]
    assert (tmp_path / "second/id_ed25519").stat().st_mode & 0o777 == 0o600
    assert keys[0].splitlines()[1] not in play.output


def test_key_pair_of_a_stranger_is_refused_and_not_touched(
    aws: LocalAws, ec2: Any, tmp_path: Path
) -> None:
    stranger = ec2.create_key_pair(KeyName=NAME)["KeyPairId"]
    play = create(aws, tmp_path)

    assert play.returncode != 0
    assert "has a key pair 'prov-mlflow' without the tags" in play.output
    assert [key["KeyPairId"] for key in pairs(ec2)] == [stranger]
