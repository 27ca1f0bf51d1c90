"""What takes a login or a permission away counts for hot routes from the next request on."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres import running_cluster
from tests.tracking_server import Server, basic, deployed_server, of_optional_patches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import requests

    from tests.postgres import Cluster

PASSWORD = "password-of-a-user"
NEXT = "next-password-of-a-user"


@dataclass(frozen=True)
class Tracking:
    """A server with two workers, its database and its files."""

    server: Server
    cluster: Cluster
    directory: Path

    def admin(self, path: str, method: str = "POST", **body: Any) -> dict[str, Any]:
        """Ask in the administrator's name."""
        url = f"{self.server.url}/api/{path}"
        answer = self.server.session().request(method, url, json=body, timeout=60)
        assert answer.ok, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def sql(self, statement: str) -> None:
        """Change a row as another worker would."""
        self.cluster.execute(statement, "logins")


@dataclass
class Job:
    """A user's training job.

    Attributes
    ----------
    sessions
        Connections that are kept, so that several workers answer.
    """

    name: str
    experiment: str
    run: str
    tracking: Tracking
    sessions: list[requests.Session]
    step: int = 0

    @property
    def grant(self) -> dict[str, str]:
        """What the user's permission is about."""
        return {
            "username": self.name,
            "resource_type": "experiment",
            "resource_id": self.experiment,
        }

    def log(self) -> set[int]:
        """Log a metric over each connection; return the statuses."""
        found = set()
        for session in self.sessions:
            self.step += 1
            body = {"run_id": self.run, "key": "k", "value": 1, "timestamp": 1, "step": self.step}
            url = f"{self.tracking.server.url}/api/2.0/mlflow/runs/log-metric"
            found.add(session.post(url, json=body, timeout=60).status_code)
        return found


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    directory = tmp_path_factory.mktemp("logins")
    with running_cluster(log_min_duration_statement=0) as cluster:
        cluster.execute("CREATE DATABASE logins")
        # No cache of MLflow's own, which keeps a password for a time in each worker.
        variables: dict[str, Any] = {
            "mlflow_default_permission": "READ",
            "mlflow_auth_cache_ttl": 0,
        }
        with deployed_server(cluster, "logins", directory, **variables) as server:
            yield Tracking(server, cluster, directory)


@pytest.fixture
def job(tracking: Tracking) -> Job:
    """A job that has logged for some time, so that all workers know its user."""
    name = f"user-{uuid.uuid4().hex}"
    tracking.admin("2.0/mlflow/users/create", username=name, password=PASSWORD)
    experiment = tracking.admin("2.0/mlflow/experiments/create", name=name)["experiment_id"]
    created = tracking.admin("2.0/mlflow/runs/create", experiment_id=experiment, start_time=1)
    sessions = [tracking.server.session(basic(name, PASSWORD)) for _ in range(4)]
    found = Job(name, experiment, created["run"]["info"]["run_id"], tracking, sessions)
    tracking.admin("3.0/mlflow/users/permissions/grant", **found.grant, permission="EDIT")
    for _ in range(2):
        assert found.log() == {200}
    return found


def short_statements(tracking: Tracking, run: str) -> int:
    log = (tracking.cluster.directory / "log").read_text(errors="replace")
    # PostgreSQL logs what a prepared statement is in the line after its values.
    return len(re.findall(rf"EXECUTE hot_.*'{run}'.*\n.* AS WITH run AS MATERIALIZED", log))


@of_optional_patches
def test_known_login_logs_with_one_statement_and_no_hash(job: Job) -> None:
    before = short_statements(job.tracking, job.run)

    assert job.log() == {200}

    assert short_statements(job.tracking, job.run) == before + len(job.sessions)
    log = (job.tracking.cluster.directory / "log").read_text(errors="replace")
    assert PASSWORD not in log
    users = job.tracking.cluster.execute("SELECT username, password_hash FROM users", "logins")
    # MLflow writes it once, when it creates the user.
    assert log.count(dict(users)[job.name]) == 1


def change_password(job: Job) -> None:
    path = "2.0/mlflow/users/update-password"
    job.tracking.admin(path, "PATCH", username=job.name, password=NEXT)


def delete_user(job: Job) -> None:
    job.tracking.admin("2.0/mlflow/users/delete", "DELETE", username=job.name)


def revoke(job: Job) -> None:
    job.tracking.admin("3.0/mlflow/users/permissions/revoke", **job.grant)


def lower(job: Job) -> None:
    job.tracking.sql(
        "UPDATE role_permissions SET permission = 'READ'"  # noqa: S608  names of the test
        f" WHERE resource_type = 'experiment' AND resource_pattern = '{job.experiment}'"
    )


def take_role(job: Job) -> None:
    job.tracking.sql(
        "DELETE FROM user_role_assignments a USING users u"  # noqa: S608  names of the test
        f" WHERE a.user_id = u.id AND u.username = '{job.name}'"
    )


def make_reader(job: Job) -> None:
    (job.tracking.directory / "read_only_users").write_text(f"{job.name}\n")


REVOCATIONS = {
    change_password: 401,
    delete_user: 401,
    revoke: 403,
    lower: 403,
    take_role: 403,
    make_reader: 403,
}


@pytest.mark.parametrize(("take", "status"), REVOCATIONS.items())
def test_revocation_counts_from_the_next_request_on(
    job: Job, take: Callable[[Job], None], status: int
) -> None:
    take(job)

    assert job.log() == {status}
    rows = job.tracking.cluster.execute("SELECT run_uuid FROM metrics", "logins")
    assert rows.count((job.run,)) == 8


def test_administrator_who_is_no_longer_one_needs_permissions(job: Job) -> None:
    change = {"username": job.name, "is_admin": True}
    job.tracking.admin("2.0/mlflow/users/update-admin", "PATCH", **change)
    revoke(job)
    for _ in range(2):
        assert job.log() == {200}

    job.tracking.admin("2.0/mlflow/users/update-admin", "PATCH", **{**change, "is_admin": False})

    assert job.log() == {403}


def test_permission_of_one_experiment_is_none_of_another(job: Job) -> None:
    other = job.tracking.admin("2.0/mlflow/experiments/create", name=f"other of {job.name}")
    created = job.tracking.admin(
        "2.0/mlflow/runs/create", experiment_id=other["experiment_id"], start_time=1
    )
    job.run = created["run"]["info"]["run_id"]

    assert job.log() == {403}


def test_wrong_password_is_refused_while_the_right_one_is_known(job: Job) -> None:
    job.sessions = [job.tracking.server.session(basic(job.name, f"{PASSWORD}x"))]

    assert job.log() == {401}


@of_optional_patches
def test_new_password_is_learned(job: Job) -> None:
    change_password(job)
    job.sessions = [job.tracking.server.session(basic(job.name, NEXT)) for _ in range(4)]
    for _ in range(2):
        assert job.log() == {200}
    before = short_statements(job.tracking, job.run)

    assert job.log() == {200}

    assert short_statements(job.tracking, job.run) == before + 4
