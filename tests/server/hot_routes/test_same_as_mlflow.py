"""Hot routes answer as MLflow does, and leave the same rows.

Generated requests go to the role's server and to MLflow's own, each with a database of its own.
Status, content type and JSON are compared after each request, and the rows of the tables after each
run. HOT_ROUTES_REQUESTS sets how many requests the slow test makes.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.tracking_server import (
    ADMIN_PASSWORD,
    basic,
    deployed_server,
    unpatched_server,
)

from .generated import (
    ADMIN,
    EDITOR,
    READER,
    RUN,
    STEPS_OF_A_RUN,
    WRONG,
    Crowd,
    Grant,
    Request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from tests.postgres import Cluster
    from tests.tracking_server import Server

PASSWORD = "password-of-a-user"
LOGINS = {
    ADMIN: basic("admin", ADMIN_PASSWORD),
    EDITOR: basic(EDITOR, PASSWORD),
    READER: basic(READER, PASSWORD),
    WRONG: basic("admin", "another-password"),
}
AT_ONCE = 6
STEPS_PER_RUN = 12
REQUESTS = int(os.environ.get("HOT_ROUTES_REQUESTS", "50000"))
# What the statements of the hot routes begin with, in PostgreSQL's log.
SHORT = re.compile(
    r"prepare: PREPARE hot_\w+ \([^)]*\) AS"
    r" (WITH run AS MATERIALIZED|WITH place AS|WITH r AS|SELECT r\.run_uuid, r\.name)"
)
# Header fields that differ between servers, and those for scripts of other sites: MLflow answers
# their requests.
OWN = {
    *("content-length", "date", "server", "x-request-id"),
    *("access-control-allow-credentials", "access-control-allow-origin"),
}
# What follows the kind of an error holds the statement, with the request's id in ours.
FROM_DATABASE = re.compile(r"(\(psycopg2\.\S+\)).*", re.DOTALL)
RANDOM_NAME = re.compile(r"[a-z]+-[a-z]+-[0-9]+")
TABLES = {
    "runs": "run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
    " start_time, end_time, deleted_time IS NULL, source_version, lifecycle_stage, artifact_uri,"
    " experiment_id",
    "metrics": "run_uuid, key, value, timestamp, step, is_nan",
    "latest_metrics": "run_uuid, key, value, timestamp, step, is_nan",
    "params": "run_uuid, key, value",
    "tags": "run_uuid, key, value",
}


@dataclass
class Side:
    """One of the two servers.

    Attributes
    ----------
    runs
        Ids of the runs that were created, and what stands for them in comparisons.
    """

    server: Server
    rows: Any
    experiment: str = ""
    runs: dict[str, str] = field(default_factory=dict)
    sessions: dict[tuple[str, int], requests.Session] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The first run."""
        return next(iter(self.runs))

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Ask in the administrator's name."""
        answer = self.session(ADMIN).post(f"{self.server.url}/api/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def session(self, user: str, place: int = 0) -> requests.Session:
        """Return a client of a user's."""
        if (user, place) not in self.sessions:
            self.sessions[user, place] = self.server.session(LOGINS[user])
        return self.sessions[user, place]

    def grant(self, permission: str | None) -> None:
        """Give the editor a permission in the experiment instead of the former."""
        path = f"{self.server.url}/api/3.0/mlflow/users/permissions"
        about = {"username": EDITOR, "resource_type": "experiment", "resource_id": self.experiment}
        # It fails if there is none.
        self.session(ADMIN).post(f"{path}/revoke", json=about, timeout=60)
        if permission:
            self.post("3.0/mlflow/users/permissions/grant", **about, permission=permission)

    def new_run(self) -> None:
        """Forget the runs, and create one."""
        self.runs.clear()
        created = self.post(
            "2.0/mlflow/runs/create", experiment_id=self.experiment, start_time=1, run_name="first"
        )
        self.runs[created["run"]["info"]["run_id"]] = RUN

    def ask(self, request: Request, place: int = 0) -> dict[str, Any]:
        """Return what is compared of an answer."""
        fill = request.body.replace(RUN, self.run).replace("<experiment>", self.experiment)
        url = f"{self.server.url}/api/2.0/mlflow/runs/{request.route}"
        if request.query:
            url += f"?{request.query.replace(RUN, self.run)}"
        answer = self.session(request.user, place).request(
            "GET" if request.route == "get" else "POST",
            url,
            data=None if request.route == "get" else fill.encode("utf-8", "surrogatepass"),
            headers={"Content-Type": request.kind} if request.kind else {},
            timeout=60,
        )
        content: Any = answer.text
        if answer.headers.get("Content-Type") == "application/json":
            content = json.loads(answer.text, parse_float=exact_float, parse_constant=str)
            if request.route == "create" and answer.ok:
                self.runs[content["run"]["info"]["run_id"]] = f"<run {len(self.runs)}>"
        headers = {name.lower(): value for name, value in answer.headers.items()}
        # Flask repeats the name.
        headers["vary"] = ", ".join(sorted(set(headers.get("vary", "").split(", "))))
        return {
            "status": answer.status_code,
            "content": self.masked(content),
            "headers": {name: headers[name] for name in sorted(headers.keys() - OWN)},
        }

    def masked(self, value: Any) -> Any:
        """Return a value without what differs between servers; lists are sorted."""
        match value:
            case dict():
                return {name: self.masked(one) for name, one in value.items()}
            case list() | tuple():
                return sorted((self.masked(one) for one in value), key=repr)
            case str():
                for run, name in self.runs.items():
                    value = value.replace(run, name)
                value = FROM_DATABASE.sub(r"\1", value)
                return RANDOM_NAME.sub("<name>", value)
        return value

    def tables(self) -> dict[str, list[Any]]:
        """Return the rows of the runs."""
        found = {}
        with self.rows.cursor() as cursor:
            for table, columns in TABLES.items():
                cursor.execute(
                    f"SELECT {columns} FROM {table} WHERE run_uuid = ANY(%s)",  # noqa: S608  constants and names of the test
                    (list(self.runs),),
                )
                found[table] = sorted(
                    (tuple(self.masked(_exact(one)) for one in row) for row in cursor), key=repr
                )
        return found


def exact_float(written: str) -> str:
    """Return a number of JSON in one form; it has several."""
    return repr(float(written))


def _exact(value: Any) -> Any:
    """Keep the sign of zero."""
    return repr(value) if isinstance(value, float) and math.copysign(1, value) < 0 else value


@dataclass
class Pair:
    """The role's server and MLflow's."""

    ours: Side
    stock: Side
    pool: ThreadPoolExecutor
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return self.ours, self.stock

    def check(self, steps: list[Any]) -> None:
        """Carry steps out on both; fail at the first difference."""
        for side in self.sides:
            side.new_run()
        for step in steps:
            ours, stock = (self.carry_out(side, step) for side in self.sides)
            assert ours == stock, step
            for answer in ours if isinstance(ours, list) else [ours]:
                self.statuses[answer["status"]] += 1
        ours, stock = (side.tables() for side in self.sides)
        assert ours == stock

    def carry_out(self, side: Side, step: Any) -> Any:
        """Return what is compared of one server's answers."""
        match step:
            case Grant(permission):
                side.grant(permission)
                return []
            case Crowd(several):
                return list(
                    self.pool.map(lambda pair: side.ask(pair[1], 1 + pair[0]), enumerate(several))
                )
        return side.ask(step)


def _side(server: Server, rows: Any) -> Side:
    side = Side(server, rows)
    for user in (EDITOR, READER):
        side.post("2.0/mlflow/users/create", username=user, password=PASSWORD)
    side.experiment = side.post("2.0/mlflow/experiments/create", name="hot")["experiment_id"]
    side.grant("EDIT")
    return side


@pytest.fixture(scope="module")
def pair(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, version: str
) -> Iterator[Pair]:
    with ExitStack() as stack:
        sides = []
        for name, start in (("ours", deployed_server), ("stock", unpatched_server)):
            database = f"{name}-{version}"
            cluster.execute(f'CREATE DATABASE "{database}"')
            options: dict[str, Any] = {"mlflow_default_permission": "READ"}
            if name == "ours":
                options["mlflow_workers"] = 1
                # Then errors are the same to the byte.
                options["mlflow_patches"] = ["hot_routes", "messages", "run_search", "user_lookup"]
            server = stack.enter_context(
                start(cluster, database, tmp_path_factory.mktemp(name), version=version, **options)
            )
            rows = stack.enter_context(closing(cluster.connect(database)))
            sides.append(_side(server, rows))
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        yield Pair(sides[0], sides[1], pool)


def check_generated(pair: Pair, requests_in_all: int) -> None:
    """Generate that many requests, and compare."""

    # To find the smallest example takes minutes, and the first step that differs is shown anyway.
    @settings(max_examples=requests_in_all // STEPS_PER_RUN, phases=[Phase.generate])
    @given(st.lists(STEPS_OF_A_RUN, min_size=STEPS_PER_RUN, max_size=STEPS_PER_RUN))
    def check(steps: list[Any]) -> None:
        pair.check(steps)

    check()
    # The examples are of all kinds.
    assert {200, 400, 401, 403} <= pair.statuses.keys()
    assert pair.statuses[200] > sum(pair.statuses.values()) / 3


def test_generated_requests_are_answered_as_by_mlflow(
    pair: Pair, cluster: Cluster, version: str
) -> None:
    database = f"ours-{version}"
    cluster.execute(f'ALTER DATABASE "{database}" SET log_min_duration_statement = 0')
    # Connections that are open keep the former setting.
    cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"  # noqa: S608  constants and names of the test
        f" WHERE datname = '{database}' AND usename = 'mlflow_server'"
    )
    pair.statuses.clear()
    try:
        check_generated(pair, 300)
    finally:
        cluster.execute(f'ALTER DATABASE "{database}" RESET log_min_duration_statement')

    # The hot routes have answered, and not only MLflow behind them.
    short = len(SHORT.findall((cluster.directory / "log").read_text(errors="replace")))
    assert short > pair.statuses[200] / 2, (short, pair.statuses)


@pytest.mark.slow
def test_many_generated_requests_are_answered_as_by_mlflow(pair: Pair) -> None:
    check_generated(pair, REQUESTS)
