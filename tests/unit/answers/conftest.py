"""What role mlflow copies beside the server is imported here as it is there."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "roles/mlflow/files"))
