"""Clients that log runs: some until they are stopped, and many runs at once."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sites import Site

THREADS = 8
# What each of many runs has.
METRICS, STEPS, PARAMETERS, TAGS = 4, 10, 5, 3
FILE_BYTES = 16 * 2**20


@contextlib.contextmanager
def writing(site: Site) -> Iterator[list[str]]:
    """Log runs, each with an artifact, until the end; yield the ids of those acknowledged."""
    experiment = site.post("experiments/create", name=f"busy {time.monotonic()}")["experiment_id"]
    acknowledged: list[str] = []
    enough = threading.Event()

    def write() -> None:
        while not enough.is_set():
            info = site.post("runs/create", experiment_id=experiment)["run"]["info"]
            site.artifact("PUT", info["artifact_uri"], "model.bin", data=info["run_id"].encode())
            # A row that mentions the artifact, which was uploaded before.
            site.post("runs/log-batch", run_id=info["run_id"], tags=[{"key": "up", "value": "1"}])
            acknowledged.append(info["run_id"])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not acknowledged:
            assert writer.is_alive()
        yield acknowledged
    finally:
        enough.set()
        writer.join()


def log_runs(site: Site, runs: int, artifact_bytes: int) -> None:
    """Log finished runs with histories, and artifacts of that size in all, by several clients."""
    experiment = site.post("experiments/create", name="many runs")["experiment_id"]
    every = runs // (artifact_bytes // FILE_BYTES)
    local = threading.local()

    def log(number: int) -> None:
        if not hasattr(local, "site"):
            # With a connection of its own.
            local.site = replace(site)
        info = local.site.post(
            "runs/create", experiment_id=experiment, run_name=str(number), start_time=number
        )["run"]["info"]
        local.site.post(
            "runs/log-batch",
            run_id=info["run_id"],
            metrics=[
                {"key": f"m{key}", "value": number / (step + 1), "timestamp": step, "step": step}
                for key in range(METRICS)
                for step in range(STEPS)
            ],
            params=[{"key": f"p{key}", "value": str(number)} for key in range(PARAMETERS)],
            tags=[{"key": f"t{key}", "value": str(number)} for key in range(TAGS)],
        )
        if number % every == 0:
            local.site.artifact(
                "PUT", info["artifact_uri"], "model.bin", data=os.urandom(FILE_BYTES)
            )
        local.site.post("runs/update", run_id=info["run_id"], status="FINISHED", end_time=number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(log, range(runs)))
