"""Versions of a bucket's objects are listed from a position, 1,000 at most.

moto looks for the version with which the page before ended, and finds nothing more when that one
is deleted: a program that deletes what it lists sees one page and then the end. It also copies all
versions of the bucket for each page, so that 20,000 versions take minutes, and returns as many
as it is asked for. AWS goes on behind the position, takes a marker without version as "behind all
versions of this key", and has pages of 1,000:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html. The same number is the
most that one DeleteObjects takes, which moto does not hold:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html.

Playbooks that empty a bucket need this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.s3.exceptions import MalformedXML
from moto.s3.models import FakeKey, S3Backend

from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from local_aws.settings import Settings

PAGE = 1000
_NULL = "null"


def apply(settings: Settings) -> None:
    """List and delete by the page."""
    del settings
    # When the version was made with which a page ended; it may be gone when the next is asked for.
    ends: dict[tuple[str, str, str], datetime] = {}

    # With moto's names, as it calls it.
    def list_object_versions(
        self: Any, bucket_name: str, **asked: Any
    ) -> tuple[list[Any], list[str], list[Any], str | None, str | None]:
        size = min(asked["max_keys"], PAGE)
        key_marker, version_id_marker = asked["key_marker"], asked["version_id_marker"]
        keys = self.get_bucket(bucket_name).keys
        end = ends.get((bucket_name, key_marker or "", version_id_marker or ""))
        entries: list[Any] = []
        last: tuple[str, str | None] = (key_marker or "", version_id_marker)
        for entry in _entries(keys, asked["prefix"], asked["delimiter"], key_marker):
            found = [entry] if isinstance(entry, str) else _versions(keys, *entry)
            if not isinstance(entry, str) and entry[0] == key_marker:
                found = _behind(found, version_id_marker, end)
            for one in found:
                if len(entries) >= size:
                    if last[1] is not None and entries:
                        ends[(bucket_name, last[0], last[1])] = entries[-1].last_modified
                    return (*_sorted_out(entries), *last)
                entries.append(one)
                last = (one, None) if isinstance(one, str) else (one.name, version_id(one))
        return (*_sorted_out(entries), None, None)

    replace(S3Backend, "list_object_versions", list_object_versions)

    def delete_objects(self: Any, bucket_name: str, objects: list[Any], *options: Any) -> Any:
        if len(objects) > PAGE:
            raise MalformedXML
        return delete_any_objects(self, bucket_name, objects, *options)

    delete_any_objects = replace(S3Backend, "delete_objects", delete_objects)


def version_id(version: Any) -> str:
    """Return the id of a version; those from before versioning have none."""
    return str(version.version_id or _NULL)


def _entries(
    keys: Any, prefix: str, delimiter: str | None, marker: str | None
) -> Iterator[str | tuple[str]]:
    """Yield common prefixes, and keys as tuples, in order, from the marker's key on."""
    last_prefix = None
    for name in sorted(name for name in list(keys) if name.startswith(prefix)):
        if marker is not None and name < marker:
            continue
        if delimiter and delimiter in name[len(prefix) :]:
            common = name[: name.index(delimiter, len(prefix)) + len(delimiter)]
            if common not in (last_prefix, marker):
                last_prefix = common
                yield common
        else:
            yield (name,)


def _versions(keys: Any, name: str) -> list[Any]:
    """Return the versions of a key, the newest first."""
    versions = list(reversed(keys.getlist(name, [])))
    for version in versions:
        version.is_latest = version is versions[0]
    return versions


def _behind(versions: list[Any], marker: str | None, end: datetime | None) -> list[Any]:
    """Return the versions older than the one with which the page before ended."""
    ids = [version_id(version) for version in versions]
    if marker in ids:
        return versions[ids.index(marker) + 1 :]
    if marker is None or end is None:
        return []
    return [version for version in versions if version.last_modified < end]


def _sorted_out(entries: list[Any]) -> tuple[list[Any], list[str], list[Any]]:
    """Return versions, common prefixes and delete markers."""
    return (
        [one for one in entries if isinstance(one, FakeKey)],
        [one for one in entries if isinstance(one, str)],
        [one for one in entries if not isinstance(one, (str, FakeKey))],
    )
