"""YAML whose duplicate keys are refused, and whose numbers are those that JSON has."""

from __future__ import annotations

import re
from typing import Any

import yaml

from football.errors import BadInputError, one_line, shown

_FLOAT = "tag:yaml.org,2002:float"
# YAML 1.1 reads 1e-3 as a text, 1_000 as 1000, 010 as 8 and 12:30 as 750.
_SURPRISING = re.compile(
    r"[-+]?(0[0-9_]+|0x.*|0b.*|[0-9][0-9_]*_[0-9_.]*|[0-9]+(:[0-9]+)+(\.[0-9]*)?)"
)


class _Loader(yaml.SafeLoader):
    """Reads what people mean, or refuses."""


def load(text: str, name: str) -> Any:
    """Parse YAML.

    Parameters
    ----------
    text
        The content of the file.
    name
        The file, for messages.

    Raises
    ------
    BadInputError
        If it is not valid YAML, holds a key twice in a mapping or a number in a form that is read
        as another one; names the file, the line and the cure.
    """
    try:
        # The loader is a safe one.
        return yaml.load(text, _Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = one_line(str(error.problem or error.context))
        raise BadInputError(f"{name}{where}: not valid YAML: {problem}. Correct it") from None
    except yaml.YAMLError as error:
        raise BadInputError(f"{name}: not valid YAML: {one_line(str(error))}. Correct it") from None
    except RecursionError:
        raise BadInputError(f"{name}: nested too deeply. Flatten it") from None


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    names: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in names:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {shown(key.value)}", key.start_mark
                )
            names.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


def _construct_number(_loader: _Loader, node: yaml.ScalarNode) -> int | float:
    if _SURPRISING.fullmatch(node.value):
        raise yaml.constructor.ConstructorError(
            None, None, f"{shown(node.value)} is not a plain decimal number", node.start_mark
        )
    try:
        return int(node.value)
    except ValueError:
        pass
    number = float(node.value.replace(".inf", "inf").replace(".nan", "nan"))
    if number - number != 0:
        raise yaml.constructor.ConstructorError(
            None, None, f"{shown(node.value)} is not a finite number", node.start_mark
        )
    return number


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_number)
_Loader.add_constructor(_FLOAT, _construct_number)
_Loader.add_implicit_resolver(
    _FLOAT, re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+\Z"), list("-+0123456789")
)
