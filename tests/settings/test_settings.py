"""Every public variable, set in an inventory to a value that is not its default, takes effect.

All are slow: one deployment is made for them and unmade by them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.settings import table
from tests.unit.test_settings import RULES

if TYPE_CHECKING:
    from tests.settings.conftest import Deployment

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(RULES.public))
def test_public_variable_reaches_its_resource(
    deployment: Deployment, arguments: dict[str, Any], name: str
) -> None:
    match table.ROWS[name]:
        case table.Resource(look, expected):
            found = look(deployment)
            assert found == (table.VALUES[name] if expected is None else expected)
        case table.Argument(_, expected):
            found = arguments[name]
            if isinstance(expected, str):
                assert re.fullmatch(expected, found, re.DOTALL) or found == expected, found
            else:
                assert found == expected
        case table.Elsewhere(test):
            pytest.skip(test)


def test_rotate_keys_generates_the_keys_of_the_inventory(deployment: Deployment) -> None:
    names = ["mlflow-secret-key", "mlflow-webhook-keys", "mlflow-gateway-passphrases"]
    before = [deployment.secret(name) for name in names]
    rotated = deployment.play("playbooks/rotate_keys.yml")
    after = [deployment.secret(name) for name in names]

    assert rotated.returncode == 0, rotated.output
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, True]


def test_settings_change_nothing_when_they_are_applied_again(deployment: Deployment) -> None:
    again = deployment.play("site.yml")

    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output


def test_destroy_takes_confirm_and_purge_from_the_inventory(deployment: Deployment) -> None:
    destroyed = deployment.play("playbooks/destroy.yml")

    assert destroyed.returncode == 0, destroyed.output
    rds = deployment.aws.client("rds")
    assert rds.describe_db_snapshots()["DBSnapshots"] == []
    assert deployment.aws.resources("knobs") == []
