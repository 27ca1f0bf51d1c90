"""A client logs while parts of the deployment fail; nothing is lost, doubled or stale.

The faults go from small to large; each leaves a deployment that works.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults import artifacts, database, machine, network, operations, processes
from tests.faults.run import check, run
from tests.load import oracle
from tests.load.client import Load

if TYPE_CHECKING:
    from tests.faults.conftest import Record
    from tests.faults.fault import Fault
    from tests.sites_below import Site

pytestmark = pytest.mark.slow
OPERATIONS = 100_000
KINDS = 20
FAULTS = (
    *processes.FAULTS,
    *database.FAULTS,
    *network.FAULTS,
    *artifacts.FAULTS,
    *machine.FAULTS,
    *operations.FAULTS,
)
DROP_IN = "/run/systemd/system/mlflow.service.d/bug.conf"
BUG_FOLDER = "/usr/local/lib/planted-bug"
# Python imports it at its start. MLflow's store is changed as soon as it is imported. The hot
# routes do not call it, so the server runs without the optional patches.
BUG = """\
import sys
import threading
import time
from importlib.machinery import PathFinder

STORE = "mlflow.store.tracking.sqlalchemy_store"


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != STORE:
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_patch(module):
            execute(module)
            commit = module.SqlAlchemyStore.log_batch

            def acknowledge_before_commit(self, *args, **kwargs):
                def work():
                    time.sleep(1)
                    commit(self, *args, **kwargs)

                threading.Thread(target=work, daemon=True).start()

            module.SqlAlchemyStore.log_batch = acknowledge_before_commit

        spec.loader.exec_module = execute_and_patch
        return spec


sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_fault_loses_doubles_and_ages_nothing(site: Site, record: Record, fault: Fault) -> None:
    assert not run(site, fault, record)


def test_replacement_of_the_host_takes_no_longer_than_its_creation(record: Record) -> None:
    [row] = [row for row in record.rows if row.fault == operations.FAULTS[-1].name]

    assert row.lasted + row.again <= record.deployed


def test_everything_that_was_acknowledged_is_there_in_the_end(site: Site, record: Record) -> None:
    """All faults together, since a later one might have lost what an earlier one kept."""
    found = check(site, record.history, record.experiments)

    assert not found
    assert len({row.fault for row in record.rows}) >= KINDS
    assert oracle.acknowledged(record.history) >= OPERATIONS


def test_server_that_acknowledges_before_it_commits_is_caught(site: Site) -> None:
    site.host(
        f"mkdir -p {BUG_FOLDER} $(dirname {DROP_IN})\n"
        f"cat >{BUG_FOLDER}/sitecustomize.py <<'END'\n{BUG}END\n"
        f'printf "PYTHONPATH={BUG_FOLDER}\\nMLFLOW_HOST_PATCHES=\\n" >{BUG_FOLDER}/bug.env\n'
        f'printf "[Service]\\nEnvironmentFile={BUG_FOLDER}/bug.env\\n" >{DROP_IN}\n'
        f"chmod -R a+rX {BUG_FOLDER}\nsystemctl daemon-reload\nsystemctl restart mlflow"
    )
    try:
        with Load(site.target) as load:
            load.wait_until_answered(time.monotonic(), 60)
            time.sleep(3)
            processes.kill_server(site)
            load.wait_until_answered(time.monotonic(), 60)
        found = check(site, load.history, [load.experiment])
    finally:
        site.host(
            f"rm -r {BUG_FOLDER} {DROP_IN}\nsystemctl daemon-reload\nsystemctl restart mlflow"
        )

    assert found.lost
    assert found.stale
    assert not found.doubled
