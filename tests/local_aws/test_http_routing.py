from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_aws.services.apigatewayv2.routing import Match, find

KEYS = (
    "GET /metrics",
    "ANY /users/{id}",
    "GET /users/{id}",
    "GET /users/me",
    "GET /files/{path+}",
    "GET /files/readme",
    "ANY /users/{id}/pets/{pet}",
)


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [
        ("GET", "/metrics", "GET /metrics", {}),
        ("GET", "/users/me", "GET /users/me", {}),
        ("GET", "/users/7", "GET /users/{id}", {"id": "7"}),
        ("PUT", "/users/7", "ANY /users/{id}", {"id": "7"}),
        ("GET", "/files/readme", "GET /files/readme", {}),
        ("GET", "/files/a/b.txt", "GET /files/{path+}", {"path": "a/b.txt"}),
        ("POST", "/users/7/pets/x", "ANY /users/{id}/pets/{pet}", {"id": "7", "pet": "x"}),
    ],
)
def test_most_specific_route_wins(
    method: str, path: str, key: str, parameters: dict[str, str]
) -> None:
    assert find(KEYS, method, path) == Match(key, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/metrics"),
        ("GET", "/metrics/"),
        ("GET", "/Metrics"),
        ("GET", "/users/"),
        ("GET", "/files/"),
        ("GET", "/"),
    ],
)
def test_route_without_a_match_is_the_default_or_none(method: str, path: str) -> None:
    assert find(KEYS, method, path) is None
    assert find([*KEYS, "$default"], method, path) == Match("$default", {})


@given(st.permutations(KEYS), st.text("aeiou/", max_size=12))
def test_order_of_the_routes_does_not_matter(keys: list[str], path: str) -> None:
    assert find(keys, "GET", "/" + path) == find(KEYS, "GET", "/" + path)
