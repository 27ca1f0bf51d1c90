"""Write the dashboards as JSON: ``python -m dashboards [DIRECTORY]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import deployment, experiments, service

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard

HERE = Path(__file__).resolve().parent
BUILDERS = {
    "experiments": experiments.build,
    "service": service.build,
    "deployment": deployment.build,
}


def texts() -> dict[str, str]:
    """Return the JSON of each dashboard by the name of its file."""
    return {f"{name}.json": _text(build()) for name, build in BUILDERS.items()}


def _text(built: dashboard.Dashboard) -> str:
    page = json.loads(JSONEncoder().encode(built.build()))
    for variable in page["templating"]["list"]:
        # The SDK gives these of intervals to all variables, and Grafana's schema does not.
        for key in ("auto", "auto_count", "auto_min"):
            variable.pop(key, None)
    return json.dumps(page, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write them."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "generated"
    for name, content in texts().items():
        (directory / name).write_text(content)


if __name__ == "__main__":
    main()
