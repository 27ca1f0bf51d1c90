"""What auditors find, and what docs/security.md says of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PAGE = "docs/security.md"
# The severity of those whose auditor knows none.
UNRATED = "unrated"
# Where testssl.sh finds what it does.
PROXY = "proxy"
# Columns: check, severity, where, why.
LINE = re.compile(r"^\| `([\w.-]+)` \| (\w+) \| `?([\w./-]+)`? \| \S.* \|$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Accepted:
    """One line of the page: a check that fails somewhere, and is accepted there."""

    check: str
    severity: str
    # deployment: made by the playbooks; account: there before them; proxy: on the host's port;
    # sources, or one file of them.
    where: str


@dataclass(frozen=True)
class Finding:
    """A check that failed on a resource."""

    accepted_as: Accepted
    resource: str
    message: str


def accepted(*, rated: bool, proxy: bool = False) -> set[Accepted]:
    """Return what the page accepts.

    Parameters
    ----------
    rated
        Of an auditor that knows severities, or of another.
    proxy
        Of the proxy's TLS, or of all else.
    """
    lines = (Accepted(*line) for line in LINE.findall((ROOT / PAGE).read_text()))
    return {
        line
        for line in lines
        if (line.severity != UNRATED) == rated and (line.where == PROXY) == proxy
    }


def unexplained(findings: Iterable[Finding], lines: set[Accepted]) -> list[str]:
    """Return as messages the findings that the page does not explain."""
    return sorted(
        f"{finding.accepted_as}: {finding.resource}: {finding.message}"
        for finding in findings
        if finding.accepted_as not in lines
    )


def stale(findings: Iterable[Finding], lines: set[Accepted]) -> list[Accepted]:
    """Return the lines of the page that have no finding."""
    return sorted(lines - {finding.accepted_as for finding in findings})


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for an auditor that knows no account and reaches no network."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        # The port of a service that nobody has (discard).
        own |= {name: "http://127.0.0.1:9", name.lower(): "http://127.0.0.1:9"}
    return own | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | dict(variables)
