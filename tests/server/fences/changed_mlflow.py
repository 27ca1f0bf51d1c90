"""Copies of an installed MLflow in which something is changed."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from tests.tracking_server import VERSION, environment

if TYPE_CHECKING:
    from pathlib import Path

MODELS = "mlflow/store/tracking/dbmodels/models.py"
SERIALIZED = re.compile(r"AddSerializedFile\((b'.*')\)$", re.MULTILINE)


def packages(version: str = VERSION) -> Path:
    """Return the folder of the packages of a release's environment."""
    [found] = environment(version=version).parents[1].glob("lib/python3.*/site-packages")
    return found


def copy_files(names: set[str], target: Path) -> Path:
    """Copy some files of MLflow's; return the folder that holds the package."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(packages() / name, target / name)
    return target


def link_package(target: Path) -> Path:
    """Make a package `mlflow` of links; a file of it can be changed without the original's change.

    A process that has the folder in PYTHONPATH imports this package.
    """
    target.mkdir()
    command = ["cp", "--recursive", "--symbolic-link", str(packages() / "mlflow"), str(target)]
    subprocess.run(command, check=True)
    return target


def change(file: Path, old: str, new: str) -> None:
    """Replace all of one text in a file that may be a link."""
    text = file.read_text()
    assert old in text
    file.unlink()
    file.write_text(text.replace(old, new))


def add_column(root: Path, table: str, column: str = "comment", file: str = MODELS) -> None:
    """Add a column to a class of MLflow's tables; the database has to get it as well."""
    line = f"class {table}(Base):\n"
    change(root / file, line, f"{line}    {column} = Column(String(50), nullable=True)\n")


def add_field(root: Path, message: str, field: str = "comment") -> None:
    """Add a text to a message of MLflow's."""
    file = root / "mlflow/protos/service_pb2.py"
    # The same literal twice, for two releases of protobuf.
    for literal in set(SERIALIZED.findall(file.read_text())):
        described = FileDescriptorProto.FromString(eval(literal))  # noqa: S307  a literal of MLflow's
        messages = described.message_type
        for part in message.split("."):
            [found] = [one for one in messages if one.name == part]
            messages = found.nested_type
        found.field.add(
            name=field,
            number=1000,
            type=FieldDescriptorProto.TYPE_STRING,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )
        change(file, literal, repr(described.SerializeToString()))


def add_middleware(root: Path) -> None:
    """Add a middleware to MLflow's application, which marks each answer."""
    change(
        root / "mlflow/server/fastapi_app.py",
        "    add_fastapi_workspace_middleware(fastapi_app)\n",
        "    add_fastapi_workspace_middleware(fastapi_app)\n"
        '    @fastapi_app.middleware("http")\n'
        "    async def mark(request, call_next):\n"
        "        response = await call_next(request)\n"
        '        response.headers["X-Marked"] = "yes"\n'
        "        return response\n",
    )
