"""Parameters of DB parameter groups: which there are, what they may be, what they come to.

PostgreSQL itself is asked for its parameters (``postgres --describe-config``), so that a name that
RDS would refuse is refused here too. The few of RDS's own are added.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GIB = 1 << 30

# RDS keeps these to itself.
_NOT_MODIFIABLE = frozenset(
    {
        "archive_command",
        "archive_library",
        "archive_mode",
        "bonjour",
        "bonjour_name",
        "cluster_name",
        "config_file",
        "data_directory",
        "event_source",
        "external_pid_file",
        "fsync",
        "full_page_writes",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "log_destination",
        "log_directory",
        "log_file_mode",
        "logging_collector",
        "password_encryption",
        "port",
        "ssl",
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_key_file",
        "unix_socket_directories",
        "unix_socket_group",
        "unix_socket_permissions",
        "wal_level",
    }
)
_DATA_TYPES = {"BOOLEAN": "boolean", "INTEGER": "integer", "REAL": "float"}
# What RDS sets by itself, as it reports it.
_SYSTEM_VALUES = {
    "effective_cache_size": "{DBInstanceClassMemory/16384}",
    "max_connections": "LEAST({DBInstanceClassMemory/9531392},5000)",
    "shared_buffers": "{DBInstanceClassMemory/32768}",
    "shared_preload_libraries": "pg_stat_statements",
}
_MEMORY_GIB = {
    "micro": 1,
    "small": 2,
    "medium": 4,
    "large": 8,
    "xlarge": 16,
}


@dataclass(frozen=True)
class Parameter:
    """A parameter that a group may set.

    Attributes
    ----------
    data_type
        ``boolean``, ``integer``, ``float`` or ``string``.
    static
        Whether a new value waits for a reboot.
    value
        What RDS sets where the group says nothing; None leaves it to PostgreSQL.
    """

    name: str
    description: str
    data_type: str
    static: bool
    modifiable: bool = True
    allowed: str | None = None
    value: str | None = None

    def allows(self, value: str) -> bool:
        """Say whether `value`, with formulas worked out, may be set.

        Raises
        ------
        ValueError
            When it is not a number where one is required.
        """
        if self.allowed is None:
            return True
        if self.data_type in {"integer", "float"}:
            # Both bounds may be negative and in scientific notation.
            low, high = re.findall(r"(?:^|(?<=-))-?[\d.]+(?:e[+-]?\d+)?", self.allowed)
            return float(low) <= float(value) <= float(high)
        return value in self.allowed.split(",")

    def describe(self, setting: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return it as DescribeDBParameters does; `setting` is the group's own, if any."""
        described: dict[str, Any] = {
            "ParameterName": self.name,
            "Description": self.description,
            "Source": "engine-default" if self.value is None else "system",
            "ApplyType": "static" if self.static else "dynamic",
            "DataType": self.data_type,
            "IsModifiable": self.modifiable,
            "ApplyMethod": "pending-reboot",
        }
        if self.allowed is not None:
            described["AllowedValues"] = self.allowed
        if self.value is not None:
            described["ParameterValue"] = self.value
        if setting is not None:
            described |= {
                "ParameterValue": setting["ParameterValue"],
                "ApplyMethod": setting.get("ApplyMethod", "pending-reboot"),
                "Source": "user",
            }
        return described


_OF_RDS = (
    Parameter(
        "rds.force_ssl",
        "Force SSL connections.",
        "boolean",
        static=False,
        allowed="0,1",
        value="1",
    ),
    Parameter(
        "rds.logical_replication",
        "Enables logical decoding.",
        "boolean",
        static=True,
        allowed="0,1",
        value="0",
    ),
    Parameter(
        "rds.log_retention_period",
        "Amazon RDS will delete PostgreSQL log that are older than N minutes.",
        "integer",
        static=False,
        allowed="1440-10080",
        value="4320",
    ),
    Parameter(
        "pg_stat_statements.max",
        "Sets the maximum number of statements tracked by pg_stat_statements.",
        "integer",
        static=True,
        allowed="100-2147483647",
    ),
    Parameter(
        "pg_stat_statements.track",
        "Selects which statements are tracked by pg_stat_statements.",
        "string",
        static=False,
        allowed="none,top,all",
    ),
)


