"""Record what the patches of the server rely on in the installed MLflow, after they were tested.

`make lock MLFLOW=<version>` runs this with the interpreter of that version's environment.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "server"))

from mlflow_host.fences import FENCES  # noqa: E402  the path comes first
from mlflow_host.fences.fence import record_release  # noqa: E402


def main() -> None:
    """Write `server/mlflow_host/fences/releases/<version>.json`."""
    release = ROOT / f"server/mlflow_host/fences/releases/{version('mlflow')}.json"
    release.write_text(json.dumps(record_release(FENCES), indent=1) + "\n")
    print(release.relative_to(ROOT))


if __name__ == "__main__":
    main()
