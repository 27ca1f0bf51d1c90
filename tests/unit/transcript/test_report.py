"""A report holds what its reader needs to know of a run, and is refused without a transcript."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from aws_transcript.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

LINES: list[dict[str, Any]] = [
    {"event": "playbook", "name": "site.yml", "check": 0},
    {"event": "task", "name": "Create it", "action": "ec2_vpc_net"},
    {
        "service": "ec2",
        "operation": "CreateVpc",
        "region": "us-east-1",
        "parameters": {},
        "retries": [],
        "seconds": 0.1,
        "status": 400,
        "error": {"code": "VpcLimitExceeded", "message": "The maximum number has been reached."},
    },
    {"event": "failed", "name": "Create it", "host": "localhost", "message": "Failed to create"},
    {"event": "end", "ok": 1, "changed": 0, "failed": 1, "unreachable": 0},
]


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    file = tmp_path / "run.jsonl"
    time = "2026-11-28T14:06:12.724+00:00"
    file.write_text(
        "".join(json.dumps({"format": 1, "time": time, **line}) + "\n" for line in LINES)
    )
    return file


def test_report_holds_transcript_versions_outcome_and_errors(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "report.tar.gz"

    assert main(["report", str(recorded), "--output", str(archive)]) == 0

    printed = capsys.readouterr().out
    with tarfile.open(archive) as packed:
        texts = {
            member.name.removeprefix("aws-report/"): content.read().decode()
            for member in packed
            if (content := packed.extractfile(member))
        }
    versions = json.loads(texts["versions.json"])
    assert all(name in printed for name in texts if name != "README.txt")
    assert texts["transcript.jsonl"] == recorded.read_text()
    assert "VpcLimitExceeded (400): The maximum number" in texts["errors.txt"]
    assert "playbook site.yml\n  failed: Create it (localhost) Failed" in texts["outcome.txt"]
    assert "ok=1 changed=0 failed=1" in texts["outcome.txt"]
    assert {"ansible", "boto3", "botocore", "amazon.aws", "python", "commit", "system"} <= set(
        versions
    )
    assert "not installed" not in versions.values()


@pytest.mark.parametrize(
    ("content", "constraint"),
    [
        (None, "No such file or directory"),
        ("", "it holds no call to AWS"),
        ("{}\n", "member `format` must be 1"),
        ('{"format": 1, "service": "ec2"}\n', "a call without member 'operation'"),
        ("not JSON\n", "it is not JSON"),
    ],
)
def test_report_of_an_invalid_transcript_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, constraint: str
) -> None:
    file, archive = tmp_path / "run.jsonl", tmp_path / "report.tar.gz"
    if content is not None:
        file.write_text(content)

    assert main(["report", str(file), "--output", str(archive)]) == 2

    printed = capsys.readouterr().err
    assert constraint in printed
    assert len(printed.splitlines()) == 1
    assert not archive.exists()


def test_report_without_a_name_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_TRANSCRIPT", raising=False)

    assert main(["report"]) == 2

    assert capsys.readouterr().err == (
        "AWS_TRANSCRIPT: it is not set. Record a run and name its file: "
        "AWS_TRANSCRIPT=run.jsonl make aws-report\n"
    )
