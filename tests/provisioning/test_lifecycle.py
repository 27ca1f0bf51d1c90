"""Plan, create, repeat and delete: the tests are in the order of a deployment's life."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

# All that talks to the API alone; what runs on the host is Molecule's and the end-to-end test's.
PLAYBOOKS = ["vpc", "s3", "iam", "secrets", "rds", "ec2"]
QUICK = ["vpc", "s3"]
LOCK = {"Bucket": "prov-mlflow-123456789012-us-east-1", "Key": "lock.json"}


def test_plan_of_an_empty_account_covers_the_whole_site(aws: LocalAws) -> None:
    play = aws.play("site.yml", "--check", "--diff")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] > 0
    assert "0 to change, 0 to delete, 0 unchanged" in play.output
    assert aws.resources("prov") == []


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbook_creates_alone(aws: LocalAws, name: str) -> None:
    play = aws.play(f"playbooks/{name}.yml")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] > 0


# The end-to-end test repeats the whole of site.yml.
@pytest.mark.parametrize("name", QUICK)
def test_second_run_changes_nothing(aws: LocalAws, name: str) -> None:
    play = aws.play(f"playbooks/{name}.yml")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output


def test_run_from_another_address_changes_nothing(aws: LocalAws, tmp_path: Path) -> None:
    (tmp_path / "address").write_text("198.51.100.7\n")
    serve = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/address"
        play = aws.play("playbooks/vpc.yml", "-e", f"operator_address_url={url}")
        server.shutdown()

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output
    said = " ".join(play.output.split())
    assert "the host admits 127.0.0.1/32, and not this machine (198.51.100.7/32)" in said


def locks(aws: LocalAws) -> int:
    """Count the versions and delete markers of the lock."""
    page = aws.client("s3").list_object_versions(Bucket=LOCK["Bucket"], Prefix=LOCK["Key"])
    return len(page.get("Versions", []) + page.get("DeleteMarkers", []))


def keeper(aws: LocalAws) -> int:
    """Return the process that releases the lock of a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            program = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
            if (
                any(part.endswith(b"/lock_keeper.py") for part in program)
                and f"LOCAL_AWS_DIR={aws.directory}".encode() in environment
            ):
                found.append(int(folder.name))
    [process] = found
    return process


