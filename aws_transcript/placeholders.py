"""Placeholders: the same value gets the same one, in all processes of a recorded run."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "secret"  # noqa: S105  a kind, not a value
# Shorter secrets are replaced where they stand, and not looked for in other texts: they would
# be found in the middle of words.
SHORTEST_SOUGHT = 8


class Placeholders:
    """Numbers values by kind, in the order in which they appear: ``<vpc-1>``, ``<secret-2>``.

    The processes of a run share a file, readable by its owner alone, that holds a random key and
    keyed digests of the values. It never holds the values, and does not belong into a report.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._read_bytes = 0
        self._key = b""
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._lengths: set[int] = set()
        with self._locked():
            pass

    def of(self, kind: str, value: str, *, sought: bool = False, same_as: str | None = None) -> str:
        """Return the placeholder of a value.

        Parameters
        ----------
        sought
            Whether `sought_in` finds the value from now on.
        same_as
            The placeholder of the same value in another notation or of another kind.
        """
        digest = self._digest(kind, value)
        if digest in self._names and (not sought or len(value) in self._lengths):
            return self._names[digest]
        with self._locked() as descriptor:
            if digest not in self._names:
                name = same_as or f"<{kind}-{self._counts.get(kind, 0) + 1}>"
                self._append(descriptor, {"kind": kind, "digest": digest, "name": name})
            if sought and len(value) >= SHORTEST_SOUGHT and len(value) not in self._lengths:
                self._append(descriptor, {"length": len(value)})
        return self._names[digest]

    def refresh(self) -> None:
        """Read what other processes have added."""
        if self._file.stat().st_size > self._read_bytes:
            with self._locked():
                pass

    def sought_in(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Give start, end and placeholder of each sought value in a text, without overlap."""
        position = 0
        lengths = sorted((n for n in self._lengths if n <= len(text)), reverse=True)
        while lengths and position <= len(text) - lengths[-1]:
            for length in lengths:
                end = position + length
                name = end <= len(text) and self._names.get(
                    self._digest(SECRET, text[position:end])
                )
                if name:
                    yield position, end, name
                    position = end - 1
                    break
            position += 1

    def keyed(self, text: str) -> bytes:
        """Return pseudorandom bytes that depend on the run's key and the text."""
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=16).digest()

    def _digest(self, kind: str, value: str) -> str:
        text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=16).hexdigest()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the file alone, with all that other processes have added; give its descriptor."""
        with self._lock:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self._file, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                added = _read_from(descriptor, self._read_bytes)
                for line in added.splitlines():
                    self._take(json.loads(line))
                self._read_bytes += len(added)
                if not self._key:
                    self._append(descriptor, {"key": secrets.token_hex(32)})
                yield descriptor
            finally:
                os.close(descriptor)

    def _append(self, descriptor: int, entry: dict[str, str | int]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        os.write(descriptor, line)
        self._read_bytes += len(line)
        self._take(entry)

    def _take(self, entry: dict[str, str | int]) -> None:
        if "key" in entry:
            self._key = bytes.fromhex(str(entry["key"]))
        elif "length" in entry:
            self._lengths.add(int(entry["length"]))
        else:
            kind = str(entry["kind"])
            name = str(entry["name"])
            self._names[str(entry["digest"])] = name
            of_kind, _, number = name.strip("<>").rpartition("-")
            if of_kind == kind:
                self._counts[kind] = max(self._counts.get(kind, 0), int(number))


def _read_from(descriptor: int, offset: int) -> bytes:
    size = os.fstat(descriptor).st_size - offset
    return os.pread(descriptor, size, offset) if size > 0 else b""
