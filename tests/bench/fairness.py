"""How long small requests wait beside clients that log batches of 1,000 metrics without a pause.

    python -m tests.bench.fairness [--rounds 4] [--seconds 5] [--large 1,4]

Four small clients log a metric or get a run, one request after the other. Ours and stock serve the
same database and are asked in turns: by the small clients alone, then beside one and beside four
large clients. Each client is a process of its own, so that no client waits for another's Python.
Ours fails if its small clients wait longer than stock's. How much the wait grows beside large
ones is printed as well; ours starts from a shorter wait, and carries out more batches meanwhile.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.server import say
from tests.bench.writes import Client
from tests.postgres import running_cluster
from tests.tracking_server import deployed_server, stock_server

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from tests.tracking_server import Server

SMALL_CLIENTS = 4
METRICS_OF_A_BATCH = 1000
# Half of the small clients send one, half the other.
SMALL_REQUESTS = ("log metric", "get run")


@dataclass(frozen=True)
class Login:
    """What a client in another process needs of a server."""

    url: str
    authorization: str | None


@dataclass
class Found:
    """What was measured of a server beside some number of large clients.

    Attributes
    ----------
    seconds
        Of each small request, by its name.
    batches
        Batches that the large clients logged.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    batches: int = 0

    def add(self, other: Found) -> None:
        """Add another measurement of the same."""
        self.batches += other.batches
        for name, seconds in other.seconds.items():
            self.seconds.setdefault(name, []).extend(seconds)

    def milliseconds(self, name: str) -> tuple[float, float]:
        """Return the median and the 95th percentile of a request."""
        return (
            statistics.median(self.seconds[name]) * 1000,
            statistics.quantiles(self.seconds[name], n=20)[-1] * 1000,
        )


def small(login: Login, name: str, begin: Event, end: Event, results: list[object]) -> None:
    """Send one small request after the other; keep the seconds of each."""
    client = Client(login, "0")
    # Then the server knows the login.
    for _ in range(3):
        client.ask(name)
    results.append("ready")
    begin.wait()
    seconds = []
    while not end.is_set():
        started = time.perf_counter()
        client.ask(name)
        seconds.append(time.perf_counter() - started)
    results.append((name, seconds))


def large(login: Login, number: int, begin: Event, end: Event, results: list[object]) -> None:
    """Log batches of 1,000 metrics without a pause; count them."""
    client = Client(login, "0")
    keys = [f"metric {index}" for index in range(10)]
    batches, step = 0, number
    results.append("ready")
    begin.wait()
    while not end.is_set():
        metrics = []
        for _ in range(METRICS_OF_A_BATCH // len(keys)):
            step += 1
            metrics += [
                {"key": key, "value": step / 7, "timestamp": step, "step": step} for key in keys
            ]
        client.send("log-batch", {"run_id": client.run, "metrics": metrics})
        batches += 1
    results.append(batches)


def measure(server: Server, large_clients: int, seconds: float) -> Found:
    """Ask a server for some seconds."""
    login = Login(server.url, server.authorization)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        results = manager.list()
        begin, end = context.Event(), context.Event()
        processes = [
            context.Process(
                target=small,
                args=(login, SMALL_REQUESTS[number % 2], begin, end, results),
            )
            for number in range(SMALL_CLIENTS)
        ] + [
            context.Process(target=large, args=(login, number, begin, end, results))
            for number in range(large_clients)
        ]
        for process in processes:
            process.start()
        while len(results) < len(processes):
            if any(process.exitcode for process in processes):
                raise RuntimeError("A client has failed; its error is above")
            time.sleep(0.05)
        begin.set()
        time.sleep(seconds)
        end.set()
        for process in processes:
            process.join()
            if process.exitcode:
                raise RuntimeError("A client has failed; its error is above")
        found = Found()
        for result in list(results):
            if isinstance(result, int):
                found.batches += result
            elif isinstance(result, tuple):
                found.seconds.setdefault(result[0], []).extend(result[1])
        return found


def main() -> int:
    """Measure; fail if small clients wait longer than beside stock."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement (5)")
    parser.add_argument("--large", default="1,4", help="numbers of large clients (1,4)")
    options = parser.parse_args()
    crowds = [0, *map(int, options.large.split(","))]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cluster = stack.enter_context(running_cluster())
        cluster.execute("CREATE DATABASE fairness")
        servers = {"ours": stack.enter_context(deployed_server(cluster, "fairness", directory))}
        servers["stock"] = stack.enter_context(stock_server(cluster, "fairness", directory))
        found = {(name, crowd): Found() for name in servers for crowd in crowds}
        for number in range(options.rounds):
            for crowd in crowds:
                for name, server in servers.items():
                    found[name, crowd].add(measure(server, crowd, options.seconds))
            say(f"round {number + 1} of {options.rounds}")
    return report(found, crowds, options.rounds * options.seconds)


def report(found: dict[tuple[str, int], Found], crowds: list[int], seconds: float) -> int:
    """Print the table; return 1 if small clients of ours wait longer than of stock."""
    print(
        "| request | large clients | ours: median, 95 % | growth | stock: median, 95 % | growth |"
    )
    print("|---|---|---|---|---|---|")
    unfair = []
    for name in SMALL_REQUESTS:
        for crowd in crowds:
            cells, slowest = [], {}
            for server in ("ours", "stock"):
                median, slow = found[server, crowd].milliseconds(name)
                growth = slow / found[server, 0].milliseconds(name)[1]
                slowest[server] = slow
                cells += [f"{median:.1f} ms, {slow:.1f} ms", f"{growth:.1f}"]
            print(f"| {name} | {crowd} | {' | '.join(cells)} |")
            if slowest["ours"] > slowest["stock"]:
                unfair.append((name, crowd))
    print("\n| large clients | ours, batches/s | stock, batches/s |\n|---|---|---|")
    for crowd in crowds[1:]:
        rates = [found[server, crowd].batches / seconds for server in ("ours", "stock")]
        print(f"| {crowd} | {rates[0]:.1f} | {rates[1]:.1f} |")
    print(json.dumps({"unfair": unfair}))
    return 1 if unfair else 0


if __name__ == "__main__":
    sys.exit(main())
