"""The read-only login's views, in a PostgreSQL with tables that MLflow itself made."""

from __future__ import annotations

import json
import math
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import jinja2
import psycopg2
import pytest
import yaml
from mlflow.entities import Metric, Param

from tests.conftest import BIN, ROOT
from tests.postgres import PASSWORD, Cluster, open_store, running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROLE = ROOT / "roles/mlflow_database"
READER_PASSWORD = "Reader's 1"
DEFAULTS: dict[str, Any] = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
VALUES = [0.1, 5e-324, math.nan, math.inf, -math.inf, 0.0]
LONG = 2000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        running.execute(
            f"CREATE ROLE mlflow_reader LOGIN PASSWORD '{READER_PASSWORD.replace(chr(39), chr(39) * 2)}'"  # noqa: E501
        )
        running.execute("CREATE DATABASE history")
        yield running


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> Iterator[Any]:
    opened = open_store(cluster.url("history"))
    text = (ROLE / "templates/history.sql.j2").read_text()
    cluster.execute(jinja2.Template(text).render(DEFAULTS), "history")
    yield opened
    opened.engine.dispose()


@pytest.fixture(scope="module")
def runs(store: Any) -> dict[str, str]:
    """Return the runs by their names: a deleted one, one of a deleted experiment, two others."""
    gone = store.create_experiment("gone")
    made = {
        name: store.create_run(experiment, "ana", 1000, [], name).info.run_id
        for name, experiment in [
            *(("kept", "0"), ("long", "0"), ("deleted", "0"), ("of the deleted", gone))
        ]
    }
    for name, run_id in made.items():
        values = range(LONG) if name == "long" else VALUES
        metrics = [Metric("loss", value, 1500 + step, step) for step, value in enumerate(values)]
        for start in range(0, len(metrics), 1000):
            store.log_batch(run_id, metrics[start : start + 1000], [], [])
        store.log_batch(run_id, [], [Param("depth", "3")], [])
    store.delete_run(made["deleted"])
    store.delete_experiment(gone)
    return made


