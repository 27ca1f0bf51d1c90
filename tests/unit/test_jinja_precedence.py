"""No number is subtracted from a text: `a - b ~ c` is `a - (b ~ c)` in Jinja."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest
from jinja2 import Environment, TemplateSyntaxError, nodes

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = ("inventory", "playbooks", "roles")


class AnyName(dict):  # type: ignore[type-arg]  # of Jinja's filters and tests
    """Has a filter or a test of each name: Ansible's are not those of plain Jinja."""

    def __contains__(self, name: object) -> bool:
        """Have it."""
        return True


def environment() -> Environment:
    """Return a Jinja that reads the templates of this project."""
    found = Environment(extensions=["jinja2.ext.do"])  # noqa: S701  nothing is rendered
    found.filters, found.tests = AnyName(found.filters), AnyName(found.tests)
    return found


def subtractions_of_texts(text: str) -> Iterator[int]:
    """Yield the lines of a template in which a text is an operand of a subtraction."""
    for one in environment().parse(text).find_all(nodes.Sub):
        if isinstance(one.left, nodes.Concat) or isinstance(one.right, nodes.Concat):
            yield one.lineno


def templates() -> Iterator[tuple[Path, str]]:
    """Yield the texts of YAML files and templates that have an expression."""
    specification = importlib.util.spec_from_file_location(
        "patterns", ROOT / "tests/unit/test_patterns.py"
    )
    assert specification
    assert specification.loader
    patterns = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(patterns)
    for path in patterns.files(FOLDERS, ".j2"):
        yield path, path.read_text()
    for path in patterns.files(FOLDERS, ".yml"):
        for document in patterns.yaml.load_all(path.read_text(), patterns.Loader):
            for text, expression in patterns.texts(document):
                if "{{" in text or "{%" in text:
                    yield path, text
                elif expression:
                    yield path, f"{{{{ {text} }}}}"


# Jinja reads the backslashes of patterns with Python's own rules.
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_no_subtraction_has_a_text_as_an_operand() -> None:
    found, read = [], 0
    for path, text in templates():
        try:
            found += [f"{path.relative_to(ROOT)}: {text}" for _ in subtractions_of_texts(text)]
        except TemplateSyntaxError:
            # Templates of Prometheus's and those with delimiters of their own.
            continue
        read += 1
    assert found == []
    assert read > 1000


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{{ rows - before | default(0) ~ ' ' ~ table }}", True),
        ("{{ (rows - before | default(0)) ~ ' ' ~ table }}", False),
        ("{{ 2 * n ~ 's' }}", False),
        ("{{ 'a' + b ~ c }}", False),
    ],
)
def test_text_as_an_operand_is_found(text: str, *, wrong: bool) -> None:
    assert bool(list(subtractions_of_texts(text))) is wrong
