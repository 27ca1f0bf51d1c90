"""podman as this machine needs it: found out, not assumed."""

from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from local_aws.errors import LocalAwsError
from local_aws.machine import images, networks, podman, trust
from local_aws.machine.podman import Podman, PodmanError, bind, csv_field
from local_aws.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CIDR = "10.94.0.0/24"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Podman]:
    """podman for a data folder of its own; what was made with its label goes."""
    own = Podman(Settings(data_dir=tmp_path))
    yield own
    own.remove_all()


def test_sandbox_gets_exactly_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podman, "_may_raise_limits", lambda: False)
    monkeypatch.setattr(podman, "_lacking", lambda: {"engine": {"runtime": "runc"}})
    own = Podman(Settings(data_dir=tmp_path))
    own.run("--version")
    written = tomllib.loads((tmp_path / "containers.conf").read_text())
    assert written["engine"]["runtime"] == "runc"
    assert str(tmp_path / "containers.conf") in own.environment.values()


def test_ordinary_machine_gets_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podman, "_lacking", dict)
    monkeypatch.setattr(podman, "_network_backend", lambda _: "netavark")
    own = Podman(Settings(data_dir=tmp_path))
    assert set(own.environment) - set(os.environ) <= {"LC_ALL"}
    assert not (tmp_path / "containers.conf").exists()


def test_machine_without_podman_gets_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalAwsError, match="podman is not installed: `make up` installs it"):
        Podman(Settings(data_dir=tmp_path)).run("info")


def test_user_without_root_gets_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalAwsError, match="need root: run this with sudo"):
        Podman(Settings(data_dir=tmp_path)).run("info")


def test_failing_command_says_what_podman_said(machine: Podman) -> None:
    with pytest.raises(PodmanError, match="no such") as caught:
        machine.run("container", "inspect", "lah-nothing")
    assert "lah-nothing" in caught.value.stderr


def test_removal_takes_everything_of_ours_and_nothing_else(machine: Podman, tmp_path: Path) -> None:
    other = Podman(Settings(data_dir=tmp_path / "other"))
    try:
        for own, suffix in ((machine, "a"), (other, "b")):
            own.run("volume", "create", f"--label={own.label}", f"lah-volume-{suffix}")
        machine.remove_all()
        left = machine.run("volume", "ls", "--quiet").stdout.split()
        assert "lah-volume-a" not in left
        assert "lah-volume-b" in left
    finally:
        other.remove_all()


def test_folder_in_an_odd_path_is_mounted_and_what_carries_it_removed(tmp_path: Path) -> None:
    folder = tmp_path / """my clone, (v2) o'neil "q" 100% #1 & é\\"""
    (folder / "data").mkdir(parents=True)
    (folder / "data/file").write_text("read")
    settings = Settings(data_dir=folder)
    own = Podman(settings)
    image = images.host_image(settings, own)
    log = csv_field(f"path={folder / 'log'}")
    try:
        own.run(
            *("run", "--name=lah-odd", f"--label={own.label}", "--network=none"),
            *("--log-driver=k8s-file", f"--log-opt={log}"),
            *(bind(folder / "data", "/data", read_only=True), image, "cat", "/data/file"),
        )
        assert "read" in (folder / "log").read_text()
    finally:
        own.remove_all()
    assert own.run("container", "exists", "lah-odd", check=False).returncode == 1


def test_network_has_the_range_and_first_address_of_the_vpc(machine: Podman) -> None:
    vpc = SimpleNamespace(id="lah-vpc-1", cidr_block=CIDR)
    assert networks.ensure(machine, vpc) == "lah-vpc-1"
    # A second time it is only found.
    assert networks.ensure(machine, vpc) == "lah-vpc-1"
    shown = json.loads(machine.run("network", "inspect", "lah-vpc-1").stdout)[0]
    assert shown["subnets"] == [{"subnet": CIDR, "gateway": "10.94.0.1"}]
    networks.remove(machine, "lah-vpc-1")
    assert not machine.exists("network", "lah-vpc-1")


def test_range_of_another_network_is_refused_with_its_name(machine: Podman) -> None:
    networks.ensure(machine, SimpleNamespace(id="lah-vpc-2", cidr_block=CIDR))
    with pytest.raises(LocalAwsError, match=r"lah-vpc-3 cannot have.*lah-vpc-2 of the local AWS"):
        networks.ensure(machine, SimpleNamespace(id="lah-vpc-3", cidr_block="10.94.0.0/16"))


def test_range_of_the_machine_is_refused(machine: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        networks, "_routes", lambda: [("eth7", ipaddress.IPv4Network("10.94.0.128/25"))]
    )
    with pytest.raises(LocalAwsError, match=r"this machine reaches 10\.94\.0\.128/25 through eth7"):
        networks.ensure(machine, SimpleNamespace(id="lah-vpc-4", cidr_block=CIDR))


def test_unknown_base_image_is_named(machine: Podman, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, base_image="localhost/lah-no-such-image")
    with pytest.raises(LocalAwsError, match="LOCAL_AWS_BASE_IMAGE=localhost/lah-no-such-image"):
        images.host_image(settings, machine)


def test_changed_recipe_is_another_image() -> None:
    tags = {
        images.Recipe(13, ()).tag,
        images.Recipe(12, ()).tag,
        images.Recipe(13, ("deb http://mirror.example.com/pub/debian trixie main",)).tag,
        images.Recipe(13, (), packages=("systemd",)).tag,
    }
    assert len(tags) == 4


def test_build_that_fails_leaves_no_image_and_says_why(
    machine: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)
    monkeypatch.setattr(
        trust, "debian_sources", lambda _: ["deb http://127.0.0.1:9/pub/debian trixie main"]
    )
    before = machine.run("image", "ls", "--quiet").stdout
    with pytest.raises(LocalAwsError, match=r"could not be built(.|\n)*127\.0\.0\.1"):
        images.host_image(settings, machine)
    assert machine.run("image", "ls", "--quiet").stdout == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_podman_that_does_not_say_whether_something_exists_is_an_error(
    machine: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for a no, it left a network without the rules of its security groups."""
    assert not machine.exists("network", "nothing")
    machine.run("network", "create", f"--label={machine.label}", f"--subnet={CIDR}", "there")
    assert machine.exists("network", "there")
    broken = SimpleNamespace(returncode=125, stdout="", stderr="database is locked")
    monkeypatch.setattr(machine, "run", lambda *_arguments, **_options: broken)
    with pytest.raises(PodmanError, match="database is locked"):
        machine.exists("network", "there")
