"""What the control machine hands on to its hosts."""

from __future__ import annotations

import tomllib
from configparser import ConfigParser
from typing import TYPE_CHECKING

import pytest

from local_aws.machine import trust

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control machine with no settings at all."""
    monkeypatch.setattr(trust, "AUTHORITIES", tmp_path / "ca")
    monkeypatch.setattr(trust, "PIP_FILES", (tmp_path / "pip.conf",))
    for name in ("http_proxy", "https_proxy", "no_proxy", "pip_index_url", "pip_extra_index_url"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def pip_settings() -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    parser.read_string(trust.python_files()["/etc/pip.conf"].content.decode())
    return dict(parser["global"])


def test_ordinary_machine_hands_on_nothing(control: Path) -> None:
    del control
    assert trust.authority_files() == {}
    assert pip_settings() == {"cert": trust.BUNDLE}
    assert "/etc/uv/uv.toml" not in trust.python_files()


def test_extra_authorities_and_local_aws_own_are_handed_on(control: Path) -> None:
    (control / "ca/sub").mkdir(parents=True)
    (control / "ca/company.crt").write_text("company")
    (control / "ca/sub/lab.crt").write_text("lab")
    (control / "ca.pem").write_text("own")
    files = trust.authority_files(control / "ca.pem")
    folder = str(control / "ca")
    assert {path: file.content for path, file in files.items()} == {
        f"{folder}/company.crt": b"company",
        f"{folder}/lab.crt": b"lab",
        f"{folder}/local-aws-ca.crt": b"own",
    }


def test_index_of_pip_is_handed_on_to_pip_and_uv(control: Path) -> None:
    (control / "pip.conf").write_text(
        "[global]\nindex-url = https://pypi.example.com/index\n"
        "extra-index-url = https://more.example.com/index file:///opt/wheels\n"
    )
    assert pip_settings() == {
        "cert": trust.BUNDLE,
        "index-url": "https://pypi.example.com/index",
        "extra-index-url": "https://more.example.com/index",
    }
    uv = tomllib.loads(trust.python_files()["/etc/uv/uv.toml"].content.decode())
    assert uv["index"] == [
        {"url": "https://pypi.example.com/index", "default": True},
        {"url": "https://more.example.com/index", "default": False},
    ]


def test_index_on_the_control_machines_own_disk_or_loopback_is_kept_back(control: Path) -> None:
    (control / "pip.conf").write_text(
        "[global]\nindex-url = http://localhost:3141/root\nextra-index-url = file:///opt/pypi\n"
    )
    assert pip_settings() == {"cert": trust.BUNDLE}


def test_environment_overrides_the_file_as_in_pip(
    control: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (control / "pip.conf").write_text("[global]\nindex-url = https://old.example.com/index\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://new.example.com/index")
    assert pip_settings()["index-url"] == "https://new.example.com/index"


def test_proxy_is_handed_on_and_spares_the_hosts_own_addresses(
    control: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del control
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", "intra.example.com")
    found = trust.environment()
    assert found["https_proxy"] == found["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert found["NO_PROXY"] == "intra.example.com,127.0.0.1,localhost,169.254.169.254"


def test_proxy_on_the_control_machines_loopback_is_kept_back(
    control: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del control
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    assert "http_proxy" not in trust.environment()


ONE_LINE = """\
# deb http://old.example.com/pub/debian sid main
deb [arch=amd64] http://mirror.example.com/pub/debian trixie main
deb http://mirror.example.com/pub/debian-security trixie-security main
"""
DEB822 = """\
Types: deb
URIs: http://mirror.example.com/pub/debian
Suites: trixie

Types: deb
URIs: http://mirror.example.com/pub/debian-security
Suites: trixie-security
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [("sources.list", ONE_LINE), ("sources.list.d/debian.sources", DEB822)],
)
def test_mirror_of_the_control_machine_is_used(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(content)
    assert trust.debian_sources("bookworm", tmp_path) == [
        "deb http://mirror.example.com/pub/debian bookworm main",
        "deb http://mirror.example.com/pub/debian bookworm-updates main",
        "deb http://mirror.example.com/pub/debian-security bookworm-security main",
    ]


def test_other_distribution_leaves_debians_default_mirrors(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://archive.example.com/ubuntu noble main\n")
    assert trust.debian_sources("trixie", tmp_path) == []
