"""What the tests of this scenario ask for."""

from __future__ import annotations

from tests.molecule.fixtures import address, client, host, secrets, settings

__all__ = ["address", "client", "host", "secrets", "settings"]