def catalogue(described: str) -> dict[str, Parameter]:
    """Return the parameters by name, from the output of ``postgres --describe-config``."""
    found = {parameter.name: parameter for parameter in _OF_RDS}
    for line in described.splitlines():
        name, context, _, kind, _, low, high, short, *_ = line.split("\t")
        if context == "internal":
            continue
        allowed = f"{low}-{high}" if low and high else None
        found[name] = Parameter(
            name=name,
            description=short,
            data_type=_DATA_TYPES.get(kind, "string"),
            static=context == "postmaster",
            modifiable=name not in _NOT_MODIFIABLE,
            allowed="0,1" if kind == "BOOLEAN" else allowed,
            value=_SYSTEM_VALUES.get(name),
        )
    return found


def effective(
    known: Mapping[str, Parameter],
    settings: Mapping[str, Mapping[str, Any]],
    instance_class: str,
) -> dict[str, str]:
    """Return the values in force with the group's `settings`, by name.

    Raises
    ------
    ValueError
        When a value is a formula that RDS does not know.
    """
    memory = class_memory(instance_class)
    values = {name: known[name].value for name in known}
    values |= {name: setting["ParameterValue"] for name, setting in settings.items()}
    return {
        name: evaluate(value, memory) for name, value in sorted(values.items()) if value is not None
    }


def class_memory(instance_class: str) -> int:
    """Return the memory of an instance class in bytes, by the rule of its name."""
    _, _, rest = instance_class.partition(".")
    family, _, size = rest.partition(".")
    many = re.fullmatch(r"(\d+)xlarge", size)
    gib = _MEMORY_GIB["xlarge"] * int(many[1]) if many else _MEMORY_GIB.get(size, 8)
    return gib * GIB * (2 if family.startswith(("r", "x")) else 1)


def evaluate(value: str, memory: int) -> str:
    """Return `value` with RDS's formulas worked out.

    A formula is ``{DBInstanceClassMemory*a/b}``, or LEAST, GREATEST or SUM of such formulas and
    numbers.

    Raises
    ------
    ValueError
        When it is another formula.
    """
    text = re.sub(r"\{([^{}]*)\}", lambda found: str(_product(found[1], memory)), value)
    function = re.fullmatch(r"(LEAST|GREATEST|SUM)\(([^()]*)\)", text.strip(), re.IGNORECASE)
    if function is None:
        return text
    numbers = [int(word) for word in function[2].split(",")]
    match function[1].upper():
        case "LEAST":
            return str(min(numbers))
        case "GREATEST":
            return str(max(numbers))
        case _:
            return str(sum(numbers))


def render(values: Mapping[str, str]) -> str:
    """Return a postgresql.conf of `values`, RDS's own put into PostgreSQL's terms."""
    lines: list[str] = []
    for name, value in values.items():
        if name == "rds.logical_replication":
            lines.append(f"wal_level = {'logical' if truth(value) else 'replica'}")
        elif not name.startswith("rds."):
            quoted = value.replace("\\", "\\\\").replace("'", "''")
            lines.append(f"{name} = '{quoted}'")
    return "\n".join([*lines, ""])


def truth(value: str) -> bool:
    """Return the value of a boolean parameter."""
    return value.strip().lower() in {"1", "on", "true", "yes"}


def _product(formula: str, memory: int) -> int:
    words: Iterable[str] = re.split(r"([*/])", formula.replace(" ", ""))
    first, *rest = words
    total = _number(first, memory)
    for operator, word in zip(rest[::2], rest[1::2], strict=True):
        number = _number(word, memory)
        total = total * number if operator == "*" else total // number
    return total


def _number(word: str, memory: int) -> int:
    if word == "DBInstanceClassMemory":
        return memory
    if not word.isdecimal():
        raise ValueError(f"{word!r} is not part of a valid formula of RDS")
    return int(word)
