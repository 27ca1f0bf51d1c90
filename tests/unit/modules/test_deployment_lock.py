from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from ansible_collections.mlflow_ec2.aws.plugins.callback.lock import release
from ansible_collections.mlflow_ec2.aws.plugins.module_utils import lock_keeper
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.lock_keeper import (
    is_running,
    machine,
    start_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import RunModule

MODULE = "deployment_lock"
PLACE = {"bucket": "artifacts", "key": "lock.json"}
LOCK: dict[str, Any] = {**PLACE, "deployment": "demo"}


@pytest.fixture
def s3(aws: str) -> Any:
    """A client, with a versioned bucket."""
    assert aws
    client = boto3.client("s3")
    client.create_bucket(Bucket=PLACE["bucket"])
    client.put_bucket_versioning(
        Bucket=PLACE["bucket"], VersioningConfiguration={"Status": "Enabled"}
    )
    return client


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process of another run."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def owner(run: str, process: int | None = None, **others: Any) -> dict[str, Any]:
    """Return an owner, of this process unless another is given."""
    process = process or os.getpid()
    return {
        "user": f"{run}@laptop",
        "playbook": "site.yml",
        "machine": machine(),
        "process": process,
        "start": start_of(process) or 1,
        "run": run,
        **others,
    }


def versions(client: Any) -> list[str]:
    page = client.list_object_versions(Bucket=PLACE["bucket"])
    return [one["VersionId"] for one in page.get("Versions", []) + page.get("DeleteMarkers", [])]


def test_lock_is_taken_once(s3: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, **LOCK, owner=owner("first"))
    second = run_module(MODULE, **LOCK, owner=owner("second"), fails=True)

    assert (first["locked"], first["changed"]) == (True, False)
    assert "deployment: demo is locked" in second["msg"]
    assert f"first@laptop runs site.yml (process {os.getpid()}) since 20" in second["msg"]
    assert "playbooks/unlock.yml -e deployment=demo" in second["msg"]
    assert versions(s3) == [first["lock"]["version_id"]]


def test_lock_of_the_same_run_is_not_taken_for_another_one(s3: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, **LOCK, owner=owner("first"))
    again = run_module(MODULE, **LOCK, owner=owner("first"))

    assert again["lock"]["version_id"] == first["lock"]["version_id"]
    assert len(versions(s3)) == 1


def test_lock_whose_process_has_ended_is_taken_over(
    s3: Any, run_module: RunModule, sleeper: subprocess.Popen[bytes]
) -> None:
    first = run_module(MODULE, **LOCK, owner=owner("first", sleeper.pid))
    sleeper.kill()
    sleeper.wait()
    second = run_module(MODULE, **LOCK, owner=owner("second"))

    assert second["locked"]
    assert "stale lock, which is removed: first@laptop runs site.yml" in str(second["warnings"])
    assert versions(s3) == [second["lock"]["version_id"]] != [first["lock"]["version_id"]]


def test_lock_of_a_process_id_that_is_used_again_is_taken_over(
    s3: Any, run_module: RunModule
) -> None:
    run_module(MODULE, **LOCK, owner=owner("first", start=1))

    assert run_module(MODULE, **LOCK, owner=owner("second"))["locked"]
    assert len(versions(s3)) == 1


def test_lock_of_another_machine_is_not_taken_over(s3: Any, run_module: RunModule) -> None:
    run_module(MODULE, **LOCK, owner=owner("first", start=1, machine="another"))
    second = run_module(MODULE, **LOCK, owner=owner("second"), fails=True)

    assert "first@laptop runs site.yml" in second["msg"]
    assert len(versions(s3)) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"user": "somebody"}'])
def test_lock_that_is_not_readable_is_a_lock(
    s3: Any, run_module: RunModule, content: bytes
) -> None:
    s3.put_object(Bucket=PLACE["bucket"], Key=PLACE["key"], Body=content)
    refused = run_module(MODULE, **LOCK, owner=owner("second"), fails=True)
    broken = run_module(MODULE, **LOCK, state="absent")

    assert "deployment: demo is locked" in refused["msg"]
    assert broken["changed"]
    assert versions(s3) == []


