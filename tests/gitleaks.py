"""Findings of Gitleaks in the history of a Git repository.

It runs in a container of local AWS's image of Debian 13, so that its version does not depend on the
machine.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_aws.machine import images
from local_aws.machine.podman import Podman

if TYPE_CHECKING:
    from local_aws.settings import Settings

INSTALL = (
    "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq install --yes"
    " --no-install-recommends git gitleaks >/dev/null"
)
FOLDER = Path("/root")
REPORT = FOLDER / "report.json"
# No report has a secret, and findings do not fail the program.
COMMAND = (
    f"gitleaks detect --source={FOLDER}/repository --config={FOLDER}/gitleaks.toml"
    f" --report-path={REPORT} --redact --exit-code=0 --no-banner"
)


@dataclass(frozen=True, order=True)
class Leak:
    """What looks like a secret.

    Attributes
    ----------
    rule
        What Gitleaks calls its kind.
    file, line, commit
        Where it is.
    """

    rule: str
    file: str
    line: int
    commit: str


def leaks(settings: Settings, repository: Path, config: Path) -> list[Leak]:
    """Return what looks like a secret in any commit of a repository, sorted.

    Parameters
    ----------
    settings
        Those of the local AWS to which the container belongs.
    config
        Configuration of Gitleaks.

    Raises
    ------
    RuntimeError
        If it could not examine the repository.
    """
    podman = Podman(settings)
    image = images.host_image(settings, podman)
    name = f"gitleaks-{settings.data_dir.name}"
    bundle = settings.data_dir / "bundle"
    pack = ["git", "-C", str(repository), "bundle", "create", "--quiet", str(bundle), "HEAD"]
    subprocess.run(pack, check=True)
    command = f"git clone --quiet {FOLDER}/bundle {FOLDER}/repository && {COMMAND}"
    podman.run(
        *("create", f"--name={name}", f"--label={podman.label}", "--network=host", image),
        *("sh", "-c", f"({INSTALL}) && {command}"),
    )
    try:
        podman.run("cp", str(bundle), f"{name}:{FOLDER}/bundle")
        podman.run("cp", str(config), f"{name}:{FOLDER}/gitleaks.toml")
        said = podman.run("start", "--attach", name, check=False)
        report = settings.data_dir / "gitleaks.json"
        if podman.run("cp", f"{name}:{REPORT}", str(report), check=False).returncode:
            raise RuntimeError(f"Gitleaks gave no report: {said.stdout[-2000:]}{said.stderr}")
        items = json.loads(report.read_text())
    finally:
        podman.run("rm", "--force", name)
    return sorted(
        Leak(item["RuleID"], item["File"], item["StartLine"], item["Commit"]) for item in items
    )
