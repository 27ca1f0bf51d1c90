"""Compares calls by the shape of their answers, their errors, and their order."""

from __future__ import annotations

from difflib import SequenceMatcher
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import OperationModel, ServiceModel, Shape

    from aws_transcript.transcript import Call

TYPES = {
    dict: "object",
    list: "list",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


def operation_model(service: str, operation: str) -> OperationModel | None:
    """Return botocore's model of an operation, None if this botocore does not know it."""
    try:
        return _service_model(service).operation_model(operation)
    except (UnknownServiceError, OperationNotFoundError):
        return None


@cache
def _service_model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def members(value: Any, shape: Shape | None, path: str = "answer") -> Iterator[tuple[str, str]]:
    """Give path and type of each member of an answer; items of a list are taken together.

    Keys of maps and the content of documents, such as policies, are values and not shape.
    """
    yield path, TYPES[type(value)]
    if isinstance(value, dict) and (shape is None or shape.type_name in ("structure", "map")):
        for key, part in value.items():
            if shape is not None and shape.type_name == "map":
                yield from members(part, shape.value, f"{path}{{}}")
            else:
                model = None if shape is None else shape.members.get(key)
                yield from members(part, model, f"{path}.{key}")
    elif isinstance(value, list):
        model = shape.member if shape is not None and shape.type_name == "list" else None
        for part in value:
            yield from members(part, model, f"{path}[]")


def differences(recorded: Call, found: Call) -> list[str]:
    """Return how an answer differs from the recorded one, a line each."""
    if recorded.error != found.error or recorded.status != found.status:
        return [f"outcome: recorded {_outcome(recorded)}, found {_outcome(found)}"]
    if recorded.error is not None:
        return []
    model = operation_model(recorded.service, recorded.operation)
    shape = model.output_shape if model else None
    before = _types(members(recorded.answer, shape))
    after = _types(members(found.answer, shape))
    lines: list[str] = []
    for path in sorted(before.keys() | after.keys()):
        parent = path[:-2] if path.endswith(("[]", "{}")) else path.rpartition(".")[0]
        # What is below a missing member is missing as well.
        if parent and (parent in before) != (parent in after):
            continue
        one, other = before.get(path, "missing"), after.get(path, "missing")
        if one != other:
            lines.append(f"{path}: recorded {one}, found {other}")
    return lines


def order_differences(recorded: list[Call], found: list[Call]) -> list[str]:
    """Return how the order of calls differs, a line each."""
    lines = []
    for tag, start, end, other_start, other_end in _matcher(recorded, found).get_opcodes():
        if tag != "equal":
            lines += [
                f"line {call.line}: {call.name} is only in the recorded run"
                for call in recorded[start:end]
            ]
            lines += [
                f"line {call.line}: {call.name} is only in the other run"
                for call in found[other_start:other_end]
            ]
    return lines


def pairs(recorded: list[Call], found: list[Call]) -> Iterator[tuple[Call, Call]]:
    """Give the calls that correspond to each other in two runs."""
    for block in _matcher(recorded, found).get_matching_blocks():
        yield from zip(
            recorded[block.a : block.a + block.size],
            found[block.b : block.b + block.size],
            strict=True,
        )


def without_repetitions(calls: list[Call]) -> list[Call]:
    """Return the calls; of those that are repeated at once, as when waiting, only the last."""
    kept: list[Call] = []
    for call in calls:
        if kept and (kept[-1].name, kept[-1].parameters) == (call.name, call.parameters):
            kept.pop()
        kept.append(call)
    return kept


def _matcher(recorded: list[Call], found: list[Call]) -> SequenceMatcher[str]:
    one, other = ([call.name for call in calls] for calls in (recorded, found))
    return SequenceMatcher(None, one, other, autojunk=False)


def _types(found: Iterator[tuple[str, str]]) -> dict[str, str]:
    types: dict[str, set[str]] = {}
    for path, kind in found:
        types.setdefault(path, set()).add(kind)
    return {path: " or ".join(sorted(kinds)) for path, kinds in types.items()}


def _outcome(call: Call) -> str:
    if call.error is None:
        return f"an answer ({call.status})"
    return f"{call.error} ({call.status or 'no answer'})"
