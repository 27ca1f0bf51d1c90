"""Module s3_prefix_download: the objects of a bucket become files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import RunModule

MODULE = "s3_prefix_download"
BUCKET = "artifacts"


@pytest.fixture
def s3(aws: str) -> Any:
    """A client with a bucket."""
    assert aws
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for key, body in (
        ("p/a/b", b"1"),
        ("p/a/empty", b""),
        ("p/ä", b"22"),
        ("q", b"4"),
        ("p/", b""),
    ):
        client.put_object(Bucket=BUCKET, Key=key, Body=body)
    return client


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_objects_become_files_once(s3: Any, tmp_path: Path, run_module: RunModule) -> None:
    assert s3
    folder = tmp_path / "new"
    wanted: dict[str, Any] = {"bucket": BUCKET, "prefix": "p/", "dest": str(folder)}
    planned = run_module(MODULE, check=True, **wanted)
    assert not folder.exists()
    first = run_module(MODULE, **wanted)
    second = run_module(MODULE, **wanted)

    assert (planned["changed"], planned["downloaded"]) == (True, 3)
    assert (first["objects"], first["bytes"], first["downloaded"]) == (3, 3, 3)
    assert (second["changed"], second["downloaded"]) == (False, 0)
    assert files(folder) == {"a/b": b"1", "a/empty": b"", "ä": b"22"}


def test_files_that_differ_are_downloaded_again(
    s3: Any, tmp_path: Path, run_module: RunModule
) -> None:
    wanted: dict[str, Any] = {"bucket": BUCKET, "prefix": "p/", "dest": str(tmp_path)}
    run_module(MODULE, **wanted)
    (tmp_path / "a/b").write_bytes(b"longer")
    # Of the same size, but of another time.
    (tmp_path / "ä").write_bytes(b"33")
    os.utime(tmp_path / "ä", (1, 1))
    (tmp_path / "own").write_bytes(b"stays")
    again = run_module(MODULE, **wanted)

    assert again["downloaded"] == 2
    assert files(tmp_path) == {"a/b": b"1", "a/empty": b"", "ä": b"22", "own": b"stays"}
    s3.put_object(Bucket=BUCKET, Key="p/a/b", Body=b"newer")
    assert run_module(MODULE, **wanted)["downloaded"] == 1


@pytest.mark.parametrize("key", ["p/../x", "p/a/../../x", "p//x", "p/./x", "p/a/..", "p/a//"])
def test_key_that_leads_out_is_refused(
    s3: Any, tmp_path: Path, run_module: RunModule, key: str
) -> None:
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"hostile")
    folder = tmp_path / "inside"
    folder.mkdir()
    result = run_module(MODULE, fails=True, bucket=BUCKET, prefix="p/", dest=str(folder))

    assert "is not a valid key for a file below the folder" in result["msg"]
    assert files(tmp_path) == {}


def test_missing_bucket_is_an_error(aws: str, tmp_path: Path, run_module: RunModule) -> None:
    assert aws
    result = run_module(MODULE, fails=True, bucket="missing", prefix="p/", dest=str(tmp_path))

    assert "Failed to download objects of bucket missing" in result["msg"]
