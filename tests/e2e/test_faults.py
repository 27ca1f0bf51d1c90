"""A client logs while processes are killed and the database restarts: a part of `make faults`."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import sites
from tests.load import oracle, state
from tests.load.client import Load, Target, new_session
from tests.load.oracle import Write

from .conftest import NAME

if TYPE_CHECKING:
    from .conftest import Deployment

SECONDS = 60.0
# Each has happened when the command is done.
KILLS = (
    # A worker.
    """main=$(systemctl show --property=MainPID --value mlflow)
    kill -KILL "$(pgrep --oldest --full --parent $main multiprocessing.forkserver)"
    """,
    "systemctl kill --signal=KILL mlflow",
    "systemctl kill --signal=KILL caddy",
)


@dataclass(frozen=True)
class Site(sites.Site):
    """The deployment of a user, whose keys are in the user's clone."""

    keys: str

    @property
    def directory(self) -> str:
        return self.keys


def test_killed_processes_and_a_restarted_database_lose_nothing(deployment: Deployment) -> None:
    client = deployment.client_environment
    target = Target(
        client["MLFLOW_TRACKING_URI"],
        client["MLFLOW_TRACKING_USERNAME"],
        client["MLFLOW_TRACKING_PASSWORD"],
        client["MLFLOW_TRACKING_SERVER_CERT_PATH"],
    )
    site = Site(deployment.aws, NAME, str(deployment.directory))
    with Load(target, threads=2) as load:
        load.wait_until_answered(time.monotonic(), SECONDS)
        for command in KILLS:
            done = deployment.ssh(f"sudo sh -euc {shlex.quote(command)}")
            assert done.returncode == 0, done.stderr
            load.wait_until_answered(time.monotonic(), SECONDS)
        rds = deployment.aws.client("rds")
        rds.reboot_db_instance(DBInstanceIdentifier=f"{NAME}-mlflow")
        load.wait_until_answered(time.monotonic(), SECONDS)
    models = sorted({event.place[1] for event in load.history if event.place[0] == "model"})
    with site.database() as cursor:
        kept = state.in_database(cursor, [load.experiment], models)
    kept |= state.in_bucket(deployment.aws.client("s3"), site.bucket, [load.experiment])
    answered = state.in_answers(target, [load.experiment])
    writes = [event for event in load.history if isinstance(event, Write)]

    assert not oracle.check(load.history, kept)
    assert not oracle.check(oracle.of_places(writes, state.is_in_answers), answered)
    assert load.failures, "the client has seen no fault"
    assert not load.refusals
    assert load.acknowledged > 500
    # Other tests count what there is.
    with new_session(target) as session:
        url = f"{target.url}/api/2.0/mlflow"
        gone = session.post(f"{url}/experiments/delete", json={"experiment_id": load.experiment})
        assert gone.ok, gone.text
        for name in models:
            gone = session.delete(f"{url}/registered-models/delete", json={"name": name})
            assert gone.ok or gone.status_code == 404, gone.text
