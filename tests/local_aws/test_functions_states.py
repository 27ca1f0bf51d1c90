"""States of functions: what is refused in which."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws.services.awslambda.states import ConflictError, NotReadyError, States
from local_aws.settings import Settings
from tests.conftest import LocalAws, started
from tests.functions import archive
from tests.local_aws.conftest import create_function_role, wait_for_function
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "slow"
SOURCE = "def handler(event, context): return 'old'"


@pytest.fixture(scope="module")
def lambda_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a local AWS whose functions take two seconds and sleep after two."""
    settings = {"LOCAL_AWS_LAMBDA_SECONDS": "2", "LOCAL_AWS_LAMBDA_IDLE_SECONDS": "2"}
    folder = tmp_path_factory.mktemp("states")
    for aws in started(LocalAws(folder, free_port(), settings=settings)):
        role = create_function_role(aws, "f")
        client = aws.client("lambda")
        created = client.create_function(
            FunctionName=NAME,
            Runtime="python3.13",
            Handler="code.handler",
            Role=role,
            Code={"ZipFile": archive(SOURCE)},
        )
        assert created["State"] == "Pending"
        yield client


def test_function_refuses_calls_while_it_is_pending_updated_or_inactive(lambda_: Any) -> None:
    def update() -> Any:
        return lambda_.update_function_configuration(FunctionName=NAME, MemorySize=256)

    with pytest.raises(ClientError, match=r"ResourceConflictException.*state: Pending"):
        lambda_.invoke(FunctionName=NAME)
    with pytest.raises(ClientError, match=r"ResourceConflictException.*state: Pending"):
        update()
    lambda_.get_waiter("function_active_v2").wait(
        FunctionName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )

    assert update()["LastUpdateStatus"] == "InProgress"
    with pytest.raises(ClientError, match="An update is in progress for resource"):
        update()
    assert lambda_.invoke(FunctionName=NAME)["Payload"].read() == b'"old"'
    lambda_.get_waiter("function_updated_v2").wait(
        FunctionName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )

    time.sleep(2.5)
    assert lambda_.get_function_configuration(FunctionName=NAME)["State"] == "Inactive"
    # botocore repeats a call that was answered by 502, and then meets the function being restored.
    with pytest.raises(ClientError, match=r"ResourceNotReadyException|state: Pending"):
        lambda_.invoke(FunctionName=NAME)
    assert lambda_.get_function_configuration(FunctionName=NAME)["StateReasonCode"] == "Restoring"
    wait_for_function(lambda_, NAME)
    assert lambda_.invoke(FunctionName=NAME)["Payload"].read() == b'"old"'


def test_states_of_two_functions_are_their_own(tmp_path: Path) -> None:
    states = States(Settings(tmp_path, lambda_seconds=60))
    new, old = (
        SimpleNamespace(account_id="1", region="r", function_name=name, function_arn=name)
        for name in ("new", "old")
    )
    states.created(new)

    states.check_invocation(old)
    with pytest.raises(ConflictError):
        states.check_invocation(new)


def test_first_call_of_an_idle_function_is_answered_by_not_ready(tmp_path: Path) -> None:
    states = States(Settings(tmp_path, lambda_seconds=0, lambda_idle_seconds=0.01))
    function = SimpleNamespace(account_id="1", region="r", function_name="f", function_arn="f")
    states.created(function)
    time.sleep(0.02)

    with pytest.raises(NotReadyError):
        states.check_invocation(function)
    states.check_invocation(function)
