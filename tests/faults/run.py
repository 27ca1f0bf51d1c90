"""Let a client work through a fault, and check all that it has seen."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from tests.faults.conftest import Row
from tests.load import oracle, state
from tests.load.client import Load
from tests.load.oracle import Outcome, Read, Violations, Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.faults.conftest import Record
    from tests.faults.fault import Fault
    from tests.load.oracle import Event
    from tests.sites_below import Site

BEFORE_SECONDS = 2.0
AFTER_SECONDS = 3.0
# The first answers after the preparation of a fault.
READY_SECONDS = 60.0


def run(site: Site, fault: Fault, record: Record) -> Violations:
    """Log before, during and after the fault; add a line to the table; return the violations."""
    with contextlib.ExitStack() as after:
        fault.prepare(site, after)
        with Load(site.target) as load:
            load.wait_until_answered(time.monotonic(), READY_SECONDS)
            time.sleep(BEFORE_SECONDS)
            began = time.monotonic()
            with fault.apply(site, after):
                time.sleep(fault.seconds)
            ended = time.monotonic()
            again = load.wait_until_answered(ended, fault.limit)
            time.sleep(AFTER_SECONDS)
        silence = load.longest_silence(began, time.monotonic())
    history = load.history
    record.rows.append(
        Row(
            fault.name,
            oracle.acknowledged(history),
            sum(isinstance(one, Write) and one.outcome is Outcome.UNKNOWN for one in history),
            sum(isinstance(one, Read) for one in history),
            ended - began,
            silence,
            again,
        )
    )
    record.history += history
    record.experiments.append(load.experiment)
    assert not load.refusals, load.refusals
    return check(site, history, [load.experiment])


def check(site: Site, history: Iterable[Event], experiments: Sequence[str]) -> Violations:
    """Compare a history with the database, the bucket, and the answers of the server."""
    history = list(history)
    models = sorted({event.place[1] for event in history if event.place[0] == "model"})
    with site.database() as cursor:
        kept = state.in_database(cursor, experiments, models)
    kept |= state.in_bucket(site.aws.client("s3"), site.bucket, experiments)
    found = oracle.check(history, kept)
    answered = state.in_answers(site.target, experiments)
    writes = [one for one in history if isinstance(one, Write)]
    found.add(oracle.check(oracle.of_places(writes, state.is_in_answers), answered))
    return found
