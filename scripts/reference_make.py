"""The reference page of the make targets, from `make help`."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Make targets

Written by `make docs` from `make help`.

| target | what it does |
|---|---|
"""
TAIL = """
## Variables

Set them on the command line (`make up DEPLOYMENT=demo`) or export them.

| variable | default | meaning |
|---|---|---|
| `PYTHON` | that of `.venv`, or `python3` | The interpreter of the environment, 3.11 or newer. |
| `OTHER_PYTHON` | one of `PATH` or pyenv | The interpreter of `make stacks`. |
| `DEPLOYMENT` | `local` | The name of the deployment of `make up`. |
| `ANSIBLE_ARGS` | | More arguments for `ansible-playbook`, such as `-e mlflow_port=5001`. |
| `LOCAL_AWS_PORT` | `5566` | The port of local AWS on 127.0.0.1. |
| `LOCAL_AWS_DIR` | `.local-aws` | The folder of local AWS. |
| `MLFLOW` | | The version of MLflow that `make lock` locks; without it, all locks. |
"""


def page() -> str:
    """Return the text of the page."""
    # This may run below make, whose flags would change what `make help` prints.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    rows = re.findall(r"(?m)^ +(make [\w-]+) +(.+)$", shown.stdout)
    return HEAD + "".join(f"| `{target}` | {text} |\n" for target, text in rows) + TAIL
