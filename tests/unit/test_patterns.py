"""Patterns that check a value match the whole value.

`$` also matches before a line break at the end, so that `demo` and a line break would pass as a
name. The patterns are found in the sources, so a new one is tested by itself.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PYTHON = ("client", "collections", "lambda", "local_aws", "models", "scripts", "server")
YAML = ("inventory", "playbooks", "roles")
# Jinja's tests, and filters that name a test, with their pattern.
JINJA = re.compile(
    r"(?:\bis (?:not )?(?:match|search)\(|'(?:match|search)',\s*)('(?:[^'\\]|\\.)*')", re.DOTALL
)
# Keys of Ansible whose values Jinja reads as they are.
EXPRESSIONS = {"changed_when", "failed_when", "that", "until", "when"}
END = re.compile(r"(?<!\\)\$(?=[|)]|\Z)")
# These look for lines, and check no value.
MULTILINE = "(?m)"


class Loader(yaml.SafeLoader):
    """Reads files of Ansible, whose own tags are text here."""


Loader.add_multi_constructor("!", lambda loader, _tag, node: loader.construct_scalar(node))


def texts(value: Any, *, expression: bool = False) -> Iterator[tuple[str, bool]]:
    """Return all texts of a YAML document, and whether each is an expression without braces."""
    if isinstance(value, str):
        yield value, expression
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, expression=key in EXPRESSIONS)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, expression=expression)


def files(folders: tuple[str, ...], suffix: str) -> Iterator[Path]:
    """Return the files of folders, those behind links and of Molecule left out."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(f"*{suffix}")):
            parts = path.relative_to(ROOT).parts
            linked = any(parent.is_symlink() for parent in path.parents)
            if "molecule" not in parts and not linked and path.is_file():
                yield path


def jinja_patterns() -> Iterator[tuple[str, str]]:
    """Return the patterns of playbooks and roles, each with its file."""
    for path in files(YAML, ".yml"):
        for text, expression in texts(yaml.load(path.read_text(), Loader)):  # noqa: S506  a safe loader
            for literal in JINJA.findall(text):
                # Between braces Ansible doubles backslashes before Jinja reads them.
                pattern = ast.literal_eval(literal if expression else f"r{literal}")
                yield str(path.relative_to(ROOT)), pattern


def python_patterns() -> Iterator[tuple[str, str]]:
    """Return the patterns of Python's re, each with its file."""
    for path in files(PYTHON, ".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
            ):
                yield str(path.relative_to(ROOT)), node.args[0].value


JINJA_PATTERNS = sorted(set(jinja_patterns()))
PATTERNS = sorted({*JINJA_PATTERNS, *python_patterns()})
WHOLE = [
    (file, pattern)
    for file, pattern in JINJA_PATTERNS
    if pattern.startswith("^") and pattern.endswith(r"\Z")
]


@pytest.mark.filterwarnings("error")
def test_escapes_of_jinja_expressions_are_valid() -> None:
    # Jinja warns of others, which PYTHONWARNINGS=error turns into a failed task.
    assert set(jinja_patterns()) == set(JINJA_PATTERNS)


def test_patterns_are_found() -> None:
    assert len(PATTERNS) > 50
    assert len(WHOLE) > 10


@pytest.mark.parametrize(("file", "pattern"), PATTERNS)
def test_pattern_ends_at_the_end_of_the_value(file: str, pattern: str) -> None:
    assert MULTILINE in pattern or not END.search(pattern), file


@pytest.mark.parametrize(("file", "pattern"), WHOLE)
@given(data=st.data())
@settings(max_examples=20)
def test_pattern_refuses_near_misses(data: st.DataObject, file: str, pattern: str) -> None:
    compiled = re.compile(pattern)
    good = data.draw(st.from_regex(compiled, fullmatch=True))
    assert compiled.match(good), file
    for miss in (f"{good}\n", f"{good}\r\n", f"\n{good}", f"{good} x\n", f" {good}"):
        assert not compiled.match(miss), (file, miss)
