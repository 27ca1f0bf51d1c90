"""A drill with as much data as a team logs in months, while clients go on logging."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.recovery.clients import METRICS, STEPS, log_runs, writing
from tests.recovery.conftest import DRILL

if TYPE_CHECKING:
    from tests.sites import Site

pytestmark = pytest.mark.slow
RUNS, ARTIFACT_BYTES = 10_000, 2**30


def test_drill_of_many_runs_finds_no_difference(site: Site) -> None:
    began = time.monotonic()
    log_runs(site, RUNS, ARTIFACT_BYTES)
    print(
        f"logged {RUNS:,} runs, {ARTIFACT_BYTES / 2**30:.0f} GiB: {time.monotonic() - began:.0f} s"
    )
    with site.database() as cursor:
        cursor.execute("SELECT count(*) FROM metrics")
        assert cursor.fetchone()[0] >= RUNS * METRICS * STEPS

    with writing(site) as acknowledged:
        before = len(acknowledged)
        began = time.monotonic()
        play = site.aws.play("playbooks/drill.yml", "-e", f"drill_deployment={DRILL}")
        seconds = time.monotonic() - began
        during = len(acknowledged) - before
    said = " ".join(play.output.split())

    assert play.returncode == 0, play.output
    restored = re.search(r"Restored \d{8}T\d{6}Z in (\d+) s. Every artifact is equal", said)
    assert restored, play.output
    assert during > 0
    assert "would lose what was logged in the last" in said
    assert site.aws.resources(DRILL) == []
    print(f"drill: {seconds:.0f} s, restored in {restored[1]} s, {during} runs logged meanwhile")
    print(*re.findall(r'"(?:Compared by|A restore of).*', play.output), sep="\n")
