# SPDX-License-Identifier: Apache-2.0
"""Runs of playbooks inside of a run, with its options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from ansible import context
from ansible.utils.display import Display

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# How much of a run that failed is shown.
_LAST_LINES = 40


def run_playbook(
    playbook: str,
    variables: Mapping[str, Any],
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a playbook with the inventory and the extra variables of this run, and these.

    Returns
    -------
    exit status
        Of ansible-playbook; 0 is a success.
    last lines
        Of its output.
    """
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ansible", "playbook", *options),
            *_same_options(),
            *("-e", json.dumps(variables)),
            playbook,
        ],
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "false", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    last = _follow(process.stdout or ())
    return process.wait(), last


def _same_options() -> Iterator[str]:
    """Yield the options of this run that decide on what a playbook does."""
    for inventory in context.CLIARGS.get("inventory") or ():
        yield from ("-i", inventory)
    for variables in context.CLIARGS.get("extra_vars") or ():
        yield from ("-e", variables)
    for vault in context.CLIARGS.get("vault_ids") or ():
        yield from ("--vault-id", vault)
    for file in context.CLIARGS.get("vault_password_files") or ():
        yield from ("--vault-password-file", file)


def _follow(lines: Iterable[str]) -> str:
    """Show which play is at work; return the last lines of what is said."""
    display = Display()
    last: deque[str] = deque(maxlen=_LAST_LINES)
    for line in lines:
        last.append(line)
        if line.startswith("PLAY ["):
            display.display(f"  {line.partition('[')[2].partition(']')[0]} …")
        else:
            display.vv(line.rstrip())
    return "".join(last)
