"""What the tests of this scenario ask for."""

from __future__ import annotations

from tests.molecule.fixtures import address, host

__all__ = ["address", "host"]
