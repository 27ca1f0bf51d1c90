"""Findings of testssl.sh about a TLS server.

It runs in a container of local AWS's image of Debian 13, so that its version does not depend on the
machine. The options keep it from asking anybody but the server: no names are resolved, and nothing
is looked up at the certificate's authority.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_aws.machine import images
from local_aws.machine.podman import Podman

if TYPE_CHECKING:
    from local_aws.settings import Settings

INSTALL = (
    "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq install --yes"
    " --no-install-recommends testssl.sh bsdextrautils procps >/dev/null"
)
OPTIONS = (
    *("--quiet", "--warnings", "off", "--color", "0", "--nodns", "none"),
    *("--connect-timeout", "10", "--openssl-timeout", "10"),
)
# Below are facts, and what is good.
FOUND = {"LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"}


@dataclass(frozen=True, order=True)
class TlsFinding:
    """A weakness.

    Attributes
    ----------
    check
        What the auditor calls it.
    severity
        LOW to CRITICAL; WARN and FATAL for what could not be examined.
    """

    check: str
    severity: str
    message: str


def tls_findings(settings: Settings, address: str, port: int, authority: Path) -> list[TlsFinding]:
    """Return what is wrong with the server, sorted.

    Parameters
    ----------
    settings
        Those of the local AWS to which the container belongs.
    address, port
        The server.
    authority
        The certificate that signs the server's.

    Raises
    ------
    RuntimeError
        If the server could not be examined.
    """
    podman = Podman(settings)
    image = images.host_image(settings, podman)
    folder = Path("/root")
    command = " ".join(
        (
            *("testssl", *OPTIONS, "--add-ca", f"{folder}/ca.pem"),
            *("--jsonfile", f"{folder}/report.json", f"https://{address}:{port}/"),
        )
    )
    name = f"testssl-{port}-{settings.data_dir.name}"
    podman.run(
        *("create", f"--name={name}", f"--label={podman.label}", "--network=host", image),
        *("sh", "-c", f"({INSTALL}) && {command}"),
    )
    try:
        report = settings.data_dir / f"{name}.json"
        copied = settings.data_dir / f"{name}.pem"
        copied.write_bytes(authority.read_bytes())
        podman.run("cp", str(copied), f"{name}:{folder}/ca.pem")
        said = podman.run("start", "--attach", name, check=False)
        if podman.run("cp", f"{name}:{folder}/report.json", str(report), check=False).returncode:
            raise RuntimeError(f"testssl.sh gave no report: {said.stdout[-2000:]}{said.stderr}")
        items = json.loads(report.read_text())
    finally:
        podman.run("rm", "--force", name)
    # A server that does not answer also gives a report.
    if not any(item["id"] == "TLS1_3" for item in items):
        raise RuntimeError(f"testssl.sh did not examine {address}:{port}: {said.stdout[-2000:]}")
    return sorted(
        TlsFinding(item["id"].partition(" ")[0], item["severity"], item["finding"])
        for item in items
        if item["severity"] in FOUND
    )
