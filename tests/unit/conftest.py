"""Tests import the program that runs MLflow on its host by the name that it has there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "server"))
# Nobody may only read, unless a test says so.
os.environ.setdefault("MLFLOW_HOST_READ_ONLY_USERS", os.devnull)
