"""A PostgreSQL per module, each release of MLflow, and the program by the name it has on a host."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.postgres import running_cluster
from tests.tracking_server import EACH_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Cluster

sys.path.insert(0, str(ROOT / "server"))
# Nobody may only read, unless a test says so.
os.environ.setdefault("MLFLOW_HOST_READ_ONLY_USERS", os.devnull)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


# pytest groups tests by a parameter of the session. A parameter of the module would change from
# test to test beside other parameters, with a start of the server each time.
@pytest.fixture(scope="session", params=EACH_VERSION)
def version(request: pytest.FixtureRequest) -> str:
    """The release of MLflow; `make test` runs the default one only."""
    chosen: str = request.param
    return chosen
