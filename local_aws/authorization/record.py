"""What callers needed, in the file ``permissions``."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_aws.settings import Settings


class Record:
    """Lines of caller, action, resource and condition keys, each line once."""

    def __init__(self, settings: Settings) -> None:
        """Begin with no line."""
        self._file = settings.permissions_file
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def keep(
        self, caller: str, action: str, resource: str, keys: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Keep what was needed."""
        values = {key: list(found) for key, found in sorted(keys.items())}
        line = json.dumps([caller, action, resource, values])
        with self._lock:
            if line in self._seen:
                return
            self._seen.add(line)
            with self._file.open("a") as file:
                file.write(f"{line}\n")
