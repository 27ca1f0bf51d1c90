# SPDX-License-Identifier: Apache-2.0
"""Versions of a bucket's objects: which were current in a time, and lists of them as files."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
PAGE = 1000


@dataclass(frozen=True)
class Version:
    """A version of an object.

    Attributes
    ----------
    size
        In bytes.
    etag
        Without its quotation marks. The MD5 of the content, unless it contains a hyphen.
    source
        In a bucket of copies, the version of which this is a copy.
    """

    key: str
    version_id: str
    size: int
    etag: str
    source: str | None = None


class ListError(Exception):
    """A list is not the expected one."""


@dataclass(frozen=True)
class _Entry:
    """A version or a delete marker of a listing, whose key is current from `modified` on."""

    key: str
    modified: datetime
    version: Version | None


def parse_time(text: str) -> datetime:
    """Return an ISO 8601 time; one without a time zone is in UTC.

    Raises
    ------
    ValueError
        If `text` is not such a time.
    """
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def current_versions(
    client: Any, bucket: str, prefix: str, begin: datetime, end: datetime | None
) -> Iterator[Version]:
    """Yield the version of each object that was current in a time, in the order of the keys.

    An object that was current at `begin` has its version of then; one that came later has its
    first version up to `end` (None: up to now). An object that was deleted after `begin` is
    included, so all that somebody could read at one moment of the time is there. S3's times have
    whole seconds, and a version counts for the whole second in which it was replaced.
    """
    begin = begin.replace(microsecond=0)
    for _, entries in groupby(_entries(client, bucket, prefix), key=attrgetter("key")):
        found = _choose(list(entries), begin, end)
        if found is not None:
            yield found


def _choose(entries: list[_Entry], begin: datetime, end: datetime | None) -> Version | None:
    """Return the version of one key; `entries` has the newest first."""
    after = None
    for entry in entries:
        if entry.modified > begin:
            if entry.version is not None and (end is None or entry.modified <= end):
                after = entry.version
            continue
        if entry.version is not None:
            return entry.version
        if entry.modified < begin:
            break
        # A marker of the second of `begin`: the version before it was current in that second.
    return after


def _entries(client: Any, bucket: str, prefix: str) -> Iterator[_Entry]:
    """Yield versions and delete markers by key, the newest of each first."""
    held: list[_Entry] = []
    paginator = client.get_paginator("list_object_versions")
    for page in paginator.paginate(
        Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": PAGE}
    ):
        held += [_entry(one) for one in page.get("Versions", [])]
        held += [_entry(one) for one in page.get("DeleteMarkers", [])]
        # botocore returns versions and markers apart, and the last key may go on in the next page.
        held.sort(key=lambda entry: entry.modified, reverse=True)
        held.sort(key=attrgetter("key"))
        last = held[-1].key if held else ""
        yield from (entry for entry in held if entry.key != last)
        held = [entry for entry in held if entry.key == last]
    yield from held


def _entry(listed: dict[str, Any]) -> _Entry:
    version = (
        Version(listed["Key"], listed["VersionId"], listed["Size"], listed["ETag"].strip('"'))
        if "Size" in listed
        else None
    )
    return _Entry(listed["Key"], listed["LastModified"].replace(microsecond=0), version)


def write_list(file: Path, versions: Iterable[Version]) -> tuple[int, int]:
    """Write a list as compressed lines of JSON; return the number of objects and of their bytes.

    The same versions make the same file.
    """
    count = size = 0
    with file.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as out:
        for version in versions:
            fields = {name: value for name, value in asdict(version).items() if value is not None}
            out.write(json.dumps(fields).encode() + b"\n")
            count += 1
            size += version.size
    return count, size


def fetch_list(
    client: Any, file: Path, name: dict[str, str | None], *, sha256: str | None = None
) -> None:
    """Read a list of a bucket into a file.

    Parameters
    ----------
    name
        `Bucket` and `Key`, and `VersionId` unless it is the current version.

    Raises
    ------
    ListError
        If the list has another SHA-256.
    """
    given = {key: value for key, value in name.items() if value is not None}
    file.write_bytes(client.get_object(**given, aws_retry=True)["Body"].read())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if sha256 not in (None, digest):
        raise ListError(
            f"sha256: {digest} is not the expected digest of {name['Key']} in bucket "
            f"{name['Bucket']}: {sha256}. Take another recovery point."
        )


def read_list(file: Path) -> Iterator[Version]:
    """Yield the versions of a list."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield Version(**json.loads(line))


def wanted_versions(client: Any, params: dict[str, Any], folder: Path) -> Iterator[Version]:
    """Yield the versions of a list in a bucket, or those that were current in a time.

    `params` has the options `bucket`, `key`, `version_id`, `sha256`, `prefix`, `begin` and `end`
    of a module; the list `key` is stored in `folder` meanwhile.

    Raises
    ------
    ListError
        If the list has another SHA-256.
    ValueError
        If a time is not valid.
    """
    if not params["key"]:
        end = parse_time(params["end"]) if params["end"] else None
        begin = parse_time(params["begin"])
        yield from current_versions(client, params["bucket"], params["prefix"], begin, end)
        return
    file = folder / "list"
    name = {
        "Bucket": params["bucket"],
        "Key": params["key"],
        "VersionId": params.get("version_id"),
    }
    fetch_list(client, file, name, sha256=params["sha256"])
    yield from read_list(file)


def latest_versions(client: Any, bucket: str, prefix: str) -> dict[str, Version]:
    """Return the version that is current now of each object, by key."""
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    return {
        one["Key"]: Version(one["Key"], one["VersionId"], one["Size"], one["ETag"].strip('"'))
        for page in pages
        for one in page.get("Versions", [])
        if one["IsLatest"]
    }
