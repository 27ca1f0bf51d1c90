"""Lambda: the zip really runs, and what it does not bring is not there."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.functions import archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import LocalAws

    Make = Callable[..., Any]

ECHO = "def handler(event, context):\n    return event\n"


def test_invoke_returns_the_result_of_the_handler(make_function: Make) -> None:
    answer = make_function(ECHO)({"a": [1, "é", None]})
    assert json.loads(answer["Payload"]) == {"a": [1, "é", None]}
    assert "FunctionError" not in answer


def test_warm_instance_is_kept_until_the_function_changes(
    make_function: Make, aws: LocalAws
) -> None:
    source = "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n\n"
    call = make_function(source)
    assert [call()["Payload"] for _ in range(3)] == [b"1", b"2", b"3"]
    aws.client("lambda").update_function_configuration(
        FunctionName=call.name, Environment={"Variables": {"MINE": "b"}}
    )
    assert call()["Payload"] == b"1"
    aws.client("lambda").update_function_code(
        FunctionName=call.name, ZipFile=archive("def handler(event, context): return 'new'")
    )
    assert call()["Payload"] == b'"new"'


@pytest.mark.parametrize("module", ["yaml", "apt", "requests", "boto3", "moto"])
def test_import_of_a_package_missing_in_the_zip_fails(make_function: Make, module: str) -> None:
    answer = make_function(f"import {module}\n{ECHO}")()
    assert answer["FunctionError"] == "Unhandled"
    failure = json.loads(answer["Payload"])
    assert failure["errorType"] == "Runtime.ImportModuleError"
    assert failure["errorMessage"] == f"Unable to import module 'code': No module named '{module}'"


def test_layer_can_be_imported(make_function: Make, aws: LocalAws) -> None:
    layer = aws.client("lambda").publish_layer_version(
        LayerName="extra", Content={"ZipFile": archive("VALUE = 7", "python/extra.py")}
    )["LayerVersionArn"]
    call = make_function("import extra\ndef handler(e, c): return extra.VALUE", Layers=[layer])
    assert call()["Payload"] == b"7"


def test_handler_exception_is_returned_and_logged(make_function: Make, aws: LocalAws) -> None:
    call = make_function("def handler(event, context):\n    raise ValueError('no, é')\n")
    failure = json.loads(call()["Payload"])
    assert (failure["errorType"], failure["errorMessage"]) == ("ValueError", "no, é")
    assert "in handler" in failure["stackTrace"][0]
    assert any("[ERROR] ValueError: no, é" in line for line in logged(aws, call.name))


def logged(aws: LocalAws, name: str) -> list[str]:
    events = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    return [event["message"].rstrip("\n") for event in events]


def test_handler_output_is_logged(make_function: Make, aws: LocalAws) -> None:
    call = make_function(
        "import logging, sys\n"
        "print('loading')\n"
        "def handler(event, context):\n"
        "    print('out')\n"
        "    print('err', file=sys.stderr)\n"
        "    logging.warning('careful')\n"
        "    print('no newline', end='')\n"
    )
    tail = base64.b64decode(call(LogType="Tail")["LogResult"]).decode()
    lines = logged(aws, call.name)
    texts = [line.split("\t")[-1] for line in lines]
    assert texts[0] == "loading"
    assert lines[1].startswith("START RequestId: ")
    assert lines[1].endswith(" Version: $LATEST")
    assert texts[2:6] == ["out", "err", "careful", "no newline"]
    assert lines[6].startswith("END RequestId: ")
    assert lines[7].startswith("REPORT RequestId: ")
    assert "Init Duration" in lines[7]
    assert "careful" in tail


def test_context_and_environment_are_those_of_lambda(make_function: Make) -> None:
    call = make_function(
        "import os\n"
        "def handler(event, context):\n"
        "    return [dict(os.environ), context.function_name, context.memory_limit_in_mb,\n"
        "            context.invoked_function_arn, context.get_remaining_time_in_millis(),\n"
        "            context.aws_request_id, os.getcwd(), os.getuid()]\n",
        Environment={"Variables": {"MINE": "1"}},
        Timeout=7,
        MemorySize=200,
    )
    environment, name, memory, arn, left, request, folder, user = json.loads(call()["Payload"])
    assert environment["MINE"] == "1"
    assert environment["_HANDLER"] == "code.handler"
    assert environment["LAMBDA_TASK_ROOT"] == folder == "/var/task"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == name == call.name
    assert environment["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert memory == "200"
    assert arn.endswith(f":function:{call.name}")
    assert 6000 < left <= 7000
    assert len(request) == 36
    assert user != 0


def test_handler_can_write_to_tmp_only(make_function: Make) -> None:
    call = make_function(
        "def handler(event, context):\n"
        "    open('/tmp/a', 'w').write('a')\n"
        "    try:\n"
        "        open(event, 'w')\n"
        "    except OSError as error:\n"
        "        return error.strerror\n"
    )
    for path in ("/var/task/a", "/opt/a", "/etc/a", "/var/runtime/a"):
        assert json.loads(call(path)["Payload"]) == "Read-only file system"


def test_timeout_ends_the_invocation_and_the_next_one_works(
    make_function: Make, aws: LocalAws
) -> None:
    call = make_function(
        "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'done'\n",
        Timeout=1,
    )
    began = time.monotonic()
    failure = json.loads(call(30)["Payload"])
    assert time.monotonic() - began < 5
    assert failure["errorType"] == "Sandbox.Timedout"
    assert failure["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert any("Task timed out" in line for line in logged(aws, call.name))
    assert call(0)["Payload"] == b'"done"'


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("import sys; sys.exit(3)", "exit status 3"),
        ("import os; os.kill(os.getpid(), 9) or os._exit(4)", "exit"),
        ("bytearray(400 << 20)", "signal: killed"),
    ],
)
def test_invoke_of_a_process_that_ends_returns_the_error(
    make_function: Make, statement: str, reason: str
) -> None:
    call = make_function(f"def handler(event, context):\n    {statement}\n", MemorySize=128)
    failure = json.loads(call()["Payload"])
    assert failure["errorType"] == "Runtime.ExitError"
    assert reason in failure["errorMessage"]


def test_too_large_result_is_refused_and_a_large_one_is_not(make_function: Make) -> None:
    call = make_function("def handler(event, context): return 'x' * event", MemorySize=512)
    assert len(call(6_000_000)["Payload"]) == 6_000_002
    failure = json.loads(call(7_000_000)["Payload"])
    assert failure["errorType"] == "Function.ResponseSizeTooLarge"


def test_too_large_event_is_refused(make_function: Make) -> None:
    with pytest.raises(ClientError, match="RequestTooLarge"):
        make_function(ECHO)("x" * 7_000_000)


def test_result_that_is_not_json_is_returned_as_an_error(make_function: Make) -> None:
    failure = json.loads(make_function("def handler(e, c): return object()")()["Payload"])
    assert failure["errorType"] == "Runtime.MarshalError"


def test_concurrent_events_get_their_own_results(make_function: Make) -> None:
    call = make_function(
        "import time\ndef handler(event, context):\n    time.sleep(0.2)\n    return event\n",
        Timeout=10,
    )
    answers: dict[int, bytes] = {}

    def one(number: int) -> None:
        answers[number] = call(number)["Payload"]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: str(number).encode() for number in range(25)}


def test_reserved_concurrency_throttles(make_function: Make, aws: LocalAws) -> None:
    call = make_function(ECHO)
    aws.client("lambda").put_function_concurrency(
        FunctionName=call.name, ReservedConcurrentExecutions=0
    )
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        aws.client("lambda").invoke(FunctionName=call.name)


def test_asynchronous_event_is_answered_at_once_and_runs(
    make_function: Make, aws: LocalAws
) -> None:
    call = make_function("def handler(event, context): print('ran', event)")
    assert call("x", InvocationType="Event")["StatusCode"] == 202
    assert call(InvocationType="DryRun")["StatusCode"] == 204
    deadline = time.monotonic() + 20
    while "ran x" not in (logged(aws, call.name) if has_log(aws, call.name) else []):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def has_log(aws: LocalAws, name: str) -> bool:
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")
    return bool(groups["logGroups"])


def test_function_in_a_vpc_lives_there(
    make_function: Make, aws: LocalAws, network: dict[str, Any]
) -> None:
    call = make_function(
        "import socket\n"
        "def handler(event, context):\n"
        "    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:\n"
        "        probe.connect(('10.213.0.1', 9))\n"
        "        return probe.getsockname()[0]\n",
        VpcConfig={"SubnetIds": network["subnets"], "SecurityGroupIds": [network["group"]]},
    )
    assert json.loads(call()["Payload"]).startswith("10.213.1.")
    described = aws.client("lambda").get_function_configuration(FunctionName=call.name)
    assert described["VpcConfig"]["VpcId"] == network["vpc"]
    assert (described["State"], described["LastUpdateStatus"]) == ("Active", "Successful")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"Runtime": "python3.9"}, "python3.13 only"),
        ({"Architectures": ["arm64"]}, "cannot run on it"),
        ({"Code": {"ZipFile": b"no zip"}}, "Could not unzip"),
        ({"Role": "arn:aws:iam::123456789012:role/nobody"}, "cannot be assumed"),
    ],
)
def test_create_function_with_invalid_settings_is_refused(
    make_function: Make, aws: LocalAws, wrong: dict[str, Any], reason: str
) -> None:
    functions = aws.client("lambda")
    before = functions.list_functions()["Functions"]
    with pytest.raises(ClientError, match=reason):
        make_function(ECHO, **wrong)
    assert functions.list_functions()["Functions"] == before


def test_deleted_function_leaves_nothing(make_function: Make, aws: LocalAws) -> None:
    call = make_function(ECHO)
    call()
    instances = aws.directory / "lambda/instances"
    assert list(instances.iterdir())
    aws.client("lambda").delete_function(FunctionName=call.name)
    aws.client("lambda").create_function(
        FunctionName=call.name,
        Runtime="python3.13",
        Handler="code.handler",
        Role="arn:aws:iam::123456789012:role/functions",
        Code={"ZipFile": archive(ECHO)},
    )
    assert list(instances.iterdir()) == []