@pytest.fixture
def ask(cluster: Cluster, store: Any) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Ask as the read-only login does."""
    assert store
    with closing(
        psycopg2.connect(
            host="127.0.0.1",
            port=cluster.port,
            dbname="history",
            user="mlflow_reader",
            password=READER_PASSWORD,
            sslmode="verify-full",
            sslrootcert=str(cluster.ca_file),
            options="-c search_path=mlflow_history",
        )
    ) as connection:

        def asked(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall()

        yield asked


def test_views_have_what_was_logged(
    ask: Callable[..., list[tuple[Any, ...]]], runs: dict[str, str]
) -> None:
    curve = ask(
        "SELECT step, extract(epoch FROM time)::float, value FROM metric_values"
        " WHERE run_id = %s AND metric = 'loss' ORDER BY step",
        runs["kept"],
    )

    assert [(step, time) for step, time, _ in curve] == [
        (step, (1500 + step) / 1000) for step in range(len(VALUES))
    ]
    assert [repr(value) for _, _, value in curve] == [repr(value) for value in VALUES]
    assert ask("SELECT metric, step FROM latest_values WHERE run_id = %s", runs["kept"]) == [
        ("loss", len(VALUES) - 1)
    ]
    assert ask("SELECT param, value FROM params WHERE run_id = %s", runs["kept"]) == [
        ("depth", "3")
    ]
    assert ask(
        "SELECT experiment, name, status, extract(epoch FROM started)::int FROM runs"
        " WHERE run_id = %s",
        runs["kept"],
    ) == [("Default", "kept", "RUNNING", 1)]


def test_deleted_runs_and_experiments_are_hidden(
    ask: Callable[..., list[tuple[Any, ...]]], runs: dict[str, str]
) -> None:
    active = {runs["kept"], runs["long"]}

    assert ask("SELECT name FROM experiments") == [("Default",)]
    for view in ["runs", "metric_values", "latest_values", "params"]:
        assert {row[0] for row in ask(f"SELECT run_id FROM {view}")} == active  # noqa: S608


@pytest.mark.parametrize(
    "statement",
    [
        *("SELECT * FROM public.runs", "SELECT * FROM public.experiments"),
        *("DELETE FROM params", "UPDATE experiments SET name = 'x' RETURNING name"),
        *("CREATE TABLE mlflow_history.x ()", "CREATE TABLE public.x ()"),
    ],
)
def test_reader_can_only_read_views(
    ask: Callable[..., list[tuple[Any, ...]]], statement: str
) -> None:
    with pytest.raises(psycopg2.Error, match=r"permission denied|cannot \w+ (?:from )?view"):
        ask(statement)


@pytest.mark.parametrize(("points", "rows"), [(100, 101), (LONG, LONG), (10**9, LONG)])
def test_curve_has_first_last_and_bounded_rows(
    ask: Callable[..., list[tuple[Any, ...]]], runs: dict[str, str], points: int, rows: int
) -> None:
    found = ask(
        "SELECT step, value FROM curve(%s, 'loss', %s) WHERE run_id = %s",
        *([runs["long"], runs["deleted"]], points, runs["long"]),
    )

    assert found[0] == (0, 0)
    assert found[-1] == (LONG - 1, LONG - 1)
    assert all(step == value for step, value in found)
    assert len(found) == rows


def test_curve_of_many_runs_stays_below_the_limit_of_rows(
    ask: Callable[..., list[tuple[Any, ...]]], runs: dict[str, str]
) -> None:
    several = [runs["long"], *(f"{n}" for n in range(9999))]

    assert len(ask("SELECT * FROM curve(%s, 'loss')", several)) <= 10


def play(cluster: Cluster, folder: Path, tasks: str, **variables: object) -> str:
    """Run parts of the role against the database; return the recap."""
    playbook = folder / "play.yml"
    playbook.write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        + "".join(
            f"    - ansible.builtin.include_role: {{name: mlflow_database, tasks_from: {name}}}\n"
            for name in tasks.split()
        )
    )
    extra = {
        "mlflow_database_host": "127.0.0.1",
        "mlflow_database_port": cluster.port,
        "mlflow_database_ca": str(cluster.ca_file),
        "mlflow_database_ca_path": str(cluster.ca_file),
        "mlflow_database_admin_user": "mlflow",
        "mlflow_database_admin_password": PASSWORD,
        "mlflow_database_name": "played",
        "mlflow_database_user": "owner",
        "mlflow_database_password": "Owner-1",
        "mlflow_database_server_password": "Server-1",
        "mlflow_database_metrics_password": "Metrics-1",
        "mlflow_database_reader_user": "played_reader",
        "mlflow_database_reader_password": READER_PASSWORD,
        "mlflow_database_secure_logging": False,
        "__mlflow_database_planned": False,
        "ansible_python_interpreter": f"{BIN}/python",
        **variables,
    }
    done = subprocess.run(
        [
            *(f"{BIN}/ansible-playbook", "-i", "localhost,", "-c", "local", str(playbook)),
            f"--extra-vars={json.dumps(extra)}",
        ],
        check=False,
        cwd=ROOT,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "ANSIBLE_STRATEGY": "linear", "HOME": str(folder)},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_role_creates_keeps_repairs_and_removes_the_login(cluster: Cluster, tmp_path: Path) -> None:
    existing = cluster.execute("SELECT rolname FROM pg_roles")
    play(cluster, tmp_path, "roles database")
    owner = cluster.url("played").replace(f"mlflow:{PASSWORD}", "owner:Owner-1")
    open_store(owner).engine.dispose()
    everything = "roles database grants"
    play(cluster, tmp_path, everything)

    created = play(cluster, tmp_path, everything, mlflow_database_reader=True)
    again = play(cluster, tmp_path, everything, mlflow_database_reader=True)
    [(settings, limit)] = cluster.execute(
        "SELECT rolconfig, rolconnlimit FROM pg_roles WHERE rolname = 'played_reader'"
    )
    reader = psycopg2.connect(
        host="127.0.0.1", port=cluster.port, dbname="played", user="played_reader",
        password=READER_PASSWORD, sslmode="require",
    )  # fmt: skip
    with closing(reader), reader.cursor() as cursor:
        cursor.execute("SELECT name FROM experiments")
        seen = cursor.fetchall()
    cluster.execute("REVOKE SELECT ON mlflow_history.params FROM played_reader", "played")
    repaired = play(cluster, tmp_path, everything, mlflow_database_reader=True)
    # A migration that changes a column of a view needs the views to be away.
    play(cluster, tmp_path, "reader_release", mlflow_database_reader=True)
    cluster.execute("ALTER TABLE params ALTER value TYPE varchar(9000)", "played")
    play(cluster, tmp_path, everything, mlflow_database_reader=True)
    removed = play(cluster, tmp_path, everything)
    gone = play(cluster, tmp_path, everything)

    assert "changed=0" in again
    assert "changed=0" not in created
    assert "changed=0" not in repaired
    assert "changed=0" not in removed
    assert "changed=0" in gone
    assert seen == [("Default",)]
    assert limit == DEFAULTS["mlflow_database_reader_connection_limit"]
    assert "statement_timeout=30000" in settings
    assert cluster.execute(
        "SELECT count(*) FROM pg_namespace WHERE nspname = 'mlflow_history'", "played"
    ) == [(0,)]
    names = {name for (name,) in cluster.execute("SELECT rolname FROM pg_roles")}
    assert names - {name for (name,) in existing} == {"owner", "mlflow_server"}
