"""A connection to S3 that can be watched and cut."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Self

PIECE = 1 << 16


@dataclass
class Relay:
    """Passes TCP connections on, without looking into TLS.

    Attributes
    ----------
    target
        The port of loopback to which they lead.
    received
        How many bytes came from there.
    left
        How many more may come; then all connections are cut. None stands for no limit.
    silent_after
        After how many bytes from there a connection passes no more, for as long as this is set.
    """

    target: int
    received: int = 0
    left: int | None = None
    silent_after: int | None = None
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many connections there are."""
        with self._lock:
            return len(self._open)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                with self._lock:
                    self._open.add(client)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._pass_on, args=(source, sink, client), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, client: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                if sink is client:
                    with self._lock:
                        self.received += len(piece)
                        if self.left is not None:
                            self.left -= len(piece)
                            if self.left < 0:
                                break
                    passed += len(piece)
                    while self.silent_after is not None and passed > self.silent_after:
                        time.sleep(0.05)
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._open.discard(client)
