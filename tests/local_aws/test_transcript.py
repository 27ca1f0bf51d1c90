"""Calls are recorded in every process of a run, and the example is what local AWS still answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aws_transcript import transcript
from local_aws import profile
from tests.conftest import BIN, ROOT, LocalAws, started
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = ROOT / "docs/transcripts/example.jsonl"
PRELUDE = """
import boto3, botocore
ec2 = boto3.client("ec2")
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS that nobody has used."""
    yield from started(LocalAws(tmp_path_factory.mktemp("fresh"), free_port()))


def environment(aws: LocalAws, file: Path, **more: str) -> dict[str, str]:
    return {
        **aws.environment,
        "AWS_TRANSCRIPT": str(file),
        "AWS_CONFIG_FILE": str(aws.directory / "config"),
        "AWS_CA_BUNDLE": str(aws.directory / "ca.pem"),
        **more,
    }


def run(aws: LocalAws, file: Path, source: str, **more: str) -> str:
    """Run Python code as any program of the environment; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + source],
        cwd=file.parent,
        env=environment(aws, file, **more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def program(aws: LocalAws, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aws_transcript", *arguments],
        cwd=ROOT,
        env=aws.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_replay_of_the_example_finds_no_difference(fresh: LocalAws) -> None:
    done = program(fresh, "replay", EXAMPLE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 differences, 0 not replayed" in done.stdout


def test_replay_of_another_answer_names_the_difference(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run(aws, file, 'ec2.describe_regions(RegionNames=["eu-west-1"])')
    [call] = entries(file)
    call["answer"]["Regions"][0]["Endpoint"] = 1
    call["answer"]["Regions"][0]["Added"] = "a"
    refused = call | {
        "parameters": {},
        "error": {"code": "UnauthorizedOperation", "message": ""},
        "status": 403,
    }
    file.write_text("".join(json.dumps(line) + "\n" for line in (call, refused)))

    done = program(aws, "replay", file)

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "line 1: ec2:DescribeRegions: answer.Regions[].Added: recorded string, found missing",
        "line 1: ec2:DescribeRegions: answer.Regions[].Endpoint: recorded number, found string",
        (
            "line 2: ec2:DescribeRegions: outcome: recorded UnauthorizedOperation (403), "
            "found an answer (200)"
        ),
        "2 calls compared, 3 differences, 0 not replayed",
    ]


def test_replay_against_another_transcript_names_the_order(aws: LocalAws, tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    calls = ["ec2.describe_regions()", "ec2.describe_vpcs()", "ec2.describe_subnets()"]
    run(aws, one, "\n".join(calls))
    run(aws, other, "\n".join([calls[1], calls[0], calls[2]]))

    done = program(aws, "replay", one, "--against", other)
    same = program(aws, "replay", one, "--against", one)

    assert done.returncode == 1
    assert re.search(r"Describe\w+ is only in the recorded run", done.stdout)
    assert re.search(r"Describe\w+ is only in the other run", done.stdout)
    assert same.returncode == 0


def test_replay_maps_ids_to_those_of_the_target(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run(
        aws,
        file,
        'vpc = ec2.create_vpc(CidrBlock="10.130.0.0/16")["Vpc"]["VpcId"]\n'
        'ec2.create_subnet(VpcId=vpc, CidrBlock="10.130.3.0/24")\n'
        'ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])',
    )

    done = program(aws, "replay", file)

    assert (done.returncode, done.stdout) == (
        0,
        "3 calls compared, 0 differences, 0 not replayed\n",
    )
    assert "10.130" not in file.read_text()


def test_replay_of_a_public_key_generates_another(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run(
        aws,
        file,
        "from aws_transcript.replay import GENERATED_BYTES\n"
        'key = GENERATED_BYTES["PublicKeyMaterial"]()\n'
        'ec2.import_key_pair(KeyName="recorded", PublicKeyMaterial=key)\n'
        'ec2.delete_key_pair(KeyName="recorded")',
        PYTHONPATH=str(ROOT),
    )

    done = program(aws, "replay", file)

    assert "ssh-ed25519" not in file.read_text()
    assert (done.returncode, done.stdout) == (
        *(0, "2 calls compared, 0 differences, 0 not replayed\n"),
    )


def test_replay_of_images_asks_for_those_of_the_target(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run(
        aws,
        file,
        'boto3.client("sts").get_caller_identity()\n'
        'assert ec2.describe_images(Owners=["136693071363"])["Images"]',
    )

    done = program(aws, "replay", file)

    assert "136693071363" not in file.read_text()
    assert (done.returncode, done.stdout) == (
        *(0, "2 calls compared, 0 differences, 0 not replayed\n"),
    )


def test_replay_of_unknown_bytes_is_left_out(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run(
        aws,
        file,
        's3 = boto3.client("s3")\n'
        's3.create_bucket(Bucket="recorded-bytes")\n'
        's3.put_object(Bucket="recorded-bytes", Key="a", Body=b"hidden")\n'
        's3.delete_object(Bucket="recorded-bytes", Key="a")\n'
        's3.delete_bucket(Bucket="recorded-bytes")',
    )

    done = program(aws, "replay", file)

    assert "hidden" not in file.read_text()
    assert done.stdout == (
        "not replayed: line 2: s3:PutObject needs <stream>\n"
        "3 calls compared, 0 differences, 1 not replayed\n"
    )


def test_call_with_an_answer_is_recorded(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    printed = run(aws, file, 'print(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])')

    [call] = entries(file)

    assert printed.strip() not in file.read_text()
    assert call["answer"]["Vpc"]["VpcId"] == "<vpc-1>"
    assert (call["service"], call["operation"], call["region"], call["status"]) == (
        *("ec2", "CreateVpc", "us-east-1", 200),
    )
    assert call["retries"] == []
    assert 0 < call["seconds"] < 60


def test_call_with_an_error_is_recorded(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run(
        aws,
        file,
        "try: ec2.delete_vpc(VpcId='vpc-0123456789abcdef0')\n"
        "except botocore.exceptions.ClientError: pass",
    )

    [call] = entries(file)

    assert call["error"]["code"] == "InvalidVpcID.NotFound"
    assert "<vpc-1>" in call["error"]["message"]
    assert (call["status"], "answer" in call) == (400, False)


def test_call_without_an_answer_is_recorded_with_its_retries(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run(
        aws,
        file,
        "try: ec2.describe_vpcs()\nexcept botocore.exceptions.EndpointConnectionError: pass",
        AWS_ENDPOINT_URL=f"https://127.0.0.1:{free_port()}",
        AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="false",
        AWS_MAX_ATTEMPTS="2",
        AWS_RETRY_MODE="standard",
    )

    [call] = entries(file)

    assert call["error"]["code"] == "EndpointConnectionError"
    assert (call["status"], call["retries"]) == (None, ["EndpointConnectionError"])


def test_keys_of_the_caller_are_not_recorded(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    key = profile.DEPLOYER.secret_key
    run(
        aws,
        file,
        f'names = ["vpc-{key}"]\n'
        "for _ in range(2):\n"
        "    try: ec2.describe_vpcs(Filters=[{'Name': 'tag:Name', 'Values': names}])\n"
        "    except botocore.exceptions.ClientError: pass",
    )

    assert [call["parameters"]["Filters"][0]["Values"] for call in entries(file)] == [
        ["vpc-<secret-1>"],
        ["vpc-<secret-1>"],
    ]


def test_secrets_of_a_run_are_not_recorded(aws: LocalAws, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run(
        aws,
        file,
        'secrets = boto3.client("secretsmanager")\n'
        'secrets.create_secret(Name="recorded", SecretString="correct horse")\n'
        'secrets.get_secret_value(SecretId="recorded")\n'
        'secrets.tag_resource(SecretId="recorded", Tags=[{"Key": "a", "Value": "correct horse"}])\n'
        'boto3.client("sts").get_caller_identity()',
    )

    text = file.read_text()

    assert len(text.splitlines()) == 4
    assert "horse" not in text
    assert "123456789012" not in text
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("strategy", ["mlflow_ec2.aws.warm", "linear"])
def test_every_task_of_a_playbook_is_recorded(aws: LocalAws, tmp_path: Path, strategy: str) -> None:
    file, playbook = tmp_path / "run.jsonl", tmp_path / "playbook.yml"
    playbook.write_text("""
- hosts: localhost
  gather_facts: false
  connection: local
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - name: Ask with a module of a collection
      amazon.aws.aws_caller_info:
    - name: Ask with a module of ours
      mlflow_ec2.aws.lambda_function_info: {name: missing}
    - name: Ask with a lookup
      ansible.builtin.debug:
        msg: "{{ lookup('amazon.aws.aws_collection_constants', 'MINIMUM_BOTOCORE_VERSION') }}
          {{ lookup('amazon.aws.secretsmanager_secret', 'missing', on_missing='skip') }}"
    - name: Fail
      ansible.builtin.fail: {msg: "The password=hidden1234 of 123456789012 is wrong"}
""")
    done = subprocess.run(
        [BIN / "ansible-playbook", "--inventory=localhost,", playbook],
        cwd=ROOT,
        env=environment(aws, file, ANSIBLE_STRATEGY=strategy, AWS_REGION="us-east-1"),
        capture_output=True,
        text=True,
        check=False,
    )

    recorded = transcript.read(file)

    assert done.returncode == 2, done.stdout + done.stderr
    names = [call.name for call in recorded.calls]
    assert "sts:GetCallerIdentity" in names
    assert "lambda:GetFunctionConfiguration" in names
    assert "secretsmanager:GetSecretValue" in names
    [failed] = [event for event in recorded.events if event["event"] == "failed"]
    assert failed["message"] == "The password=<secret-2> of <account-1> is wrong"
    assert recorded.events[-1]["failed"] == 1


def test_interpreter_with_an_invalid_transcript_ends_with_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "print('ran')"],
        env=os.environ | {"AWS_TRANSCRIPT": str(tmp_path / "missing/run.jsonl")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"AWS_TRANSCRIPT: {tmp_path}/missing/run.jsonl is not a valid")
    assert len(done.stderr.splitlines()) == 1
