"""JSON as editors write it: read to the value, or refused with its line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import train
from football import config as configs
from football.errors import BadInputError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

many = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refuse(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInputError) as caught:
        configs.load(path)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_config_of_any_editor_is_read(
    content: dict[str, Any], path: Path, encoding: str, line_end: str
) -> None:
    tags = {"equipo": "Málaga ⚽", "nota": "zwei\nZeilen\tmit Tab"}
    text = json.dumps(content | {"tags": tags}, indent=2, ensure_ascii=False)
    path.write_bytes(text.replace("\n", line_end).encode(encoding))

    assert configs.load(path).tags == tags


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1, .*the file is empty"),
        ("\ufeff \r\n", "the file is empty"),
        ('{\n "tags": {"a": 1,}}', "line 2, .*Remove the comma"),
        ('{\n "tags": [1,]}', "line 2, .*Remove the comma"),
        ('{\n // why\n "tags": {}}', "line 2, .*a comment"),
        ('{"tags": {}\r\r # why\r}', "line 3, .*a comment"),
        ("{'tags': {}}", "straight double quotes"),
        ("{\u201ctags\u201d: {}}", "straight double quotes"),
        ('{"tags": {"a": "x\ny"}}', "line break or tab in a text"),
        ('{"dataset": {"file_path": "C:\\data"}}', "backslash"),
        ('{"tags": {"a": "x', "a text does not end"),
        ('{"tags": {}', "ends too early"),
        ("{} {}", "text follows"),
        ('{"tags": {\n"a": 1,\n"a": 2}}', 'line 3, column 1: duplicate key "a"'),
        ('{"tags": {"a": 1, "\\u0061": 2}}', 'duplicate key "a"'),
        ('{"tags": {"a": NaN}}', "NaN is not valid JSON"),
        ('{"tags": {"a": -Infinity}}', "-Infinity is not valid JSON"),
        ('{"tags": {"a": 1e400}}', "the number 1e400 is too large"),
        ('{"tags": {"a": 1e-400}}', "the number 1e-400 is too small"),
        (f'{{"tags": {{"a": {10**400}}}}}', "is too large"),
        (f'{{"tags": {{"a": {"9" * 10_000}}}}}', "is too large"),
        ('{"tags": {"a": 9223372036854775808}}', "is too large"),
        ('{"tags": {"a": "x\\u0000y"}}', "U+0000"),
        ('{"run_name": "x\\u0007"}', "U+0007"),
        ('{"tags": {"x\\u0000": 1}}', "U+0000"),
        ('{"run_name": "\\ud800"}', "U+D800"),
        ("[" * 100_000, "nested more than 20 levels"),
        ('{"tags":' * 30 + "1" + "}" * 30, "nested more than 20 levels"),
        ('{"run_name": "Málaga"}'.encode("latin-1"), "line 1: not valid UTF-8"),
        ('{"run_name": "x"}'.encode("utf-16-le"), "line 1: a NUL character"),
        ("[]", "one JSON object"),
        ('"text"', "one JSON object"),
    ],
)
def test_config_that_is_not_json_is_refused_with_line_and_cure(
    path: Path, text: str | bytes, complaint: str
) -> None:
    said = refuse(path, text)

    assert said.startswith(str(path))
    assert len(said.splitlines()) == 1
    assert len(said) < 400
    assert re.search(complaint.replace("+", r"\+"), said)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=8),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)


@many
@given(
    field=st.sampled_from(
        ["model_type", "run_name", "experiment_name", "parameters", "dataset", "training", "tags"]
    ),
    value=anything,
    escaped=st.booleans(),
)
def test_config_with_any_value_is_read_as_written_or_refused(
    content: dict[str, Any], path: Path, field: str, value: Any, *, escaped: bool
) -> None:
    text = json.dumps(content | {field: value}, ensure_ascii=escaped)
    path.write_bytes(text.encode(errors="surrogatepass"))

    try:
        config = configs.load(path)
    except BadInputError as error:
        found = str(error)
    else:
        found = ""
        written = {"model_type": config.model_type} if field == "model_type" else {field: value}
        read = config.model_dump()
        assert json.dumps(read[field]) == json.dumps(written[field])
    assert all(line.startswith(str(path)) for line in found.splitlines())


@many
@given(st.binary(max_size=100))
@example(b"0}")
@example(b"{}}")
def test_config_of_any_bytes_is_refused_in_lines_that_name_the_file(
    path: Path, text: bytes
) -> None:
    said = refuse(path, b'{"tags": ' + text).splitlines()

    # Bytes that complete the object lack the other fields: one line for each.
    assert said
    assert all(line.startswith(str(path)) for line in said)


@pytest.mark.parametrize(
    "changes",
    [
        {"run_name": "a\0b"},
        {"experiment_name": "a\0b"},
        {"run_name": "a\nb"},
        {"run_name": " \t"},
        {"tags": {"nota": "\0"}},
        {"tags": {"nota": "\ud800"}},
        {"tags": {"a\0": "b"}},
        {"tags": {"nota": "x" * 8001}},
        {"tags": {"k" * 251: "x"}},
        {"tags": {"../up": "x"}},
        {"tags": {"a//b": "x"}},
        {"tags": {"a#b": "x"}},
        {"tags": {"mlflow.runName": "another"}},
        {"tags": {"": "x"}},
        {"run_name": "x" * 251},
        {"experiment_name": "x" * 257},
        {"parameters": {"criterion": "x" * 6001}},
        {"parameters": {"n_estimators": True}},
        {"parameters": {"n_estimators": 10**30}},
        {"parameters": {"n_estimators": float("inf")}},
        {"parameters": {"n_estimators\0": 5}},
        {"training": {"test_size": True, "random_state": 1}},
        {"training": {"test_size": 0.2, "random_state": 1.0}},
        {"dataset": {"file_path": "a\0.csv", "features": ["a"], "targets": ["b", "c"]}},
        {"dataset": {"file_path": "a.csv", "features": ["a", " a"], "targets": ["b", "c"]}},
        {"dataset": {"file_path": "a.csv", "features": ["a"], "targets": ["b/c", "b:c"]}},
        {"dataset": {"file_path": "a.csv", "features": ["a"], "targets": ["b" * 256, "c"]}},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_config_with_a_value_invalid_for_mlflow_is_refused_before_any_request(
    content: dict[str, Any],
    path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    # Nothing listens there: whoever asked would say so.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr(train, "check_server", lambda _: None)
    monkeypatch.setenv("FOOTBALL_PATIENCE_SECONDS", "0")
    path.write_text(json.dumps(content | changes))

    assert train.main([str(path)]) == train.BAD_INPUT

    printed = capfd.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"error: {re.escape(str(path))}(, line \d+|: ).+\n", printed.err)
