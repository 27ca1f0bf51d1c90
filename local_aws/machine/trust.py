"""What the control machine trusts and where it fetches from, handed on to the hosts.

In a company network nothing can be installed without it: extra certificate authorities, proxies,
mirrors of Debian and of PyPI. A host gets what the control machine has and nothing else.
"""

from __future__ import annotations

import configparser
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local_aws.errors import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local_aws.machine.podman import Podman

AUTHORITIES = Path("/usr/local/share/ca-certificates")
# Bundle of a Debian host, our authorities included once update-ca-certificates has run.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
# pip's own settings, most important last, as pip reads them.
PIP_FILES = (
    Path("/etc/pip.conf"),
    Path("~/.pip/pip.conf"),
    Path("~/.config/pip/pip.conf"),
)


@dataclass(frozen=True)
class File:
    """A file to be laid into a host."""

    content: bytes
    mode: int = 0o644


def copy_into(podman: Podman, container: str, files: dict[str, File]) -> None:
    """Lay files into a container, which need not run; the keys are absolute paths.

    Folders that are missing are made, with mode 0755.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path.removeprefix("/"))
            entry.size, entry.mode = len(file.content), file.mode
            tar.addfile(entry, io.BytesIO(file.content))
    process = podman.popen(
        "cp", "-", f"{container}:/", stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, said = process.communicate(archive.getvalue())
    if process.returncode:
        raise LocalAwsError(f"Files could not be copied into {container}: {said.decode().strip()}")


def authority_files(*more: Path) -> dict[str, File]:
    """Return the control machine's extra certificate authorities, and those in `more`.

    They count once update-ca-certificates has run in the host.
    """
    own = sorted(AUTHORITIES.rglob("*.crt")) if AUTHORITIES.is_dir() else []
    return {
        f"{AUTHORITIES}/{prefix}{path.stem}.crt": File(path.read_bytes())
        for prefix, paths in (("", own), ("local-aws-", more))
        for path in paths
    }


def apt_files() -> dict[str, File]:
    """Return apt's proxies, where the control machine has some in its configuration."""
    lines = [f'{name} "{value}";' for name, value in _apt_proxies() if _reachable(value)]
    if not lines:
        return {}
    return {"/etc/apt/apt.conf.d/90control-machine": File("\n".join([*lines, ""]).encode())}


def python_files() -> dict[str, File]:
    """Return settings of pip and uv: trust what the system trusts, fetch from the same index."""
    settings = _pip_settings()
    pip = {"cert": BUNDLE}
    indexes = [
        url
        for name in ("index-url", "extra-index-url")
        for url in settings.get(name, "").split()
        if urlsplit(url).scheme in {"http", "https"} and _reachable(url)
    ]
    default = next((url for url in indexes if url in settings.get("index-url", "")), None)
    others = [url for url in indexes if url != default]
    if default:
        pip["index-url"] = default
    if others:
        pip["extra-index-url"] = " ".join(others)
    for name in ("proxy", "trusted-host"):
        if settings.get(name):
            pip[name] = settings[name]
    text = "".join(f"{name} = {value}\n" for name, value in pip.items())
    files = {"/etc/pip.conf": File(f"[global]\n{text}".encode())}
    if indexes:
        uv = "".join(
            f"[[index]]\nurl = {json.dumps(url)}\ndefault = {json.dumps(url == default)}\n"
            for url in indexes
        )
        files["/etc/uv/uv.toml"] = File(uv.encode())
    return files


def environment() -> dict[str, str]:
    """Return variables by which programs in a host find the authorities and the proxies."""
    found = {"SSL_CERT_FILE": BUNDLE, "REQUESTS_CA_BUNDLE": BUNDLE}
    for name in PROXIES:
        value = os.environ.get(name) or os.environ.get(name.upper())
        if value and (name == "no_proxy" or _reachable(value)):
            found[name] = found[name.upper()] = value
    if found.keys() & {"http_proxy", "https_proxy"}:
        direct = ",".join(
            filter(None, [found.get("no_proxy"), "127.0.0.1,localhost,169.254.169.254"])
        )
        found["no_proxy"] = found["NO_PROXY"] = direct
    return found


def debian_sources(code_name: str, root: Path = Path("/etc/apt")) -> list[str]:
    """Return apt's sources for a release of Debian, from the mirrors that this machine uses.

    An empty list means that it names none: Debian's default ones are to be used.
    """
    mirrors = list(_debian_mirrors(root))
    archive = next((url for url in mirrors if _path(url).endswith("/debian")), None)
    security = next((url for url in mirrors if _path(url).endswith("/debian-security")), None)
    if archive is None:
        return []
    lines = [f"deb {archive} {code_name}{suffix} main" for suffix in ("", "-updates")]
    if security is not None:
        lines.append(f"deb {security} {code_name}-security main")
    return lines


def _debian_mirrors(root: Path) -> Iterator[str]:
    files = [root / "sources.list", *sorted(root.glob("sources.list.d/*"))]
    for path in files:
        if not path.is_file():
            continue
        if path.suffix == ".sources":
            for line in path.read_text().splitlines():
                if line.lower().startswith("uris:"):
                    yield from _web(line.split()[1:])
        elif path.suffix == ".list":
            for line in path.read_text().splitlines():
                found = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)", line)
                if found:
                    yield from _web(found.groups())


def _web(urls: Iterable[str]) -> Iterator[str]:
    return (url for url in urls if urlsplit(url).scheme in {"http", "https"})


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _apt_proxies() -> list[tuple[str, str]]:
    if shutil.which("apt-config") is None:
        return []
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return re.findall(r'(?m)^(Acquire::https?::Proxy(?:::\S+)?) "([^"]+)";$', dump)


def _pip_settings() -> dict[str, str]:
    merged: dict[str, str] = {}
    for path in PIP_FILES:
        parser = configparser.RawConfigParser()
        parser.read(path.expanduser())
        for section in ("global", "install"):
            if parser.has_section(section):
                merged |= parser.items(section)
    for name in ("index-url", "extra-index-url", "proxy", "trusted-host"):
        if value := os.environ.get("PIP_" + name.upper().replace("-", "_")):
            merged[name] = value
    return merged


def _reachable(url: str) -> bool:
    """Return whether a host can reach what this machine reaches there: not its loopback."""
    name = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    return not (name == "localhost" or name.startswith("127.") or name == "::1")
