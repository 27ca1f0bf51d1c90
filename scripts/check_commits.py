"""Check the messages of the commits since the last version, or one message: [--message FILE].

A message is `area: imperative` in at most 72 characters, a blank line, and a body that says why.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The rules began with this commit: while no version is tagged, later ones are checked. A shallow
# clone does not have the commit, so there its time decides which ones are later.
BASE = "545e02dcc5910d80c524294fcdbc79975245ed91"
BASE_TIME = 1795895194
LENGTH = 72
SUBJECT = re.compile(r"[\w./-]+(, [\w./-]+)*: (?P<verb>[a-z][\w-]*)( .*[^.\s])?")
# Words that look like another form of a verb, and are imperatives.
IMPERATIVES = re.compile(
    r"(bring|ping|ring|sing|string|swing)|(embed|feed|need|seed|shed|speed|weed|\w*ceed)"
    r"|(alias|bias|canvas|focus)|\w+ss"
)
OTHER_FORMS = re.compile(r"\w+(ing|ed|s)")
TRAILER = re.compile(r"[A-Z][\w-]*-by: .+")
# Git's own lines in the file that an editor shows.
COMMENT = re.compile(r"^#.*\n?", re.MULTILINE)
SCISSORS = re.compile(r"^# -+ >8 -+\n.*", re.MULTILINE | re.DOTALL)


def faults(message: str) -> list[str]:
    """Return what is wrong with a message, each with its cure."""
    lines = message.strip().splitlines() or [""]
    subject, rest = lines[0], lines[1:]
    found = []
    form = SUBJECT.fullmatch(subject)
    if not form:
        found.append('the subject is not "area: imperative" without a full stop')
    elif OTHER_FORMS.fullmatch(form["verb"]) and not IMPERATIVES.fullmatch(form["verb"]):
        found.append(f'"{form["verb"]}" is not an imperative: write what the commit does')
    if len(subject) > LENGTH:
        found.append(f"the subject has {len(subject)} characters: write at most {LENGTH}")
    if rest and rest[0].strip():
        found.append("the second line is not blank")
    if not any(line.strip() and not TRAILER.fullmatch(line) for line in rest):
        found.append("there is no body: say why, and what you measured")
    return found


def git(*arguments: str) -> str | None:
    """Run Git in the clone; return what it prints, None if it fails."""
    # Root may check another's clone.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    return done.stdout.strip() if done.returncode == 0 else None


def span() -> tuple[str, list[str]]:
    """Return which commits are to be checked: in words, and as arguments of git log."""
    if tag := git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"):
        return f"since {tag}", [f"{tag}..HEAD"]
    if git("merge-base", "--is-ancestor", BASE, "HEAD") is not None:
        return f"since {BASE[:7]}, as no version is tagged", [f"{BASE}..HEAD"]
    later = f"later than {BASE[:7]}, which this clone does not have"
    return later, [f"--since-as-filter=@{BASE_TIME}", "HEAD"]


def main() -> int:
    """Check, and return the exit code."""
    if sys.argv[1:2] == ["--message"]:
        text = COMMENT.sub("", SCISSORS.sub("", Path(sys.argv[2]).read_text()))
        found = [f"commit message: {fault}." for fault in faults(text)]
        print("\n".join(found), file=sys.stderr, end="\n" if found else "")
        return 1 if found else 0
    if git("rev-parse", "HEAD") is None:
        print("Commit messages: not checked, because this is not a clone with commits.")
        return 0
    which, arguments = span()
    # Git itself writes the messages of merges.
    log = git("log", "--no-merges", "--format=%h%x00%B%x01", *arguments) or ""
    commits = [entry.strip().split("\0") for entry in log.split("\x01") if entry.strip()]
    found = [f"{name}: {fault}." for name, message in commits for fault in faults(message)]
    print(f"Commit messages: checked {len(commits)} commits {which}.")
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