def test_bucket_that_does_not_exist_has_no_lock(run_module: RunModule) -> None:
    taken = run_module(MODULE, **LOCK, owner=owner("first"))
    broken = run_module(MODULE, **LOCK, state="absent")

    assert (taken["locked"], taken["lock"]) == (False, {})
    assert (broken["changed"], broken["lock"]) == (False, {})


def test_module_in_check_mode_changes_nothing(s3: Any, run_module: RunModule) -> None:
    free = run_module(MODULE, **LOCK, owner=owner("first"), check=True)
    assert (free["locked"], versions(s3)) == (False, [])

    held = run_module(MODULE, **LOCK, owner=owner("first", machine="another"))
    seen = run_module(MODULE, **LOCK, owner=owner("second"), check=True)
    broken = run_module(MODULE, **LOCK, state="absent", check=True)

    assert seen["lock"]["holder"].startswith("first@laptop")
    assert broken["lock"]["version_id"] == held["lock"]["version_id"]
    assert versions(s3) == [held["lock"]["version_id"]]


def test_break_of_another_version_leaves_the_lock(s3: Any, run_module: RunModule) -> None:
    run_module(MODULE, **LOCK, owner=owner("first", machine="another"))
    other = run_module(MODULE, **LOCK, state="absent", version_id="former")

    assert not other["changed"]
    assert len(versions(s3)) == 1


def test_break_of_a_lock_whose_process_runs_here_is_refused(s3: Any, run_module: RunModule) -> None:
    run_module(MODULE, **LOCK, owner=owner("first"))
    refused = run_module(MODULE, **LOCK, state="absent", fails=True)

    assert "End that process first" in refused["msg"]
    assert len(versions(s3)) == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, None], ids=["signal", "end of the run"])
def test_keeper_releases_its_own_lock_only(
    s3: Any, run_module: RunModule, sleeper: subprocess.Popen[bytes], how: signal.Signals | None
) -> None:
    start = start_of(sleeper.pid)
    first = run_module(MODULE, **LOCK, owner=owner("first", sleeper.pid))
    text = json.dumps(
        {
            **PLACE,
            "version_id": first["lock"]["version_id"],
            "region": "us-east-1",
            "process": sleeper.pid,
            "start": start,
        }
    )
    keeper = subprocess.Popen(
        [sys.executable, lock_keeper.__file__], stdin=subprocess.PIPE, text=True
    )
    assert keeper.stdin is not None
    with keeper.stdin as pipe:
        pipe.write(text)
    with pytest.raises(subprocess.TimeoutExpired):
        keeper.wait(timeout=2)
    assert len(versions(s3)) == 1
    if how:
        keeper.send_signal(how)
    else:
        sleeper.kill()
        sleeper.wait()

    assert keeper.wait(timeout=30) == 0
    assert versions(s3) == []


def test_run_waits_for_the_process_that_releases_the_lock() -> None:
    # It needs some time after SIGTERM.
    program = "trap 'sleep 1; exit' TERM; echo ready; while sleep 0.1; do :; done"
    keeper = subprocess.Popen(["bash", "-c", program], stdout=subprocess.PIPE)
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == b"ready\n"
    start = start_of(keeper.pid)
    release(os.getpid() + 1, {"process": keeper.pid, "start": start})
    assert keeper.poll() is None

    release(os.getpid(), {"process": keeper.pid, "start": start})
    assert keeper.wait(timeout=5) == 0


def test_run_without_the_process_that_releases_the_lock_warns(
    capfd: pytest.CaptureFixture[str],
) -> None:
    release(os.getpid(), {"process": os.getpid(), "start": 1})

    assert "has ended before the run" in " ".join(capfd.readouterr().err.split())


def test_keeper_without_a_lock_ends() -> None:
    done = subprocess.run([sys.executable, lock_keeper.__file__], input=b"", check=False)

    assert done.returncode == 0


def test_process_that_has_ended_is_not_running(sleeper: subprocess.Popen[bytes]) -> None:
    start = start_of(sleeper.pid)
    assert start is not None
    assert is_running(sleeper.pid, start)
    assert not is_running(sleeper.pid, start + 1)

    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    # It is a zombie, and not running.
    assert not is_running(sleeper.pid, start)
