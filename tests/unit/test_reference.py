"""The pages of docs/reference/ are what the code says."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT


def test_reference_pages_are_those_of_make_docs() -> None:
    subprocess.run([sys.executable, ROOT / "scripts/document_reference.py", "--check"], check=True)
