"""What the pages name exists: files, targets of make, playbooks and variables."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.conftest import ROOT
from tests.documentation import PAGES, PROJECT_PAGES, Command, commands_of_block

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markdown_it.token import Token

# What is made, so that a clone does not have it.
MADE = re.compile(r"\.deploy/|\.venv|\.local-aws|\.cache/|report/|mine|inventory/<")
TOP = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PATH = re.compile(r"[\w.-]+(/[\w.-]+)+/?|[\w-]+\.(py|yml|md|sh)")
# Not variables, in spite of their form: metrics, a label, roles of the database, an index,
# an output, keys of facts, a setting of PostgreSQL, an option of a module.
OTHERS = re.compile(
    r"mlflow_(mse|val_acc)\w*|mlflow_(admin|metrics|monitoring|server|server_database|reader|history)"
    r"|mlflow_(latest_run|schema|tracking_uri)|monitoring_(database|pages|role_arn|(backup|drill)_timestamp_seconds)"
    r"|recovery_(target_time|window)"
)


def tokens(page: Path) -> Iterator[Token]:
    """Give all tokens of a page, also those inside others."""
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        yield token
        yield from token.children or []


def code(page: Path) -> list[str]:
    """Return the code of the running text and the lines of the blocks."""
    inline = [token.content for token in tokens(page) if token.type == "code_inline"]
    blocks = [token.content for token in tokens(page) if token.type == "fence"]
    return inline + [line for block in blocks for line in block.splitlines()]


@cache
def variables() -> set[str]:
    """Return the variables of argument specs and inventories, and the facts that roles publish."""
    names: set[str] = set()
    specs = [ROOT / "inventory/specs.yml", *ROOT.glob("roles/*/meta/argument_specs.yml")]
    inventories = [*ROOT.glob("inventory/**/*.yml"), *ROOT.glob("roles/*/defaults/*.yml")]
    for file in specs + inventories:
        names |= keys(yaml.safe_load(file.read_text()))
    for file in ROOT.glob("roles/*/tasks/*.yml"):
        names |= facts(yaml.safe_load(file.read_text()))
    return names


def facts(tasks: Any) -> set[str]:
    """Return the facts that tasks publish, also those in blocks."""
    if isinstance(tasks, dict):
        return set(tasks.get("ansible.builtin.set_fact", {})).union(*map(facts, tasks.values()))
    return set().union(*map(facts, tasks)) if isinstance(tasks, list) else set()


def keys(value: Any) -> set[str]:
    """Return the keys of a mapping and of all that is in it."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def named(page: Path) -> list[Path]:
    """Return the ways in which a page may name a file of its own."""
    return [ROOT, page.parent, *ROOT.glob("docs/iam"), ROOT / "models"]


every_page = pytest.mark.parametrize(
    "page", PAGES + PROJECT_PAGES, ids=lambda page: str(page.relative_to(ROOT))
)


@every_page
def test_links_of_page_lead_to_files(page: Path) -> None:
    links = [str(token.attrs["href"]) for token in tokens(page) if token.type == "link_open"]
    relative = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]

    assert [link for link in relative if not (page.parent / link).exists()] == []


@every_page
def test_paths_of_page_exist(page: Path) -> None:
    words = [word.strip("\"'") for text in code(page) for word in text.split()]
    paths = [
        word
        for word in words
        if PATH.fullmatch(word) and word.split("/")[0] in TOP and not MADE.match(word)
    ]

    missing = [path for path in paths if not any((base / path).exists() for base in named(page))]
    assert missing == []


@every_page
def test_targets_and_playbooks_of_page_exist(page: Path) -> None:
    texts = code(page)
    targets = {
        found for text in texts for found in re.findall(r"^(?:\$ )?make ([a-z][a-z0-9-]*)", text)
    }
    playbooks = {
        found for text in texts for found in re.findall(r"(?<![\w/])playbooks/[\w-]+\.yml", text)
    }

    assert targets - TARGETS == set()
    assert [playbook for playbook in playbooks if not (ROOT / playbook).is_file()] == []


@every_page
def test_variables_of_page_are_ours(page: Path) -> None:
    roles = [path.name for path in (ROOT / "roles").iterdir()] + ["aws"]
    ours = re.compile(rf"(?:{'|'.join(roles)})(?:_[a-z0-9]+)+")
    names = {text for text in code(page) if ours.fullmatch(text) and not OTHERS.fullmatch(text)}

    assert names - variables() - set(roles) == set()


def test_block_has_continuations_here_documents_and_output() -> None:
    block = "$ a \\\n    b\none\n$ cat > f <<'END'\n$ x\nEND\n$ c   # why\n…\ntwo 3\n"
    commands = list(commands_of_block("page", 1, block))

    assert [command.name for command in commands] == [
        "a \\\n    b",
        "cat > f <<'END'\n$ x\nEND",
        "c",
    ]
    assert [command.shown for command in commands] == [["one"], [], ["…", "two 3"]]


@pytest.mark.parametrize(
    ("shown", "output", "expected"),
    [
        (["a…c"], "abc\n", True),
        (["a…c"], "abd\n", False),
        (["a", "b"], "a\nx\nb\n", False),
        (["a", "…", "b"], "a\nx\ny\nb\n", True),
        (["b", "…", "a"], "a\nx\ny\nb\n", False),
        (["version 3 of 1.25"], "version 12 of 0.5\n", True),
        (["version 3"], "version three\n", False),
        (["run  f5118f72fd4f4a8e84e49c4ffa8eea31"], "run f5118f72fd4f4a8e84e49c4ffa8eea30\n", True),
        (["run  f5118f72fd4f4a8e84e49c4ffa8eea31"], "run f5118f72\n", False),
        (["mse_a 1"], "mse_a 1 2\n", False),
    ],
)
def test_shown_output_is_compared_line_by_line(
    shown: list[str], output: str, *, expected: bool
) -> None:
    assert Command("page", 1, "command", shown).prints(output) == expected
