"""Patches fit the releases that they were tested with, and nothing that differs from them."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from mlflow_host import fences
from mlflow_host.fences import FENCES
from mlflow_host.fences.fence import SERVER, read_release
from mlflow_host.fences.fence import tested_releases as recorded

from tests.tracking_server import EACH_VERSION, VERSION, VERSIONS

from .changed_mlflow import add_column, add_field, add_middleware, copy_files, packages

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow_host.fences.fence import Fence, Release

FITTING: dict[str, list[str]] = {fence.patch: [] for fence in FENCES}
OPTIONAL = {fence.patch for fence in FENCES if not fence.required}


def release(version: str = VERSION) -> Release:
    found = read_release(version)
    assert found
    return found


def breaches(root: Path, version: str = VERSION) -> dict[str, list[str]]:
    return {fence.patch: fence.breaches(release(version), root) for fence in FENCES}


def functions() -> list[tuple[Fence, str]]:
    return [
        (fence, name)
        for fence in FENCES
        for name in fence.functions
        if release().functions[name] is not None
    ]


def test_releases_each_lock_has_a_record() -> None:
    assert recorded() == VERSIONS


@pytest.mark.parametrize("version", EACH_VERSION)
def test_fences_release_that_was_tested_fits(version: str) -> None:
    assert breaches(packages(version), version) == FITTING


@pytest.mark.parametrize("version", EACH_VERSION)
def test_sources_each_function_is_read_as_by_python(version: str) -> None:
    """The reader parses single definitions; here the whole module is parsed."""
    modules: dict[str, ast.Module] = {}
    for name, parameters in release(version).functions.items():
        file, _, path = name.partition(":")
        source = packages(version) / file
        if file not in modules:
            modules[file] = ast.parse(source.read_text() if source.exists() else "")
        node: Any = modules[file]
        for part in path.split("."):
            node = next((one for one in node.body if getattr(one, "name", "") == part), None)
            if node is None:
                break
        found = node and [one.arg for one in [*node.args.args, *node.args.kwonlyargs]]
        assert (name, parameters) == (name, found)


def test_fences_other_release_fits_no_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "version", lambda _: "3.99.0")

    found = fences.breaches()

    assert found.keys() == FITTING.keys()
    expected = (
        f"MLflow 3.99.0 is not one of the releases it was tested with ({', '.join(VERSIONS)})"
    )
    assert set(map(tuple, found.values())) == {(expected,)}


@pytest.mark.parametrize(
    ("fence", "name"), functions(), ids=lambda value: getattr(value, "patch", value)
)
def test_fence_renamed_function_does_not_fit(fence: Fence, name: str, tmp_path: Path) -> None:
    file, _, path = name.partition(":")
    root = copy_files({file}, tmp_path)
    copied = root / file
    copied.write_text(copied.read_text().replace(f"def {path.rpartition('.')[2]}(", "def renamed("))

    alone = replace(fence, functions=(name,), tables={}, messages={}, middlewares=False)
    assert alone.breaches(release(), root) == [f"{name} does not exist"]


@pytest.mark.parametrize("fence", [one for one in FENCES if one.tables], ids=lambda one: one.patch)
def test_fence_added_column_does_not_fit(fence: Fence, tmp_path: Path) -> None:
    for name in fence.tables:
        file, _, table = name.partition(":")
        root = copy_files({file}, tmp_path)
        add_column(root, table, file=file)
        alone = replace(fence, functions=(), tables={name: fence.tables[name]}, messages={})
        [breach] = alone.breaches(release(), root)
        assert breach.startswith(f"{name} has the columns ['comment'")


@pytest.mark.parametrize(
    "fence", [one for one in FENCES if one.messages], ids=lambda one: one.patch
)
def test_fence_added_field_does_not_fit(fence: Fence, tmp_path: Path) -> None:
    for name in fence.messages:
        root = copy_files({name.partition(":")[0]}, tmp_path)
        add_field(root, name.partition(":")[2])
        alone = replace(fence, functions=(), tables={}, messages={name: fence.messages[name]})
        [breach] = alone.breaches(release(), root)
        assert breach.startswith(f"{name} has the fields")
        assert "comment" in breach


def test_fence_added_middleware_does_not_fit(tmp_path: Path) -> None:
    [fence] = [one for one in FENCES if one.middlewares]
    names = {name.rpartition(":")[0].rpartition(":")[0] for name in release().middlewares}
    root = copy_files(names, tmp_path)
    assert fence.breaches(release(), root) == []
    add_middleware(root)

    [breach] = fence.breaches(release(), root)

    assert breach.startswith(f"{SERVER} has the middlewares")


@pytest.mark.parametrize(
    ("mode", "mlflow", "fits"),
    [
        ("on", "3.17.2", True),
        ("on", "3.14.0", False),
        ("only", "3.9.1", False),
        ("off", "3.14.0", True),
        ("on", "3.100.0", True),
    ],
)
def test_presigned_old_release_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, mode: str, mlflow: str, *, fits: bool
) -> None:
    """Older releases sign addresses for everybody who can log in."""
    monkeypatch.setenv("MLFLOW_HOST_PRESIGNED", mode)
    [fence] = [one for one in FENCES if one.patch == "presigned"]

    assert (fence.is_on() and fence.is_older(mlflow)) is not fits


def test_choose_off_leaves_presigned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HOST_PRESIGNED", raising=False)

    assert [one.patch for one in FENCES if not one.is_on()] == ["presigned"]
