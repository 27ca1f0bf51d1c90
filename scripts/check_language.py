"""Find words and phrases that make a reader stumble; the table says what to write instead."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKED = re.compile(r"\.(py|yml|yaml|md|sh|j2|toml|cfg|conf)\Z|(^|/)Makefile\Z")
# Spanish, locks, generated pages, and the texts that are about the phrases themselves.
LEFT_OUT = re.compile(
    r"docs/lab/es\.md|requirements/.*|docs/variables\.md|docs/reference/.*|docs/iam/mutations\.md"
    r"|scripts/check_language\.py|tests/unit/test_language_check\.py"
)
# What is found, and what to write instead. Case matters.
PHRASES = {
    # "X is not a valid Y", with its noun.
    r"(?<![Tt]here )\b(is|are|was|were) no (?!longer|more\b|such\b|matter\b)[a-z]": (
        'write "is not a ..."'
    ),
    # (Jinja's and Python's comparison with None is meant.)
    r"(?<![Tt]here )\b(is|are) none\b(?! (or|and|else)\b|\)| [%}])": (
        'name it: "is not a ...", "there are no ..."'
    ),
    # The field's own terms.
    r"\b[Mm]end(s|ed|ing)?\b": "fix",
    r"\b[Bb]ur(y|ies|ied|ying)\b": "end, or clean up",
    r"\b[Cc]rown(s|ed|ing)?\b": "promote",
    r"\b[Hh]alt(s|ed|ing)?\b": "stop",
    r"\banew\b": "again, or name the new thing",
    r"\bfor ever\b": "permanently",
    r"\bin the world\b": "(leave it out)",
    r"\bin the making\b": "being created",
    r"\btoo much\b": 'unexpected, or "more than ..."',
    r"\bsmall (hexadecimal )?(digits|letters)\b": "lower-case",
    r"\b([Tt]he|its|a) way back\b": "rollback, or teardown",
    r"\b[Tt]old\b": "notified, passed, or set",
    r"\b[Tt]ells?\b": "shows, reports, or passes",
    r"\bheld against\b": "compared with",
    r"\bas (it|they) should be\b": "unchanged",
    # A thing is, exists, is set, or is listed.
    r"\bstands? (in|on|at|there|here|beside|below|above|behind|before|side|where|alone)\b": "is",
    r"\b(lies|lie) (in|on|at|there|here|beside|below|above|behind|side)\b": "is",
    # Permission or possibility, and what software needs.
    r"\bmay not\b": 'must not, might not, or "is not allowed to"',
    r"\bwants\b": "requires, or needs",
    r"\bas wanted\b": "as required, or as configured",
    # A noun as the subject.
    r"(?:^\s*[-*] |[.:;|] |\")Who [a-z]+(?!.*\?)": '"Whoever", or a noun: "Users"',
    r"\b[Ll]et (others|nobody)\b": "name the action: allow, add, refuse",
}
TABLE = [(re.compile(pattern), instead) for pattern, instead in PHRASES.items()]


def is_text(file: Path) -> bool:
    """Say whether this is a file of its own: it exists, and is not a link to another."""
    return file.is_file() and not file.is_symlink()


def tracked() -> list[str]:
    """Return the paths of the texts that Git has, or would add."""
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    listed = subprocess.run(
        [*git, "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    paths = listed.stdout.splitlines()
    return [
        path
        for path in paths
        if CHECKED.search(path) and not LEFT_OUT.fullmatch(path) and is_text(ROOT / path)
    ]


def find(text: str) -> list[str]:
    """Return a line for each phrase of a text, with what to write instead."""
    return [
        f'{number}: "{found.group().strip()}": {instead}'
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, instead in TABLE
        for found in pattern.finditer(line)
    ]


def main() -> int:
    """Print each phrase; return the exit code."""
    found = [f"{path}:{line}" for path in tracked() for line in find((ROOT / path).read_text())]
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    print(f"Language: {len(found)} phrases to replace.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
