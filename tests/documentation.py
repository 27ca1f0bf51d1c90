"""The pages of this repository, and the commands that they show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [
    page
    for pattern in (
        *("README.md", "*/README.md", "*/*/README.md"),
        *("docs/[!R]*.md", "docs/lab/*.md", "docs/decisions/[0-9]*.md"),
    )
    for page in sorted(ROOT.glob(pattern))
    # Folders of tools, and what `make site` copies.
    if not page.relative_to(ROOT).parts[0].startswith((".", "build"))
]
# Pages for those who change the project. Their commands run suites and change the repository.
PROJECT_PAGES = [
    *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")),
    *sorted(ROOT.glob("docs/reference/*.md")),
]
HERE_DOCUMENT = re.compile(r"<<-?'?(\w+)'?")
COMMENT = re.compile(r"\s+#\s.*$")
# Code in the running text that is a command.
INLINE = re.compile(r"(\.venv/bin/|make |python3? |ansible-playbook )")
ANYTHING = "…"


@dataclass
class Command:
    """A command, and the output that its page shows."""

    page: str
    line: int
    text: str
    shown: list[str]

    @property
    def name(self) -> str:
        """The command without its comment."""
        return COMMENT.sub("", self.text)

    def prints(self, output: str) -> bool:
        """Say whether the output has the lines that the page shows, one after the other.

        The character … stands for anything, on a line of its own for any lines. Digits stand for
        digits and identifiers of runs for others, as versions, times and measurements differ.
        """
        return re.search("".join(map(line_pattern, self.shown)), output, re.MULTILINE) is not None


def line_pattern(shown: str) -> str:
    """Return the regular expression for a line of a page's output."""
    if shown.strip() == ANYTHING:
        return r"(?:.*\n)*?"
    pattern = re.escape(shown.strip()).replace(ANYTHING, ".*")
    pattern = re.sub(r"\b[0-9a-f]{32}\b", "[0-9a-f]{32}", pattern)
    pattern = re.sub(r"(?<![{\[\d-])\b\d+\b(?!\})", r"\\d+", pattern)
    return r"^[ \t]*" + re.sub(r"(\\ )+", r"[ \\t]+", pattern) + r"[ \t]*\n"


def commands_of_block(page: str, start: int, content: str) -> Iterator[Command]:
    """Read the commands of a block: after `$ `, with their continuations and here-documents."""
    command: Command | None = None
    end = ""
    continued = False
    for number, line in enumerate(content.splitlines(), start):
        if command and (continued or end):
            command.text += f"\n{line}"
            end = "" if line == end else end
        elif line.startswith("$ "):
            if command:
                yield command
            command = Command(page, number, line.removeprefix("$ "), [])
            found = HERE_DOCUMENT.search(line)
            end = found.group(1) if found else ""
        elif command:
            command.shown.append(line)
        continued = not end and line.endswith("\\")
    if command:
        yield command


def commands_of(page: Path) -> list[Command]:
    """Return the commands that a page has, in blocks and in the running text."""
    name = str(page.relative_to(ROOT))
    found: dict[str, Command] = {}
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence" and token.info in ("console", "sh", "bash", "shell"):
            for command in commands_of_block(name, line + 1, token.content):
                if command.name not in found or command.shown:
                    found[command.name] = command
        for child in token.children or []:
            if child.type == "code_inline" and INLINE.match(child.content):
                found.setdefault(child.content, Command(name, line, child.content, []))
    return list(found.values())
