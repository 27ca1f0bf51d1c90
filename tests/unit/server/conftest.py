"""A PostgreSQL per module, and each release of MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.postgres import running_cluster
from tests.tracking_server import EACH_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Cluster


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
