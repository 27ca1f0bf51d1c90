# SPDX-License-Identifier: Apache-2.0
"""Fewer searches of Python for objects that refer to each other in circles.

Ansible has some hundred thousand objects that live as long as the run: playbooks, roles and
variables. Python looks through them again and again, and finds nearly nothing to free.
"""

from __future__ import annotations

import gc

# Python's own number is 700, by which a run without changes searched 2,000 times.
ALLOCATIONS = 50_000


def collect_less() -> None:
    """Let this process and its forks search for garbage less often, and not in what exists now."""
    if gc.get_threshold()[0] >= ALLOCATIONS:  # by an earlier play
        return
    gc.set_threshold(ALLOCATIONS, *gc.get_threshold()[1:])


def keep_existing() -> None:
    """Leave the objects that exist before the first play out of later searches."""
    if not gc.get_freeze_count():
        gc.freeze()