@contextmanager
def suspended_run(aws: LocalAws) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run, suspend it when it has the lock, and kill it at the end."""
    run = subprocess.Popen(
        [BIN / "ansible-playbook", "playbooks/secrets.yml", *aws.extra_variables],
        cwd=ROOT,
        env=aws.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 120
        while not locks(aws) and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGSTOP)
        yield run
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_second_operator_is_refused_until_the_first_run_has_ended(
    aws: LocalAws, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    for folder in ("collections", "inventory", "playbooks", "roles"):
        shutil.copytree(ROOT / folder, clone / folder, symlinks=True)
    shutil.copy(ROOT / "ansible.cfg", clone)
    second = replace(aws, clone=clone)

    with suspended_run(aws) as first:
        refused = second.play("playbooks/secrets.yml")
        # Nothing is left that releases the lock.
        os.kill(keeper(aws), signal.SIGKILL)
    left = locks(aws)
    taken_over = second.play("playbooks/secrets.yml")

    assert refused.returncode != 0
    said = " ".join(refused.output.split())
    assert "deployment: prov is locked, because another run changes it." in said
    assert f"@{socket.gethostname()} runs secrets.yml (process {first.pid}) since 20" in said
    assert "`ansible-playbook playbooks/unlock.yml -e deployment=prov`" in said
    assert left == 1
    assert taken_over.returncode == 0, taken_over.output
    said = " ".join(taken_over.output.split())
    assert "had a stale lock, which is removed: " in said
    assert f"runs secrets.yml (process {first.pid})" in said
    assert taken_over.recap["changed"] == 0, taken_over.output
    assert locks(aws) == 0


def test_run_that_is_killed_releases_its_lock(aws: LocalAws) -> None:
    with suspended_run(aws):
        held = locks(aws)
    end = time.monotonic() + 30
    while locks(aws) and time.monotonic() < end:
        time.sleep(0.1)

    assert held == 1
    assert locks(aws) == 0


def test_lock_of_another_machine_is_broken_after_confirmation(aws: LocalAws) -> None:
    owner = {
        "user": "ops@laptop",
        "playbook": "site.yml",
        "machine": "another",
        "process": 4242,
        "start": 1,
        "run": "1",
    }
    aws.client("s3").put_object(**LOCK, Body=json.dumps(owner).encode())

    refused = aws.play("playbooks/unlock.yml", "-e", "confirm=other")
    assert refused.returncode != 0
    assert "ops@laptop runs site.yml (process 4242) since 20" in refused.output
    assert "confirm it with -e confirm=prov" in refused.output
    assert locks(aws) == 1

    broken = aws.play("playbooks/unlock.yml", "-e", "confirm=prov")
    assert broken.returncode == 0, broken.output
    assert broken.recap["changed"] == 1, broken.output
    assert locks(aws) == 0


def test_network_that_lost_its_tags_is_not_made_twice(aws: LocalAws) -> None:
    ec2 = aws.client("ec2")
    ours = [{"Name": "tag:Deployment", "Values": ["prov"]}]
    [network] = ec2.describe_vpcs(Filters=ours)["Vpcs"]
    lost = [tag for tag in network["Tags"] if tag["Key"] != "Name"]
    ec2.delete_tags(Resources=[network["VpcId"]], Tags=lost)
    play = aws.play("playbooks/vpc.yml")
    ec2.create_tags(Resources=[network["VpcId"]], Tags=lost)

    assert play.returncode != 0
    said = " ".join(play.output.split())
    assert f"VPC {network['VpcId']} is named 'prov' and has subnets of this deployment" in said
    after = [found["VpcId"] for found in ec2.describe_vpcs(Filters=ours)["Vpcs"]]
    assert after == [network["VpcId"]]


def test_destroy_without_confirmation_deletes_nothing(aws: LocalAws) -> None:
    before = aws.resources("prov")

    play = aws.play("playbooks/destroy.yml", "-e", "confirm=other")

    assert play.returncode != 0
    assert "Nothing was deleted" in play.output
    assert aws.resources("prov") == before


def test_destroy_leaves_nothing(aws: LocalAws) -> None:
    # Two groups that name each other, which can be deleted in no order.
    ec2 = aws.client("ec2")
    ours = [{"Name": "tag:Deployment", "Values": ["prov"]}]
    found = ec2.describe_security_groups(Filters=ours)["SecurityGroups"]
    groups = {group["GroupName"]: group["GroupId"] for group in found}
    pairs = [{"GroupId": groups["prov-database"]}]
    ec2.authorize_security_group_ingress(
        GroupId=groups["prov-host"],
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": pairs}
        ],
    )
    play = aws.play("playbooks/destroy.yml", "-e", "confirm=prov", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert aws.resources("prov") == []


def test_destroy_of_nothing_changes_nothing(aws: LocalAws) -> None:
    play = aws.play("playbooks/destroy.yml", "-e", "confirm=prov", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output


@pytest.mark.slow
def test_no_playbook_changes_anything_at_its_second_run(aws: LocalAws) -> None:
    for name in PLAYBOOKS:
        play = aws.play(f"playbooks/{name}.yml")
        assert play.returncode == 0, play.output
    second = {name: aws.play(f"playbooks/{name}.yml") for name in PLAYBOOKS}
    destroyed = aws.play("playbooks/destroy.yml", "-e", "confirm=prov", "-e", "purge=true")

    assert [play.output for play in second.values() if play.returncode] == []
    assert {name: play.recap["changed"] for name, play in second.items()} == dict.fromkeys(
        PLAYBOOKS, 0
    )
    assert destroyed.returncode == 0, destroyed.output
