"""Write MLflow's answers as JSON: the same values as MLflow writes, in a third of its time.

MLflow walks each answer three times, by reflection, and indents what only programs read. Here every
type of message is looked at once, for how its fields are to be written. Types that hold what is
written by rules of its own (maps, google.protobuf's own types) are left to MLflow.
"""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from mlflow.server import handlers
from mlflow.utils.proto_json_utils import message_to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    from mlflow_host.patches import Server

    Writer = Callable[[Any], Any]

_AS_THEY_ARE = frozenset(
    {
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_SFIXED32,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_SINT32,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
    }
)

_encode = json.JSONEncoder(separators=(",", ":")).encode


class UnknownRulesError(Exception):
    """A type of message is written by rules that are not known here."""


class MessageWriter:
    """Writes messages; learns each type of them when it first meets it."""

    def __init__(self, otherwise: Callable[..., str]) -> None:
        """Leave to `otherwise`, MLflow's own function, what is not known here."""
        self._otherwise = otherwise
        # None for types that are MLflow's to write.
        self._writers: dict[str, Writer | None] = {}
        self._fields: dict[str, dict[int, tuple[str, Writer]]] = {}

    def write(self, message: Message, **options: Any) -> str:
        """Return a message as JSON, as `mlflow.utils.proto_json_utils.message_to_json` does."""
        name = message.DESCRIPTOR.full_name
        if name not in self._writers:
            try:
                self._writers[name] = self._message(message.DESCRIPTOR)
            except UnknownRulesError:
                self._writers[name] = None
        writer = self._writers[name]
        if writer is None or options:
            return self._otherwise(message, **options)
        return _encode(writer(message))

    def _message(self, descriptor: Descriptor) -> Writer:
        """Return how messages of a type are written."""
        name = descriptor.full_name
        if name not in self._fields:
            if name.startswith("google.protobuf.") or descriptor.GetOptions().map_entry:
                raise UnknownRulesError(name)
            # Before the fields: a message may hold others of its type.
            fields = self._fields[name] = {}
            try:
                for field in descriptor.fields:
                    fields[field.number] = (field.name, self._field(field))
            except UnknownRulesError:
                del self._fields[name]
                raise
        fields = self._fields[name]

        def write(message: Message) -> dict[str, Any]:
            written = {}
            for field, value in message.ListFields():
                key, write_value = fields[field.number]
                written[key] = write_value(value)
            return written

        return write

    def _field(self, field: FieldDescriptor) -> Writer:
        """Return how values of a field are written."""
        one = self._value(field)
        if not field.is_repeated:
            return one
        return list if one is _as_it_is else lambda values: [one(value) for value in values]

    def _value(self, field: FieldDescriptor) -> Writer:
        """Return how one value of a field is written."""
        if field.type in _AS_THEY_ARE:
            return _as_it_is
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return _double
        if field.type == FieldDescriptor.TYPE_BYTES:
            return lambda value: base64.b64encode(value).decode()
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            return self._message(field.message_type)
        if field.type == FieldDescriptor.TYPE_ENUM and not any(
            value.has_options for value in field.enum_type.values
        ):
            names = {value.number: value.name for value in field.enum_type.values}
            return lambda value: names.get(value, value)
        raise UnknownRulesError(field.full_name)


def _as_it_is(value: Any) -> Any:
    return value


def _double(value: float) -> float | str:
    """JSON has no number for these."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def apply(server: Server) -> None:
    """Make MLflow's handlers and its login write their answers by this."""
    writer = MessageWriter(message_to_json)
    for module in (handlers, server.auth):
        vars(module)["message_to_json"] = writer.write
