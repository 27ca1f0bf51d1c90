"""Statements of SQL that a connection parses and plans once, however often they are executed."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

PARAMETER = re.compile(r"%\((\w+)\)s")
# PostgreSQL's types of the parameters by name; their columns have them as well.
TYPES = {
    "end_time": "bigint",
    "experiment": "integer",
    "in_experiment": "integer",
    "key": "text",
    "keys": "text[]",
    "latest_keys": "text[]",
    "latest_nans": "boolean[]",
    "latest_steps": "bigint[]",
    "latest_timestamps": "bigint[]",
    "latest_values": "double precision[]",
    "metric_keys": "text[]",
    "metric_nans": "boolean[]",
    "metric_steps": "bigint[]",
    "metric_timestamps": "bigint[]",
    "metric_values": "double precision[]",
    "name": "text",
    "param_keys": "text[]",
    "param_values": "text[]",
    "plain": "text",
    "proof": "text",
    "run": "text",
    "start_time": "bigint",
    "status": "text",
    "tag_keys": "text[]",
    "tag_values": "text[]",
    "user": "text",
    "username": "text",
    "values": "text[]",
}


class Statement:
    """A statement with named parameters.

    Attributes
    ----------
    name
        The name under which a connection keeps it; equal statements have equal names.
    prepare
        The SQL that parses it.
    execute
        The SQL that executes it, with psycopg2's parameters.
    """

    def __init__(self, text: str) -> None:
        """Read a statement of SQL whose parameters have psycopg2's form, and names of `TYPES`."""
        names = list(dict.fromkeys(PARAMETER.findall(text)))
        numbers = {name: number for number, name in enumerate(names, start=1)}
        numbered = PARAMETER.sub(lambda found: f"${numbers[found[1]]}", text)
        types = f" ({', '.join(TYPES[name] for name in names)})" if names else ""
        values = f" ({', '.join(f'%({name})s' for name in names)})" if names else ""
        self.name = f"hot_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        self.prepare = f"PREPARE {self.name}{types} AS {numbered}"
        self.execute = f"EXECUTE {self.name}{values}"


def array(values: Iterable[Any]) -> str:
    """Return numbers, booleans or texts as PostgreSQL writes an array.

    One text is parsed faster than the list of expressions that psycopg2 writes.
    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    """
    return f"{{{','.join(_element(value) for value in values)}}}"


def _element(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
