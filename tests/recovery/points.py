"""Recovery points, as plays name them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Play

POINT = re.compile(r"Recovery point (\d{8}T\d{6}Z)")


def point_of(play: Play) -> str:
    """Return the id of the recovery point that a play has taken."""
    assert play.returncode == 0, play.output
    found = POINT.search(play.output)
    assert found, play.output
    return found[1]
