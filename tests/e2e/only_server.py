"""Run a program that reaches nothing but one address, and list what else it asks.

Linux gives the program a network of its own. There, this module listens at the tracking server's
address and passes each connection on through a Unix socket. Nobody listens at any other address, so
that connections to them are refused at once, and nftables lists them. Unlike `strace` this slows
nothing down, and a client that hides the error and tries another way is noticed as well.

    python only_server.py ADDRESS PORT SOCKET REPORT COMMAND...
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 1 << 18
RULES = """
table inet watch {{
    set other4 {{ type ipv4_addr . inet_proto . inet_service; flags dynamic; }}
    set other6 {{ type ipv6_addr . inet_proto . inet_service; flags dynamic; }}
    chain output {{
        type filter hook output priority 0; policy accept;
        ct state != new accept
        ip daddr {address} tcp dport {port} counter accept
        add @other4 {{ ip daddr . meta l4proto . th dport }}
        add @other6 {{ ip6 daddr . meta l4proto . th dport }}
    }}
}}
"""


class Gate:
    """The way from a network of its own to the tracking server."""

    def __init__(self, address: str, port: int, directory: Path) -> None:
        """Lead to this address; keep files in a directory."""
        self._address, self._port = address, port
        self._socket, self._report = directory / "gate", directory / "report.json"

    def __enter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._socket))
        self._listener.listen(100)
        serve(self._listener, lambda: socket.create_connection((self._address, self._port)))
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._socket.unlink()

    def run(
        self, *command: str | Path, environ: dict[str, str], cwd: Path
    ) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        """Run a program; return what it did, and which other addresses it asked."""
        done = subprocess.run(
            [
                *("unshare", "--net", *(["--map-root-user"] if os.geteuid() else [])),
                *(sys.executable, __file__, self._address, str(self._port)),
                *(self._socket, self._report, *command),
            ],
            env=environ,
            cwd=cwd,
            text=True,
            capture_output=True,
            check=False,
        )
        assert self._report.exists(), done.stderr
        report: dict[str, Any] = json.loads(self._report.read_text())
        self._report.unlink()
        assert report["server"] > 0, done.stderr
        return done, report["others"]


def serve(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    """Pass on each connection to a listener, in threads."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listener.accept()
                other = connect()
                for ends in ((one, other), (other, one)):
                    threading.Thread(target=pass_on, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Copy one direction of a connection to its end."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def main(arguments: list[str]) -> int:
    """Run the program in this network, which is empty."""
    address, port, gate, report, *command = arguments
    # Every address leads to this namespace itself, so each connection is seen; nothing gets out.
    for words in (["link", "set", "lo", "up"], ["route", "add", "local", "0.0.0.0/0", "dev", "lo"]):
        subprocess.run(["ip", *words], check=True)
    rules = RULES.format(address=address, port=port)
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(gate)
        return connection

    serve(socket.create_server((address, int(port)), backlog=100), connect)
    status = subprocess.run(command, check=False).returncode
    listing = subprocess.run(
        ["nft", "list", "table", "inet", "watch"], capture_output=True, text=True, check=True
    )
    [asked] = re.findall(r"counter packets (\d+)", listing.stdout)
    others = [
        other
        for listed in re.findall(r"elements = {([^}]*)}", listing.stdout)
        for other in listed.split(",")
    ]
    Path(report).write_text(
        json.dumps({"server": int(asked), "others": [" ".join(other.split()) for other in others]})
    )
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
