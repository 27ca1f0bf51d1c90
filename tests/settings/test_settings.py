"""Every public variable, set in an inventory to a value that is not its default, takes effect.

What tasks and templates make of a value is quick to see. The rest is slow: one deployment is made
for it and unmade by it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.settings import table
from tests.unit.test_settings import RULES

if TYPE_CHECKING:
    from tests.settings.conftest import Deployment


def public(kind: type) -> list[Any]:
    """Return the name and the row of the public variables whose row is of this kind."""
    rows = {name: table.ROWS[name] for name in sorted(RULES.public)}
    return [pytest.param(name, row, id=name) for name, row in rows.items() if isinstance(row, kind)]


@pytest.mark.parametrize(("name", "row"), public(table.Argument))
def test_public_variable_reaches_its_argument(
    arguments: dict[str, Any], name: str, row: table.Argument
) -> None:
    found, expected = arguments[name], row.expected
    if isinstance(expected, str):
        assert re.fullmatch(expected, found, re.DOTALL) or found == expected, found
    else:
        assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize(("name", "row"), public(table.Resource))
def test_public_variable_reaches_its_resource(
    deployment: Deployment, name: str, row: table.Resource
) -> None:
    assert row.look(deployment) == (table.VALUES[name] if row.expected is None else row.expected)


@pytest.mark.parametrize(
    "test", sorted({row.test for row in table.ROWS.values() if isinstance(row, table.Elsewhere)})
)
def test_public_variable_has_a_test_elsewhere(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()


@pytest.mark.slow
def test_rotate_keys_generates_the_keys_of_the_inventory(deployment: Deployment) -> None:
    names = ["mlflow-secret-key", "mlflow-webhook-keys", "mlflow-gateway-passphrases"]
    before = [deployment.secret(name) for name in names]
    rotated = deployment.play("playbooks/rotate_keys.yml")
    after = [deployment.secret(name) for name in names]

    assert rotated.returncode == 0, rotated.output
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, True]


@pytest.mark.slow
def test_settings_change_nothing_when_they_are_applied_again(deployment: Deployment) -> None:
    again = deployment.play("site.yml")

    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output


@pytest.mark.slow
def test_destroy_takes_confirm_and_purge_from_the_inventory(deployment: Deployment) -> None:
    destroyed = deployment.play("playbooks/destroy.yml")

    assert destroyed.returncode == 0, destroyed.output
    rds = deployment.aws.client("rds")
    assert rds.describe_db_snapshots()["DBSnapshots"] == []
    assert deployment.aws.resources("knobs") == []
