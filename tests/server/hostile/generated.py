"""Hostile requests: for each route and each of its fields, values of many kinds."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from mlflow.protos import databricks_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SERVICES = ("service_pb2", "model_registry_pb2", "mlflow_artifacts_pb2", "webhooks_pb2")
# Fields of routes without a message of MLflow's.
OTHER_FIELDS = ("username", "password", "is_admin", "name", "experiment_id", "permission", "query")
# These end what the other requests need, so they come last.
LAST = re.compile(r"delete|DELETE|restore|rename|logout|disable")

JSON = {"Content-Type": "application/json"}
# As FastAPI writes the variables of a path.
VARIABLE = r"{([\w.]+)(?::\w+)?}"
_DEEP = 3000
VALUES: dict[str, list[Any]] = {
    "NUL": ["a\0b"],
    "surrogate": ["\ud800"],
    "path traversal": [
        "../../../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "file:///etc/passwd",
    ],
    "SQL": ["' OR '1'='1'; DROP TABLE runs; --", "name = 'x' UNION SELECT password FROM users"],
    "template": ["{{7*7}}${7*7}%s%n%(x)s{0.__class__}"],
    "markup": ["<script>alert(1)</script>"],
    "text that reorders": ["\u202e\ufeff\u2028"],
    "long text": ["x" * 100_000],
    "number out of range": [-1, 2**31, 2**63, 10**400],
    "not a number": [float("nan"), "-Infinity"],
    "wrong type": [None, True, 1.5, "", [], [None], {"a": {"b": 1}}],
    "address": [
        "http://169.254.169.254/latest/meta-data/",
        "gopher://127.0.0.1:5432/_x",
        "models:/m/1/../../..",
    ],
}
BODIES: dict[str, list[bytes]] = {
    "no JSON": [
        b"",
        b"{",
        b"<a/>",
        b"\xff\xfe",
        b"\x00",
        b"{'a': 1}",
        b'{"a": 1} x',
        b"\xef\xbb\xbf{}",
    ],
    "other JSON": [b"null", b"[]", b"1", b'"x"', b"true", b"[[]]", b'[{"key": "a"}]', b"1e999"],
    "deep JSON": [
        b"[" * _DEEP,
        b"[" * _DEEP + b"]" * _DEEP,
        b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    ],
    "repeated keys": [b'{"name": "a", "name": "b", "run_id": "a", "run_id": 1}'],
}
HEADERS: dict[str, list[dict[str, str]]] = {
    "content type": [
        {"Content-Type": kind}
        for kind in (
            "",
            "text/plain",
            "application/xml",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "application/json; charset=utf-7",
            "x" * 1000,
        )
    ],
    "encoding": [
        {"Content-Type": "application/json", "Content-Encoding": coding}
        for coding in ("gzip", "br", "identity, gzip", "x")
    ],
    "other header": [
        {"Accept": "x/y;q=2,*/*;q=-1"},
        {"Range": "bytes=0-0,-1,99999999999999999999-"},
        {"If-Modified-Since": "yesterday"},
        {"Cookie": "session=.eJx; a=\x7f; =; ;;"},
        {"X-Forwarded-For": "127.0.0.1, ::1", "X-Forwarded-Proto": "gopher"},
        {"X-MLFLOW-WORKSPACE": "../x"},
        {"X-Request-Id": "a'; DROP TABLE runs; --"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": "Basic OjpcMDA6"},
        {"Transfer-Encoding": "identity"},
    ],
}
# In a path; a client that sends them as they are is one of the suite of the proxy.
SEGMENTS: dict[str, list[str]] = {
    "path traversal": [
        "..",
        "../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%5c..%5cx",
        "%252e%252e%252fx",
        "..;/x",
        "/etc/passwd",
        "a/./../../../x",
    ],
    "NUL": ["a%00b"],
    "broken encoding": ["%", "%zz", "%ff%fe", "%c0%ae%c0%ae/x", "%ed%a0%80"],
    "SQL": [quote("' OR 1=1 --")],
    "text that reorders": [quote("\u202e\ufeff\u2028")],
    "long text": ["x" * 8000],
    "number out of range": [str(2**63), "-1", "1e999"],
    "address": [quote("http://169.254.169.254/", safe="")],
}


@dataclass(frozen=True)
class Hostile:
    """A request.

    Attributes
    ----------
    kind
        In which way it is hostile.
    path
        With its query.
    """

    kind: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def requests(routes: Iterable[tuple[str, str]], usual: dict[str, Any]) -> Iterator[Hostile]:
    """Yield the requests for all routes; those that delete come last.

    Parameters
    ----------
    routes
        Method and path, with variables as Flask or FastAPI writes them.
    usual
        Values of fields by their names, which lead a request as far as possible.
    """
    messages = dict(_messages())
    own = {
        (method, path)
        for method, path in routes
        # These have the handlers of GET, and of /api.
        if method not in {"HEAD", "OPTIONS"} and not path.startswith("/ajax-api/")
    }
    for method, path in sorted(own, key=lambda route: (bool(LAST.search(" ".join(route))), route)):
        plain = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
        message = messages.get((method, plain))
        yield from _for_route(method, plain, message, usual)


def _for_route(
    method: str, path: str, message: Descriptor | None, usual: dict[str, Any]
) -> Iterator[Hostile]:
    variables = re.findall(VARIABLE, path)
    fill = {name: quote(str(usual.get(name, "1")), safe="") for name in variables}

    def filled(**other: str) -> str:
        return re.sub(VARIABLE, lambda found: (fill | other)[found[1]], path)

    for name in variables:
        for kind, segment in _pairs(SEGMENTS):
            yield Hostile(kind, method, filled(**{name: segment}))
    body = _body(message, usual)
    if method == "GET":
        for kind, changed in _changed(message, body):
            yield Hostile(kind, method, f"{filled()}?{_query(changed)}")
        for kind, headers in _pairs(HEADERS):
            yield Hostile(kind, method, f"{filled()}?{_query(body)}", b"", headers)
        return
    for kind, changed in _changed(message, body):
        yield Hostile(kind, method, filled(), json.dumps(changed).encode(), JSON)
    for kind, headers in _pairs(HEADERS):
        yield Hostile(kind, method, filled(), json.dumps(body).encode(), headers)
    for kind, text in _pairs(BODIES):
        yield Hostile(kind, method, filled(), text, JSON)


def _pairs(values: dict[str, list[Any]]) -> Iterator[tuple[str, Any]]:
    for kind, many in values.items():
        for one in many:
            yield kind, one


def _changed(
    message: Descriptor | None, body: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield bodies that have one hostile value each, and its kind."""
    names = [one.name for one in message.fields] if message else OTHER_FIELDS
    for name in names:
        for kind, values in VALUES.items():
            for value in values:
                yield kind, body | {name: value}
                held = body.get(name)
                inner = held[0] if isinstance(held, list) and held else held
                if isinstance(inner, dict):
                    for key in inner:
                        changed = inner | {key: value}
                        yield kind, body | {name: [changed] if isinstance(held, list) else changed}
                elif isinstance(held, list):
                    yield kind, body | {name: [value]}


