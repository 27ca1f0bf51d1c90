"""How fast and how small the tracking server is, beside `mlflow server` as MLflow comes.

    python -m tests.bench.server [--runs 100000] [--requests 20000] [--fasttrackml fml]

Both serve the same database, filled with that many runs, at the same time: stock with nothing but
its database and artifacts named, and without any login; ours with the settings that role mlflow
writes, login included. One client each asks in turns over a connection that it keeps, so that what
slows the machine slows both. Then many clients at once ask ours; any answer but 200 is a failure.
Before, `tests.bench.writes` measures what a training job waits for, also beside FastTrackML, whose
program is named if it is installed (`pip install fasttrackml`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import writes
from tests.bench.filled_schema import Size, fill
from tests.postgres import running_cluster
from tests.tracking_server import deployed_server, stock_server

if TYPE_CHECKING:
    import requests

    from tests.tracking_server import Server

EXPERIMENTS = 100
TURNS = 12
REQUESTS_PER_TURN = 25
CLIENTS = 16
QUESTIONS = {
    "experiments/search": {"max_results": 100},
    "runs/search": {
        "experiment_ids": ["7"],
        "max_results": 100,
        "order_by": ["attributes.start_time DESC"],
    },
    "runs/search, one run": {
        "experiment_ids": ["7"],
        "max_results": 1,
        "order_by": ["attributes.start_time DESC"],
    },
}


def ask(session: requests.Session, server: Server, question: str) -> requests.Response:
    """Ask one of the questions."""
    path = question.partition(",")[0]
    return session.post(
        f"{server.url}/api/2.0/mlflow/{path}", json=QUESTIONS[question], timeout=120
    )


def in_order(answer: Any) -> Any:
    """Sort what runs hold; MLflow promises no order."""
    for run in answer.get("runs", []):
        for held in run["data"].values():
            held.sort(key=lambda one: one["key"])
    return answer


def turn(session: requests.Session, server: Server, question: str) -> float:
    """Ask a question many times, one after the other; return the seconds of each, the median."""
    taken = []
    for _ in range(REQUESTS_PER_TURN):
        started = time.perf_counter()
        ask(session, server, question).raise_for_status()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def compare(ours: Server, stock: Server) -> None:
    """Print requests per second of one client, side by side."""
    print("| one client | ours, requests/s | stock, requests/s | ratio |\n|---|---|---|---|")
    sessions = {"ours": (ours.session(), ours), "stock": (stock.session(), stock)}
    for question in QUESTIONS:
        answers = {name: in_order(ask(*pair, question).json()) for name, pair in sessions.items()}
        if answers["ours"] != answers["stock"]:
            raise AssertionError(f"{question}: the servers' answers differ")
        seconds: dict[str, list[float]] = {"ours": [], "stock": []}
        for _ in range(TURNS):
            for name, (session, server) in sessions.items():
                seconds[name].append(turn(session, server, question))
        ours_median, stock_median = (statistics.median(seconds[name]) for name in sessions)
        print(
            f"| {question} | {1 / ours_median:,.0f} | {1 / stock_median:,.0f}"
            f" | {stock_median / ours_median:.1f} |",
            flush=True,
        )


def crowd(server: Server, requests_in_all: int) -> Counter[int]:
    """Let many clients ask all questions at once; return how often each status came."""
    local = threading.local()
    questions = list(QUESTIONS)

    def one(number: int) -> int:
        if not hasattr(local, "session"):
            local.session = server.session()
        return ask(local.session, server, questions[number % len(questions)]).status_code

    with ThreadPoolExecutor(CLIENTS) as pool:
        return Counter(pool.map(one, range(requests_in_all)))


def say(text: str) -> None:
    """Show progress, beside the result."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure; fail if ours gives any answer but 200."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--fasttrackml", metavar="PROGRAM", help="its program, fml")
    options = parser.parse_args()
    size = Size(EXPERIMENTS, options.runs // EXPERIMENTS)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cluster = stack.enter_context(running_cluster(shared_buffers="512MB"))
        fill(cluster, "server", size, index=False)
        say(f"Filled with {options.runs:,} runs")
        ours = stack.enter_context(deployed_server(cluster, "server", directory))
        stock = stack.enter_context(stock_server(cluster, "server", directory))
        time.sleep(5)
        print("| memory at idle (PSS) | processes | MB |\n|---|---|---|")
        for name, server in (("ours", ours), ("stock", stock)):
            print(f"| {name} | {len(server.processes())} | {server.pss() / 1e6:,.0f} |")
        print()
        compare(ours, stock)
        servers = {"ours": ours, "stock": stock}
        if options.fasttrackml:
            partner = writes.fasttrackml(options.fasttrackml, cluster, directory)
            servers["FastTrackML"] = stack.enter_context(partner)
        writes.compare(servers, cluster, "server")
        statuses = crowd(ours, options.requests)
        print(f"\n{CLIENTS} clients at once, {options.requests:,} requests: {dict(statuses)}")
        print(f"Memory of ours afterwards: {ours.pss() / 1e6:,.0f} MB")
    return 0 if set(statuses) == {200} else 1


if __name__ == "__main__":
    sys.exit(main())
