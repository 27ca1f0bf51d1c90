"""Every logged value arrives in Prometheus' blocks, as promtool reads them back."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import yaml
from mlflow.entities import Metric

from tests.conftest import ROOT
from tests.postgres import PASSWORD, Cluster, open_store, running_cluster

sys.path.insert(0, str(ROOT / "lambda/backfill"))

import backfill

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLE = ROOT / "roles/mlflow_database"
BASE = 1_760_000_000_000
STRANGE = 'liga "norte"\\\nñ'
LINE = re.compile(
    r'^\{__name__="(\w+)", experiment_name=".*", job="mlflow-backfill", run_id="(\w+)"\}'
    r" (\S+) (-?\d+)$"
)

Series = dict[tuple[str, str], list[tuple[int, str]]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(shared_buffers="256MB", work_mem="64MB") as running:
        running.execute("CREATE ROLE mlflow_reader")
        running.execute("CREATE DATABASE history")
        yield running


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> Iterator[Any]:
    opened = open_store(cluster.url("history"))
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    text = (ROLE / "templates/history.sql.j2").read_text()
    cluster.execute(jinja2.Template(text).render(defaults), "history")
    yield opened
    opened.engine.dispose()


@pytest.fixture(autouse=True)
def environment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(cluster.port),
        "PGDATABASE": "history",
        "PGUSER": "mlflow",
        "PGPASSWORD": PASSWORD,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(cluster.ca_file),
    }.items():
        monkeypatch.setenv(name, value)


def dumped(blocks: Path) -> Series:
    """Return what the blocks hold: time in milliseconds and value, in order of time."""
    # Prometheus' directory of data has a log as well, without which promtool reads no blocks.
    (blocks / "wal").mkdir(exist_ok=True)
    command = ["promtool", "tsdb", "dump", str(blocks)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: Series = {}
    for line in text.splitlines():
        match = LINE.match(line)
        assert match, line
        found.setdefault((match[1], match[2]), []).append((int(match[4]), match[3]))
    return {key: sorted(values) for key, values in found.items()}


def as_go(value: float) -> str:
    """Write a number as promtool does: what it reads back as decides."""
    return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, repr(float(value)))


def comparable(series: Series) -> Series:
    return {
        key: [(at, as_go(float(value))) for at, value in values] for key, values in series.items()
    }


def test_every_value_is_read_back(store: Any, tmp_path: Path) -> None:
    experiment = store.create_experiment(STRANGE)
    other = store.create_experiment("other")
    run_id = store.create_run(experiment, "ana", BASE, [], "a").info.run_id
    elsewhere = store.create_run(other, "ana", BASE, [], "b").info.run_id
    hour = 3_600_000
    values = [math.nan, math.inf, -math.inf, 0.1, 5e-324, 1 / 3]
    logged = [
        *(Metric("val/acc", value, BASE, step) for step, value in enumerate(values)),
        # Where another was moved to, at the edge of a block, and long before the rest.
        Metric("val/acc", 7, BASE + 2, 9),
        Metric("val/acc", 8, BASE - 400 * hour, 0),
        *(Metric("val acc", float(n), BASE + n * 30 * hour, n) for n in range(4)),
    ]
    store.log_batch(run_id, logged, [], [])
    store.log_batch(elsewhere, [Metric("val/acc", 1, BASE, 0)], [], [])

    total = backfill.write(tmp_path, [STRANGE])
    backfill.blocks(tmp_path)

    found = comparable(dumped(tmp_path / "blocks"))
    assert total == len(logged)
    assert found == {
        ("mlflow_val_acc_6293503f", run_id): [
            (BASE - 400 * hour, "8.0"),
            *((BASE + step, as_go(value)) for step, value in enumerate(values)),
            (BASE + 6, "7.0"),
        ],
        ("mlflow_val_acc_90576a22", run_id): [(BASE + n * 30 * hour, f"{n}.0") for n in range(4)],
    }


def test_second_run_keeps_what_is_unchanged(store: Any, tmp_path: Path) -> None:
    experiment = store.create_experiment("growing")
    run_id = store.create_run(experiment, "ana", BASE, [], "a").info.run_id
    window = backfill.WINDOW_HOURS * 3_600_000
    store.log_batch(run_id, [Metric("x", n, BASE + n * window, n) for n in range(3)], [], [])
    backfill.write(tmp_path, ["growing"])
    before = backfill.blocks(tmp_path)
    backfill.write(tmp_path, ["growing"])
    same = backfill.blocks(tmp_path)
    store.log_batch(run_id, [Metric("x", 9, BASE + 1, 9)], [], [])
    backfill.write(tmp_path, ["growing"])
    after = backfill.blocks(tmp_path)

    assert same == before
    assert len(before) == len(after) == 3
    assert after[1:] == before[1:]
    assert after[0] != before[0]
    assert {path.parent.name for path in (tmp_path / "blocks").glob("*/meta.json")} == set(after)
    assert [value for _, value in comparable(dumped(tmp_path / "blocks"))["mlflow_x", run_id]] == [
        *("0.0", "9.0", "1.0", "2.0")
    ]


def test_unknown_experiment_is_named(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store
    with pytest.raises(SystemExit):
        backfill.main(["write", str(tmp_path), "--experiment", "nobody's"])

    assert "nobody's is not an active experiment" in capsys.readouterr().err


def test_missing_promtool_names_the_cure(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = store.create_run("0", "ana", BASE, [], "a").info.run_id
    store.log_batch(run_id, [Metric("x", 1, BASE, 0)], [], [])
    backfill.write(tmp_path, ["Default"])
    with pytest.raises(SystemExit):
        backfill.main(["blocks", str(tmp_path), "--promtool", "/nowhere/promtool"])

    assert "/nowhere/promtool is not installed" in capsys.readouterr().err


@pytest.mark.slow
def test_million_values_have_no_difference(cluster: Cluster, store: Any, tmp_path: Path) -> None:
    """Runs of an experiment over 40 days, logged as MLflow's client does, many in the same ms."""
    experiment = store.create_experiment("million")
    runs = [store.create_run(experiment, "ana", BASE, [], f"{n}").info.run_id for n in range(50)]
    rows = io.StringIO()
    expected: Series = {}
    for number, run_id in enumerate(runs):
        for metric in ("loss", "val/loss"):
            at, before = BASE + number * 70_000_000, 0
            series = expected[f"mlflow_{metric.replace('/', '_')}", run_id] = []
            for step in range(10_000):
                at += 17 * (step % 3)
                value = math.nan if step == 7 else math.sin(step * (number + 1)) / 3
                stored = 0.0 if math.isnan(value) else value
                rows.write(f"{metric}\t{stored!r}\t{at}\t{run_id}\t{step}\t{math.isnan(value)}\n")
                before = max(at, before + 1)
                series.append((before, as_go(value)))
    rows.seek(0)
    connection = cluster.connect("history")
    with connection.cursor() as cursor:
        cursor.copy_expert(
            "COPY metrics (key, value, timestamp, run_uuid, step, is_nan) FROM STDIN", rows
        )
        cursor.execute("ANALYZE metrics")
    connection.close()
    del rows
    started = time.monotonic()
    # The kernel's own note of the most memory of the program; getrusage adds that of its parent.
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import backfill;"
        " print(backfill.write(pathlib.Path(sys.argv[2]), ['million']));"
        " print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, ROOT / "lambda/backfill", tmp_path],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    total, kibibytes = map(int, process.stdout.split())
    written = time.monotonic()
    names = backfill.blocks(tmp_path)
    made = time.monotonic()

    found = comparable(dumped(tmp_path / "blocks"))

    differences = sum(
        len(set(found.get(key, [])) ^ set(values)) for key, values in expected.items()
    )
    print(
        f"{total} values: {written - started:.1f} s to write, {made - written:.1f} s for"
        f" {len(names)} blocks, {kibibytes} KiB at most"
    )
    assert total == 1_000_000
    assert found.keys() == expected.keys()
    assert sum(map(len, found.values())) == total
    assert differences == 0
    # A server-side cursor: no more than some thousand rows are in memory.
    assert kibibytes < 64 * 1024
