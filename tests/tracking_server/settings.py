"""Settings of role mlflow for a server on loopback, from the role's own templates and defaults.

Ansible's templating renders them in this process. A playbook with the same tasks took 3.3 s of a
processor for each server of the tests.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = ("mlflow_database/defaults", "mlflow/defaults", "mlflow/vars")
TEMPLATES = ("basic_auth.ini", "mlflow.env")


def write_settings(directory: Path, variables: dict[str, Any]) -> dict[str, str]:
    """Write secrets and settings as role mlflow does; return the server's environment.

    Parameters
    ----------
    directory
        The folder of the settings, `mlflow_config_dir` of the role.
    variables
        Variables of the role, beside its defaults.
    """
    loader = DataLoader()
    defaults: dict[str, Any] = {"ansible_managed": "Ansible managed"}
    for name in VARIABLES:
        path = str(ROOT / "roles" / name / "main.yml")
        defaults |= loader.load_from_file(path, trusted_as_template=True)
    templar: Any = Templar(loader, defaults | {"mlflow_config_dir": str(directory)} | variables)

    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    for secret in templar.template(trust_as_template("{{ __mlflow_secrets }}")):
        _write(secrets / secret["name"], f"{secret['content']}\n")
    read_only = templar.template(trust_as_template("{{ __mlflow_read_only_file }}"))
    _write(directory / read_only, "")
    for name in TEMPLATES:
        text = (ROOT / f"roles/mlflow/templates/{name}.j2").read_text()
        _write(
            directory / name, templar.template(trust_as_template(text), escape_backslashes=False)
        )

    lines = (directory / "mlflow.env").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and line[0] != "#"]
    # systemd's way of quoting, see systemd.exec(5) at EnvironmentFile.
    return {name: re.sub(r'\\(["\\$`])', r"\1", value[1:-1]) for name, value in pairs}


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
