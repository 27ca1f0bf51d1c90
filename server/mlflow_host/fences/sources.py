"""Read what patches rely on from the sources of an installed package, without importing it.

The import of MLflow takes seconds, and a release that lacks something might fail to import.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Scope = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def root_of(package: str) -> Path:
    """Return the folder that holds an installed package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parents[1]


def function_parameters(root: Path, name: str) -> list[str] | None:
    """Return the parameters of `file:function` or `file:Class.method`, None if it is missing."""
    file, _, path = name.partition(":")
    node = _find(_statements(root / file), path.split("."))
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    arguments = node.args
    return [
        argument.arg
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    ]


def table_columns(root: Path, name: str) -> list[str] | None:
    """Return the columns of `file:Class`, a table of SQLAlchemy's, None if it does not exist."""
    file, _, path = name.partition(":")
    node = _find(_statements(root / file), [path])
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
    for node in ast.walk(ast.Module(_statements(root / file), [])):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("AddSerializedFile")
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, bytes)
        ):
            described = FileDescriptorProto.FromString(node.args[0].value)
            break
    else:
        return None
    messages = described.message_type
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
        if "middleware" not in path.read_text():
            continue
        name = path.relative_to(root).as_posix()
        for statement in _statements(path):
            outer = getattr(statement, "name", "")
            found += [f"{name}:{outer}:{added}" for added in _added_middlewares(statement)]
    return sorted(found)


def _added_middlewares(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
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


def _find(statements: Sequence[ast.stmt], path: list[str]) -> ast.stmt | None:
    """Return the definition with this path, None if it does not exist."""
    for statement in statements:
        if isinstance(statement, Scope) and statement.name == path[0]:
            return _find(statement.body, path[1:]) if path[1:] else statement
    return None


def _statements(path: Path) -> list[ast.stmt]:
    """Return the statements of a file, none if it does not exist."""
    try:
        return _parse(path.read_text())
    except FileNotFoundError:
        return []


@lru_cache(maxsize=8)
def _parse(text: str) -> list[ast.stmt]:
    return ast.parse(text).body