def _body(message: Descriptor | None, usual: dict[str, Any], depth: int = 2) -> dict[str, Any]:
    """Return a body whose fields have usual values."""
    if message is None:
        return {name: usual.get(name, "x") for name in OTHER_FIELDS}
    found: dict[str, Any] = {}
    for one in message.fields:
        if one.name in usual and one.type == FieldDescriptor.TYPE_STRING:
            value = usual[one.name]
        elif one.type == FieldDescriptor.TYPE_MESSAGE:
            value = _body(one.message_type, usual, depth - 1) if depth else {}
        elif one.type == FieldDescriptor.TYPE_ENUM:
            value = one.enum_type.values[0].name
        elif one.type == FieldDescriptor.TYPE_STRING:
            value = ""
        elif one.type == FieldDescriptor.TYPE_BOOL:
            value = False
        else:
            value = 1
        repeated = one.is_repeated and not isinstance(value, list)
        found[one.name] = [value] if repeated and value != "" else [] if repeated else value
    return {name: value for name, value in found.items() if value not in ("", [], {})}


def _messages() -> Iterator[tuple[tuple[str, str], Descriptor]]:
    """Yield the message of each route, by method and path."""
    for name in SERVICES:
        module = importlib.import_module(f"mlflow.protos.{name}")
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
                    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", endpoint.path.lstrip("/"))
                    path = path.replace("{assessment.trace_id}", "{trace_id}")
                    key = endpoint.method, f"/api/{endpoint.since.major}.0/{path}"
                    yield key, method.input_type


def _query(values: dict[str, Any]) -> str:
    pairs = []
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            text = one if isinstance(one, str) else json.dumps(one)
            pairs.append((name, text.encode("utf-8", "surrogatepass")[:8000]))
    return urlencode(pairs)
