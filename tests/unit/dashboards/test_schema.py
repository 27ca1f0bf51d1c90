"""The dashboards have the types that Grafana 10 to 13 publish in @grafana/schema."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

VERSIONS = ["10.4.19", "11.6.9", "12.4.11", "13.2.3"]
TOOLS = {"ajv": "8.20.0", "ts-json-schema-generator": "2.4.0"}
FILES = sorted((ROOT / "dashboards/generated").iterdir())


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the JSON Schema of a version; npm installs what it needs, and runs no script of it."""
    assert shutil.which("npm"), "install npm"
    folder = tmp_path_factory.mktemp("schema")

    def install(directory: Path, packages: dict[str, str]) -> None:
        directory.mkdir(exist_ok=True)
        (directory / "package.json").write_text(
            json.dumps({"private": True, "dependencies": packages})
        )
        subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
            cwd=directory,
            check=True,
        )

    install(folder, TOOLS)
    shutil.copy(ROOT / "tests/unit/dashboards/schema/check.js", folder)

    def make(version: str) -> Path:
        own = folder / version
        install(own, {"@grafana/schema": version})
        (own / "root.ts").write_text(
            "import type { Dashboard } from '@grafana/schema';\nexport type Root = Dashboard;\n"
        )
        options = {"moduleResolution": "node", "strict": True, "target": "es2020", "types": []}
        (own / "tsconfig.json").write_text(
            json.dumps({"compilerOptions": options, "files": ["root.ts"]})
        )
        generator = folder / "node_modules/ts-json-schema-generator/bin"
        command: list[str | Path] = [
            *("node", generator / "ts-json-schema-generator.js", "--path=root.ts"),
            *("--tsconfig=tsconfig.json", "--type=Root", "--no-type-check", "--expose=none"),
        ]
        made = subprocess.run(command, cwd=own, check=True, capture_output=True).stdout
        (own / "schema.json").write_bytes(made)
        return own / "schema.json"

    return make


@pytest.mark.parametrize("version", VERSIONS)
def test_dashboards_have_the_types_of_grafana(
    schema: Callable[[str], Path], tmp_path: Path, version: str
) -> None:
    file = schema(version)
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(json.loads(FILES[0].read_text()) | {"graphTooltip": "crosshair"}))

    def check(*files: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["node", file.parent.parent / "check.js", file, *files],
            capture_output=True,
            text=True,
            check=False,
        )

    checked = check(*FILES)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "graphTooltip" in check(wrong).stdout
