"""What a patch replaces or relies on, compared with an installed release."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mlflow_host.fences import sources

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Fence:
    """What a patch was made for.

    Attributes
    ----------
    patch
        Name of the patch.
    required
        Whether the server does not start without it, because it closes a hole or keeps data.
        Other patches are left out where they do not fit.
    functions
        Functions that it replaces or calls, as `file:function` or `file:Class.method`. Their
        parameters are recorded for each release (`releases/`).
    tables
        Columns of the tables that its SQL reads, by `file:Class`.
    messages
        Fields of the messages that it writes, by `file:Message`.
    middlewares
        Whether it leaves out middlewares. Those that it knows are recorded for each release.
    package
        The package that it changes.
    switch
        Variable of the environment that switches it on; "" if it is always on.
    oldest
        The first release with which it is safe; "" for any.
    """

    patch: str
    required: bool
    functions: tuple[str, ...] = ()
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    messages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    middlewares: bool = False
    package: str = "mlflow"
    switch: str = ""
    oldest: str = ""

    def is_on(self) -> bool:
        """Say whether the environment switches the patch on."""
        return not self.switch or os.environ.get(self.switch, "off") != "off"

    def is_older(self, mlflow: str) -> bool:
        """Say whether a release of MLflow is older than the first one that is safe."""
        numbers = [[int(one) for one in re.findall(r"\d+", name)] for name in (mlflow, self.oldest)]
        return bool(self.oldest) and numbers[0] < numbers[1]

    def breaches(self, release: Release, root: Path) -> list[str]:
        """Return what differs in the sources below `root`; nothing if the patch fits."""
        found = [
            _difference(name, "parameters", release.functions.get(name), parameters)
            for name in self.functions
            for parameters in [sources.function_parameters(root, name)]
        ]
        for kind, read, known in (
            ("columns", sources.table_columns, self.tables),
            ("fields", sources.message_fields, self.messages),
        ):
            found += [
                _difference(name, kind, list(items), read(root, name))
                for name, items in known.items()
            ]
        if self.middlewares:
            added = sources.middlewares(root, SERVER)
            found.append(_difference(SERVER, "middlewares", release.middlewares, added))
        return [difference for difference in found if difference]


# Where MLflow adds middlewares to its server.
SERVER = "mlflow/server"


@dataclass(frozen=True)
class Release:
    """A release of MLflow with which all patches were tested, as `releases/<version>.json` says.

    Attributes
    ----------
    packages
        Versions of the packages that patches change.
    functions
        Parameters of the functions that patches replace or call; None for one that it lacks.
    middlewares
        Where it adds middlewares to its server.
    """

    packages: dict[str, str]
    functions: dict[str, list[str] | None]
    middlewares: list[str]


def read_release(mlflow: str) -> Release | None:
    """Return the record of a release, None if the patches were not tested with it."""
    record = files(__package__) / "releases" / f"{mlflow}.json"
    return Release(**json.loads(record.read_text())) if record.is_file() else None


def tested_releases() -> list[str]:
    """Return the releases that have a record."""
    names = (record.name for record in (files(__package__) / "releases").iterdir())
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def record_release(fences: tuple[Fence, ...]) -> dict[str, Any]:
    """Return the record of the installed release, after the patches were tested with it."""
    roots = {package: sources.root_of(package) for package in {one.package for one in fences}}
    return {
        "packages": {package: version(package) for package in sorted(roots)},
        "functions": {
            name: sources.function_parameters(roots[fence.package], name)
            for fence in fences
            for name in sorted(fence.functions)
        },
        "middlewares": sources.middlewares(roots["mlflow"], SERVER),
    }


def _difference(name: str, kind: str, known: Any, found: Any) -> str:
    """Return in words how an installed release differs, "" if it does not."""
    if known == found:
        return ""
    if found is None:
        return f"{name} does not exist"
    return f"{name} has the {kind} {found}, not {known}"
