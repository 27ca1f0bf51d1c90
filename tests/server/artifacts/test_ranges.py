"""Ranges and conditions of HTTP, on a route of FastAPI's and on one of Flask's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Store

CONTENT = bytes(range(256)) * 8
SIZE = len(CONTENT)
ROUTES = ("native", "get-artifact")


def path(store: Store, route: str, name: str) -> str:
    if route == "native":
        return f"/api/2.0/mlflow-artifacts/artifacts/{store.path(name)}"
    return f"/get-artifact?run_id={store.run}&path={name}"


@pytest.fixture(scope="module")
def name(store: Store) -> str:
    return store.keep("ranges.bin", CONTENT)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=100-199", range(100, 200)),
        ("bytes=2047-", range(2047, SIZE)),
        ("bytes=2000-99999", range(2000, SIZE)),
        ("bytes=-1", range(SIZE - 1, SIZE)),
        ("bytes=-99999", range(SIZE)),
        ("bytes= 5-6 ", range(5, 7)),
        ("BYTES=5-6", range(5, 7)),
        (f"bytes=0-{'9' * 18}", range(SIZE)),
    ],
)
def test_range_is_answered_with_part(
    store: Store, name: str, route: str, wanted: str, part: range
) -> None:
    answer = store.ask("GET", path(store, route, name), Range=wanted)

    assert answer.status_code == 206
    assert answer.content == CONTENT[part.start : part.stop]
    assert answer.headers["Content-Range"] == f"bytes {part[0]}-{part[-1]}/{SIZE}"
    assert answer.headers["Content-Length"] == str(len(part))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("wanted", ["bytes=2048-", "bytes=2048-2049", "bytes=-0", "bytes=9999-"])
def test_range_unsatisfiable_is_answered_with_416(
    store: Store, name: str, route: str, wanted: str
) -> None:
    answer = store.ask("GET", path(store, route, name), Range=wanted)

    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-1,5-6", "bytes=6-5", "bytes=a-b", "bytes=", "bytes", "items=0-1", "bytes=-",
        "bytes=+1-2", "bytes=0x1-2", f"bytes={'9' * 5000}-", "bytes=1-2-3", "bytes=\u0661-2",
    ],
)  # fmt: skip
def test_range_several_or_malformed_is_answered_whole(
    store: Store, name: str, route: str, wanted: str
) -> None:
    session = store.server.session()
    answer = session.get(
        store.address(path(store, route, name)), headers={"Range": wanted.encode()}
    )

    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("route", ROUTES)
def test_range_of_empty_artifact_is_unsatisfiable(store: Store, route: str) -> None:
    empty = store.keep("empty.bin", b"")

    whole = store.ask("GET", path(store, route, empty))
    part = store.ask("GET", path(store, route, empty), Range="bytes=0-")

    assert (whole.status_code, whole.content, whole.headers["Content-Length"]) == (200, b"", "0")
    assert (part.status_code, part.headers["Content-Range"]) == (416, "bytes */0")


@pytest.mark.parametrize("route", ROUTES)
def test_range_is_ignored_by_head(store: Store, name: str, route: str) -> None:
    answer = store.ask("HEAD", path(store, route, name), Range="bytes=0-1")

    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(SIZE))


@pytest.mark.parametrize("route", ROUTES)
def test_if_range_decides_between_part_and_whole(store: Store, name: str, route: str) -> None:
    place = path(store, route, name)
    head = store.ask("HEAD", place).headers

    def status(value: str) -> int:
        found = store.ask("GET", place, **{"Range": "bytes=0-1", "If-Range": value})
        assert found.content == (CONTENT[:2] if found.status_code == 206 else CONTENT)
        return found.status_code

    assert status(head["ETag"]) == 206
    assert status(head["Last-Modified"]) == 206
    assert status('"another"') == 200
    assert status(f"W/{head['ETag']}") == 200
    assert status("Sat, 01 Jan 2000 00:00:00 GMT") == 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_are_answered_as_http_defines(
    store: Store, name: str, route: str, method: str
) -> None:
    place = path(store, route, name)
    head = store.ask("HEAD", place).headers

    def status(**fields: str) -> int:
        found = store.ask(
            method, place, **{field.replace("_", "-"): value for field, value in fields.items()}
        )
        if found.status_code != 200:
            assert found.content == b""
        return found.status_code

    assert status(If_None_Match=head["ETag"]) == 304
    assert status(If_None_Match="*") == 304
    assert status(If_None_Match='"another"') == 200
    assert status(If_Modified_Since=head["Last-Modified"]) == 304
    assert status(If_Modified_Since="Sat, 01 Jan 2000 00:00:00 GMT") == 200
    assert status(If_Match=head["ETag"]) == 200
    assert status(If_Match='"another"') == 412
