from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.tracking_server import free_port

from .conftest import PASSWORD

if TYPE_CHECKING:
    from .conftest import Tracking

SEARCH = "2.0/mlflow/experiments/search"


def test_user_is_made_once_and_gets_in(tracking: Tracking) -> None:
    planned = tracking.module("mlflow_user", name="ana", password=PASSWORD, check=True)
    before = tracking.call("ana", "POST", SEARCH, max_results=1).status_code
    made = tracking.module("mlflow_user", name="ana", password=PASSWORD)
    again = tracking.module("mlflow_user", name="ana", password=PASSWORD)

    assert (planned["changed"], before) == (True, 401)
    assert made["changed"]
    assert made["diff"]["after"] == {"username": "ana", "is_admin": False}
    assert not again["changed"]
    assert tracking.call("ana", "POST", SEARCH, max_results=1).status_code == 200


def test_changed_password_is_found_and_set(tracking: Tracking) -> None:
    tracking.module("mlflow_user", name="eva", password=PASSWORD)
    other = "another-password"

    planned = tracking.module("mlflow_user", name="eva", password=other, check=True)
    refused = tracking.call("eva", "POST", SEARCH, other, max_results=1).status_code
    changed = tracking.module("mlflow_user", name="eva", password=other)

    assert planned["changed"]
    assert refused == 401
    assert changed["changed"]
    assert other not in str(changed)
    assert tracking.call("eva", "POST", SEARCH, other, max_results=1).status_code == 200
    assert not tracking.module("mlflow_user", name="eva", password=other)["changed"]


def test_administrators_rights_are_given_and_taken(tracking: Tracking) -> None:
    tracking.module("mlflow_user", name="root", password=PASSWORD)
    update = ("root", "PATCH", "2.0/mlflow/users/update-admin")
    itself: dict[str, Any] = {"username": "root", "is_admin": True}
    assert tracking.call(*update, **itself).status_code == 403

    assert tracking.module("mlflow_user", name="root", admin=True)["changed"]
    assert tracking.call(*update, **itself).status_code == 200
    assert not tracking.module("mlflow_user", name="root")["changed"]
    assert tracking.module("mlflow_user", name="root", admin=False)["changed"]
    assert tracking.call(*update, **itself).status_code == 403


def test_user_is_deleted_once(tracking: Tracking) -> None:
    tracking.module("mlflow_user", name="bob", password=PASSWORD)

    assert tracking.module("mlflow_user", name="bob", state="absent", check=True)["changed"]
    assert tracking.module("mlflow_user", name="bob", state="absent")["changed"]
    assert not tracking.module("mlflow_user", name="bob", state="absent")["changed"]
    assert not tracking.module("mlflow_user", name="never-seen", state="absent")["changed"]


@pytest.mark.parametrize(
    ("params", "cure"),
    [
        ({"name": "new"}, "a password is needed"),
        ({"name": "new", "password": "short"}, "12 or more characters"),
        ({"name": "new", "login_password": "not-the-password"}, "refuses the login"),
        ({"name": "new", "url": f"http://127.0.0.1:{free_port()}"}, "Is mlflow.service active?"),
    ],
)
def test_bad_parameter_is_named_with_its_cure(
    tracking: Tracking, params: dict[str, Any], cure: str
) -> None:
    result = tracking.module("mlflow_user", **params, fails=True)

    assert cure in result["msg"]
    assert "new" not in {user["username"] for user in users(tracking)}


def users(tracking: Tracking) -> list[dict[str, str]]:
    found: list[dict[str, str]] = tracking.admin("GET", "2.0/mlflow/users/list")["users"]
    return found
