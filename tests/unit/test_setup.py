"""What a user is told when the set-up cannot go on."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.conftest import ROOT


def test_neither_root_nor_sudo() -> None:
    nobody = [str(shutil.which("setpriv")), "--reuid=65534", "--regid=65534", "--clear-groups"]
    with (ROOT / "scripts/system-packages.sh").open() as script:
        done = subprocess.run(
            [*(nobody if os.geteuid() == 0 else []), "/bin/bash", "-s"],
            stdin=script,
            # Where no program is, sudo is none.
            env={"PATH": "/usr/bin/nowhere"},
            cwd="/",
            text=True,
            capture_output=True,
            check=False,
        )

    assert done.returncode == 1
    assert "run make as root, or install sudo" in done.stderr
