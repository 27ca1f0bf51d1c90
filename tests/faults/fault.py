"""A fault: its name, how it begins and ends, and how soon answers must come again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from tests.sites_below import Site

# The fault lasts as long as the context. What goes on the stack is undone after answers came again.
Apply = Callable[[Site, ExitStack], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes
    ----------
    name
        As the table has it.
    apply
        Returns the context in which the fault is there.
    seconds
        How long it lasts; 0 for an event after which nothing has to be repaired.
    limit
        Answers must come again in so many seconds after its end.
    prepare
        Called before the client starts, for a cause that must be there already.
    """

    name: str
    apply: Apply
    seconds: float = 0.0
    limit: float = 60.0
    prepare: Callable[[Site, ExitStack], None] = lambda _site, _stack: None


def event(action: Callable[[Site], object]) -> Apply:
    """Return a fault that happens at once."""

    @contextlib.contextmanager
    def apply(site: Site, _: ExitStack) -> Iterator[None]:
        action(site)
        yield

    return apply


def lasting(begin: Callable[[Site], object], end: Callable[[Site], object]) -> Apply:
    """Return a fault that one action begins and another ends, whatever happens meanwhile."""

    @contextlib.contextmanager
    def apply(site: Site, _: ExitStack) -> Iterator[None]:
        begin(site)
        try:
            yield
        finally:
            end(site)

    return apply
