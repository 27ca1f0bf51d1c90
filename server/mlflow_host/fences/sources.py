"""Read what patches rely on from the sources of an installed package, without importing it.

The import of MLflow takes seconds, and a release that lacks something might fail to import. Its
largest modules have more than 10,000 lines, so only the definitions in question are parsed.
"""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SERIALIZED = re.compile(r"(?m)AddSerializedFile\((b'.*')\)$")


def root_of(package: str) -> Path:
    """Return the folder that holds an installed package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parents[1]


def function_parameters(root: Path, name: str) -> list[str] | None:
    """Return the parameters of `file:function` or `file:Class.method`, None if it is missing."""
    node = _definition(root, name)
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    arguments = node.args
    return [
        argument.arg
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    ]


def table_columns(root: Path, name: str) -> list[str] | None:
    """Return the columns of `file:Class`, a table of SQLAlchemy's, None if it does not exist."""
    node = _definition(root, name)
    if not isinstance(node, ast.ClassDef):
        return None
    columns = []
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value:
            target, value = statement.target, statement.value
        else:
            continue
        called = value.func if isinstance(value, ast.Call) else value
        if ast.unparse(called).rpartition(".")[2] in {"Column", "mapped_column"}:
            columns.append(ast.unparse(target))
    return columns


def message_fields(root: Path, name: str) -> list[str] | None:
    """Return the fields of `file:Message`, as protoc generated it, None if it does not exist."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    file, _, path = name.partition(":")
    literal = SERIALIZED.search(_text(root / file))
    if literal is None:
        return None
    messages = FileDescriptorProto.FromString(ast.literal_eval(literal[1])).message_type
    for part in path.split("."):
        found = [one for one in messages if one.name == part]
        if not found:
            return None
        messages = found[0].nested_type
    return [field.name for field in found[0].field]


def middlewares(root: Path, package: str) -> list[str]:
    """Return where the modules of a folder add middlewares: `file:function:middleware`, sorted."""
    found = []
    for path in sorted((root / package).rglob("*.py")):
        text = _text(path)
        if "middleware" not in text:
            continue
        name = path.relative_to(root).as_posix()
        for outer, block in _blocks(text).items():
            if "middleware" in block:
                found += [f"{name}:{outer}:{added}" for added in _added_middlewares(block)]
    return sorted(found)


def _added_middlewares(block: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if _is_call_of(decorator, "middleware"):
                    yield node.name
        elif isinstance(node, ast.Call):
            if _is_call_of(node, "add_middleware"):
                yield ast.unparse(node.args[0]) if node.args else ""
            for keyword in node.keywords:
                if keyword.arg == "middleware":
                    yield ast.unparse(keyword.value)


def _is_call_of(node: ast.expr, method: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == method
    )


def _definition(root: Path, name: str) -> ast.stmt | None:
    """Return the definition `file:function`, `file:Class` or `file:Class.method`, None without."""
    file, _, path = name.partition(":")
    block = _text(root / file)
    for part in path.split("."):
        blocks = _blocks(block)
        if part not in blocks:
            return None
        definition = blocks[part]
        block = textwrap.dedent(BODY.split(definition, 1)[-1])
    return next(
        (one for one in ast.parse(definition).body if getattr(one, "name", "") == part), None
    )


@lru_cache(maxsize=32)
def _blocks(text: str) -> dict[str, str]:
    """Return the definitions at the left margin by their names, and the rest under ""."""
    starts = [*(match.start() for match in DEFINITION.finditer(text)), len(text)]
    blocks = {"": text[: starts[0]]}
    for start, end in itertools.pairwise(starts):
        if found := NAME.search(text, start, end):
            blocks[found[1]] = text[start:end]
    return blocks


# A definition begins with its first decorator.
DEFINITION = re.compile(r"^(?:@.*\n(?:[ )@#].*\n|\n)*)?(?:async def|def|class) \w+", re.MULTILINE)
NAME = re.compile(r"^(?:async def|def|class) (\w+)", re.MULTILINE)
# What follows the first line of a class.
BODY = re.compile(r":[ ]*(?:#.*)?\n")


def _text(path: Path) -> str:
    """Return the text of a file, "" if it does not exist."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
