"""The function as API Gateway calls it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import handler as function
import pytest
from handler import Endpoint
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.postgres import Cluster
    from tests.unit.metrics.conftest import Tracking

    Ask = Callable[[dict[str, Any]], dict[str, Any]]

EVENTS = Path(__file__).resolve().parents[2] / "events"
TOKEN = "token-of-the-tests"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
NOBODY = {
    "DATABASE_HOST": "127.0.0.1",
    "DATABASE_PORT": "1",
    "DATABASE_NAME": "mlflow",
    "DATABASE_USER": "nobody",
    "DATABASE_PASSWORD": "A-password-that-no-log-may-hold",
    "DATABASE_SSLROOTCERT": "/none.pem",
    "METRICS_TOKEN_SHA256": DIGEST,
}


def event(name: str, **headers: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    content["headers"] |= {key.replace("_", "-"): value for key, value in headers.items()}
    return content


@pytest.fixture
def ask(tracking: Tracking) -> Ask:
    return Endpoint.from_environment(tracking.settings | {"METRICS_TOKEN_SHA256": DIGEST}).answer


@pytest.fixture
def ask_without_database() -> Ask:
    return Endpoint.from_environment(NOBODY).answer


def test_metrics_of_a_run_are_served(ask: Ask, tracking: Tracking) -> None:
    run_id = tracking.run("0", {"mse_local": 1.31})

    answer = ask(event("get_metrics"))

    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer["isBase64Encoded"] is False
    assert f'\nmlflow_mse_local{{run_id="{run_id}"}} 1.31\n' in answer["body"]


def test_database_without_runs_answers_200(ask: Ask) -> None:
    answer = ask(event("get_metrics"))

    assert answer["statusCode"] == 200
    assert list(text_string_to_metric_families(answer["body"]))


def test_answer_is_compressed_when_gzip_is_accepted(ask: Ask, tracking: Tracking) -> None:
    run_id = tracking.run("0", {"mse_local": 1.31})

    answer = ask(event("get_metrics_gzip"))

    assert answer["isBase64Encoded"] is True
    assert answer["headers"]["content-encoding"] == "gzip"
    assert run_id in gzip.decompress(base64.b64decode(answer["body"])).decode()


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("br, identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("", False),
    ],
)
def test_accept_encoding_is_honoured(
    ask_without_database: Ask, accepted: str, *, packed: bool
) -> None:
    answer = ask_without_database(event("get_metrics_without_token", accept_encoding=accepted))

    assert answer["isBase64Encoded"] is packed
    assert ("content-encoding" in answer["headers"]) is packed
    assert answer["headers"]["vary"] == "accept, accept-encoding"


@pytest.mark.parametrize(
    ("accepted", "content_type"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("application/json", "text/plain"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        ("application/openmetrics-text;version=1.0.0;q=0.5, text/plain;q=0.4", "application/o"),
        ("application/openmetrics-text;version=1.0.0;q=0.3, text/plain;q=0.4", "text/plain"),
        ("application/openmetrics-text;version=0.0.1", "text/plain"),
        ("application/openmetrics-text;q=0, */*;q=0.1", "text/plain"),
        ("application/openmetrics-text;q=high", "text/plain"),
        # What Prometheus 2.53 and 3 send.
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_accept_is_honoured(ask: Ask, accepted: str, content_type: str) -> None:
    answer = ask(event("get_metrics", accept=accepted))

    assert answer["headers"]["content-type"].startswith(content_type)
    assert answer["body"].endswith("# EOF\n") is content_type.startswith("application")


def test_answer_above_the_limit_of_lambda_names_the_cure(
    ask: Ask, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.run("0", {f"metric_{number}": number for number in range(100)})
    monkeypatch.setattr(function, "_LIMIT_BYTES", 5_000)

    plain, packed = ask(event("get_metrics")), ask(event("get_metrics_gzip"))

    assert plain["statusCode"] == 406
    assert "Accept-Encoding: gzip" in plain["body"]
    assert packed["statusCode"] == 200
    monkeypatch.setattr(function, "_LIMIT_BYTES", 1_500)
    refused = ask(event("get_metrics_gzip"))
    assert refused["statusCode"] == 503
    assert "serve fewer series" in refused["body"]
    assert "content-encoding" not in refused["headers"]


def test_head_has_the_headers_and_no_body(
    ask: Ask,
) -> None:
    got, head = ask(event("get_metrics")), ask(event("head_metrics"))

    assert head["statusCode"] == 200
    assert head["headers"] == got["headers"]
    assert head["body"] == ""


def test_other_methods_are_refused(
    ask_without_database: Ask,
) -> None:
    answer = ask_without_database(event("post_metrics"))

    assert answer["statusCode"] == 405
    assert answer["headers"]["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Bearer {DIGEST}",
        "Bearer " + "x" * 10_000,
        "Bearer ñ\ud800\0",
    ],
)
def test_request_without_a_valid_token_is_refused(
    ask_without_database: Ask, authorization: str
) -> None:
    answer = ask_without_database(event("get_metrics", authorization=authorization))

    assert answer["statusCode"] == 401
    assert answer["headers"]["www-authenticate"] == "Bearer"
    assert answer["body"] == "Unauthorized\n"


@pytest.mark.parametrize("name", ["get_metrics_without_token", "get_metrics_wrong_token"])
def test_event_without_a_valid_token_is_refused(ask_without_database: Ask, name: str) -> None:
    assert ask_without_database(event(name))["statusCode"] == 401


def test_scheme_and_header_are_case_insensitive(
    ask: Ask,
) -> None:
    asked = event("get_metrics_without_token")
    asked["headers"]["Authorization"] = f"bearer  {TOKEN}"

    assert ask(asked)["statusCode"] == 200


def test_unavailable_database_answers_one_line_within_two_seconds_and_recovers(
    ask: Ask, cluster: Cluster
) -> None:
    assert ask(event("get_metrics"))["statusCode"] == 200
    cluster.stop()
    try:
        started = time.monotonic()
        answer = ask(event("get_metrics"))
        assert time.monotonic() - started < 2
    finally:
        cluster.start()

    assert answer["statusCode"] == 503
    assert answer["headers"]["content-type"] == "text/plain; charset=utf-8"
    assert answer["body"] == "no connection to the database\n"
    assert ask(event("get_metrics"))["statusCode"] == 200


def test_log_is_one_line_of_json_without_secrets(
    ask_without_database: Ask,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = ask_without_database(event("get_metrics"))

    assert answer["headers"]["x-request-id"] == "UbX1jgJvIAMEPWw="
    [line] = capsys.readouterr().out.splitlines()
    logged = json.loads(line)
    assert (
        logged.items()
        >= {
            "request_id": "UbX1jgJvIAMEPWw=",
            "source_ip": "203.0.113.7",
            "method": "GET",
            "status": 503,
            "reason": "no connection to the database",
        }.items()
    )
    assert TOKEN not in line
    assert NOBODY["DATABASE_PASSWORD"] not in line


@pytest.mark.parametrize("digest", ["", TOKEN, DIGEST.upper(), DIGEST[:-1]])
def test_token_digest_that_is_invalid_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match="METRICS_TOKEN_SHA256"):
        Endpoint.from_environment(NOBODY | {"METRICS_TOKEN_SHA256": digest})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_MAX_SERIES", "0"),
        ("METRICS_MAX_SERIES", "many"),
        ("METRICS_MAX_MODEL_SERIES", "0"),
        ("METRICS_MAX_AGE_SECONDS", "-1"),
        ("METRICS_TAGS", "user"),
        ("METRICS_TAGS", '{"user": 1}'),
        ("METRICS_TAGS", '["a.b", "a/b"]'),
    ],
)
def test_invalid_setting_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each has words of its own
        Endpoint.from_environment(NOBODY | {name: value})


@pytest.mark.parametrize("name", sorted(NOBODY))
def test_missing_setting_is_named(name: str) -> None:
    settings = {key: value for key, value in NOBODY.items() if key != name}

    with pytest.raises(KeyError, match=name):
        Endpoint.from_environment(settings)


def test_entry_point_reads_the_environment_and_keeps_its_connection(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in tracking.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("METRICS_TOKEN_SHA256", DIGEST)
    function._endpoint.cache_clear()
    try:
        answers = [function.handler(event("get_metrics"), None) for _ in range(2)]
        readers = tracking.cluster.execute("SELECT datname, usename FROM pg_stat_activity")
    finally:
        function._endpoint.cache_clear()

    assert [answer["statusCode"] for answer in answers] == [200, 200]
    assert readers.count((tracking.database, "mlflow_metrics")) == 1
