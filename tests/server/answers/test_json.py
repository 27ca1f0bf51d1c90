"""Answers written here and by MLflow hold the same values, whatever their type."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from mlflow.protos import model_registry_pb2, service_pb2
from mlflow.utils.proto_json_utils import message_to_json
from mlflow_host.patches.messages import MessageWriter

if TYPE_CHECKING:
    from google.protobuf.message import Message

RESPONSES = [
    getattr(module, name).Response
    for module in (service_pb2, model_registry_pb2)
    for name, descriptor in module.DESCRIPTOR.message_types_by_name.items()
    if "Response" in descriptor.nested_types_by_name
]
SAMPLES: dict[int, list[Any]] = {
    FieldDescriptor.TYPE_BOOL: [True, False],
    FieldDescriptor.TYPE_BYTES: [b"\xff\x00", b""],
    FieldDescriptor.TYPE_DOUBLE: [1.5, -0.0, math.nan, math.inf, -math.inf, 1e300, 3.0],
    FieldDescriptor.TYPE_FLOAT: [0.1, 2.5],
    FieldDescriptor.TYPE_INT32: [-1, 0],
    FieldDescriptor.TYPE_INT64: [2**62, -(2**62), 0],
    FieldDescriptor.TYPE_STRING: ["ñ \u2028 </script>", "", '"\\'],
    FieldDescriptor.TYPE_UINT64: [2**63],
}
DEEP = 6


def fill(message: Message, depth: int = 0) -> None:
    """Set every field of a message, repeated ones to all samples of their type."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth < DEEP:
                held = getattr(message, field.name)
                fill(held.add() if field.is_repeated else held, depth + 1)
            continue
        values: list[Any] = (
            [value.number for value in field.enum_type.values]
            if field.type == FieldDescriptor.TYPE_ENUM
            else SAMPLES[field.type]
        )
        if field.is_repeated:
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, values[depth % len(values)])


def is_left_to_mlflow(response: Any) -> bool:
    """Say whether an answer holds a map or the like."""
    left: list[Message] = []

    def note(message: Message) -> str:
        left.append(message)
        return ""

    MessageWriter(note).write(response())
    return bool(left)


KNOWN = [response for response in RESPONSES if not is_left_to_mlflow(response)]


def test_most_answers_are_known() -> None:
    assert len(KNOWN) > 100


@pytest.mark.parametrize("response", KNOWN, ids=lambda kind: kind.DESCRIPTOR.full_name)
def test_answer_is_the_same_as_mlflow_s(response: Any) -> None:
    answers = MessageWriter(message_to_json)
    filled = response()
    fill(filled)

    for message in (response(), filled):
        assert same(json.loads(answers.write(message)), json.loads(message_to_json(message)))


def same(one: Any, other: Any) -> bool:
    """Compare, and see that numbers are of one type."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_searches_are_not_left_to_mlflow() -> None:
    def never(message: Message) -> str:
        raise AssertionError(message)

    answers = MessageWriter(never)
    for name in ("SearchRuns", "SearchExperiments", "GetRun", "GetMetricHistory"):
        message = getattr(service_pb2, name).Response()
        fill(message)
        answers.write(message)


def test_map_is_left_to_mlflow() -> None:
    message = service_pb2.CreatePresignedUploadUrl.Response(headers={"a": "b"})

    assert same(
        json.loads(MessageWriter(message_to_json).write(message)),
        json.loads(message_to_json(message)),
    )
