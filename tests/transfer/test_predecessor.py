"""A server of MLflow 2 with PostgreSQL and a bucket moves to a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .comparison import assert_same_answers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sites import Site

    from .conftest import Other

pytestmark = pytest.mark.slow

DEPLOYMENT = "former"


def test_import_moves_all_that_the_predecessor_has(
    site: Site, former: Other, tmp_path: Path
) -> None:
    done = site.aws.play(
        "playbooks/import.yml",
        f"--extra-vars=mlflow_import_database={former.folder}/mlflow.db",
        f"--extra-vars=mlflow_import_artifacts={former.folder}/mlruns",
    )
    assert done.returncode == 0, done.output
    assert_same_answers(site, former, tmp_path)
