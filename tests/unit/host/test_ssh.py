"""Role `host` on a real host of each Debian: who can log in by SSH, and by which algorithms."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.ssh_audit import findings
from tests.systemd_host import SystemdHost, booted

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "admin"
# Only SSH is of interest here; packages would have to be installed for the rest.
VARIABLES = {"host_security_updates": False, "host_node_exporter": False}
DROP_IN = "/etc/ssh/sshd_config.d/00-host.conf"


class SshHost(SystemdHost):
    """A host with an SSH server, which answers on a port of loopback."""

    def play(self, *options: str, **variables: object) -> tuple[dict[str, int], str]:
        """Run role host; return the sums of its recap and its output."""
        return self.play_role("host", VARIABLES | variables, *options, facts=False)

    def ssh(self, *options: str, user: str = USER, command: str = "id --user --name") -> str:
        """Log in with the key; return what came out, the reason of a refusal included."""
        done = subprocess.run(
            [
                *("ssh", "-F", "none", "-i", f"{self.folder}/key", "-p", str(self.port)),
                *("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
                *("-o", "StrictHostKeyChecking=accept-new"),
                *("-o", f"UserKnownHostsFile={self.folder}/known_hosts", *options),
                *(f"{user}@127.0.0.1", command),
            ],
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        return (done.stdout + done.stderr).strip()


@pytest.fixture(
    scope="module",
    params=[pytest.param(12, marks=pytest.mark.slow), 13],
    ids=lambda release: f"debian-{release}",
)
def bare(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SshHost]:
    """A host as Debian's image has it, with a key of user and root let in."""
    folder = tmp_path_factory.mktemp("ssh")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True
    )
    name = f"ssh-{request.param}-{folder.parent.name}"
    with booted(folder, name, 22, release=request.param) as booting:
        host = SshHost(booting.name, booting.podman, booting.port, folder)
        key = (folder / "key.pub").read_text()
        host.run("useradd", "--create-home", USER)
        for home in (f"/home/{USER}", "/root"):
            script = f"mkdir -p {home}/.ssh && printf %s '{key}' > {home}/.ssh/authorized_keys"
            host.run("sh", "-c", script)
        deadline = time.monotonic() + 60
        while host.ssh(command="true"):
            assert time.monotonic() < deadline, host.ssh(command="true")
            time.sleep(0.3)
        yield host


@pytest.fixture(scope="module")
def hardened(bare: SshHost) -> SshHost:
    """The same host after the role; what was there before is kept in its folder."""
    (bare.folder / "keys").write_text(host_keys(bare))
    recap, output = bare.play()
    assert (recap["failed"], recap["unreachable"]) == (0, 0), output
    return bare


def host_keys(host: SshHost) -> str:
    """Return the host's public keys."""
    return host.run("sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub").stdout


@pytest.mark.slow
def test_role_in_check_mode_plans_the_file_and_writes_nothing(bare: SshHost) -> None:
    if bare.run("test", "-e", DROP_IN, check=False).returncode == 0:
        pytest.fail("this test must run before the role does")
    recap, output = bare.play("--check")

    assert recap["failed"] == 0, output
    assert "PasswordAuthentication no" in output
    assert bare.run("test", "-e", DROP_IN, check=False).returncode != 0


def test_login_of_ansible_as_root_is_refused_before_anything_changes(bare: SshHost) -> None:
    recap, output = bare.play(
        ansible_connection="ssh",
        ansible_user="root",
        ansible_host="127.0.0.1",
        ansible_port=bare.port,
        ansible_ssh_extra_args=(
            f"-o UserKnownHostsFile={bare.folder}/known_hosts -i {bare.folder}/key"
            " -o StrictHostKeyChecking=accept-new"
        ),
    )

    assert (recap["failed"], recap["changed"]) == (1, 0), output
    assert "ansible_user: root is not a valid user for SSH" in output


def test_open_connection_survives_the_role(bare: SshHost) -> None:
    socket = f"{bare.folder}/master"
    control = ("-o", f"ControlPath={socket}")
    bare.ssh(*control, "-o", "ControlMaster=yes", "-o", "ControlPersist=60", command="true")
    recap, output = bare.play()

    assert recap["failed"] == 0, output
    assert bare.ssh(*control, "-o", "ControlMaster=no") == USER
    bare.ssh(*control, "-O", "exit")


def test_second_run_changes_nothing(hardened: SshHost) -> None:
    for options in ((), ("--check",)):
        recap, output = hardened.play(*options)

        assert (recap["changed"], recap["failed"]) == (0, 0), output


def test_server_offers_keys_only(hardened: SshHost) -> None:
    refusal = hardened.ssh("-o", "PreferredAuthentications=none")

    assert refusal.endswith("Permission denied (publickey).")


def test_user_with_the_key_logs_in_and_root_does_not(hardened: SshHost) -> None:
    assert hardened.ssh() == USER
    assert "Permission denied (publickey)" in hardened.ssh(user="root")


def test_host_keys_are_unchanged(hardened: SshHost) -> None:
    assert host_keys(hardened) == (hardened.folder / "keys").read_text()


@pytest.mark.parametrize(
    "option",
    [
        "KexAlgorithms=diffie-hellman-group14-sha256",
        "KexAlgorithms=ecdh-sha2-nistp256",
        "Ciphers=chacha20-poly1305@openssh.com",
        "MACs=hmac-sha1,umac-64-etm@openssh.com",
        "HostKeyAlgorithms=ecdsa-sha2-nistp256",
    ],
)
def test_weak_algorithm_is_refused(hardened: SshHost, option: str) -> None:
    # AEAD ciphers ignore MACs, so another cipher has to be asked for.
    options = ("-o", "Ciphers=aes128-ctr") if option.startswith("MACs") else ()

    assert "no matching" in hardened.ssh("-o", option, *options)


def test_auditor_has_no_finding_that_is_not_explained(hardened: SshHost) -> None:
    assert findings("127.0.0.1", hardened.port) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("zz.conf", "Match User root\\n  PermitRootLogin yes\\n", "permitrootlogin no"),
        ("00-a.conf", "PasswordAuthentication yes\\n", "passwordauthentication no"),
        ("zz.conf", "NoSuchOption yes\\n", "NoSuchOption"),
    ],
    ids=["match", "earlier", "invalid"],
)
def test_other_file_that_weakens_the_server_is_named(
    hardened: SshHost, file: str, content: str, message: str
) -> None:
    path = f"/etc/ssh/sshd_config.d/{file}"
    hardened.run("sh", "-c", f"printf '{content}' > {path}")
    # As on a host that the role has never seen.
    hardened.run("rm", DROP_IN)
    try:
        recap, output = hardened.play()
        assert recap["failed"] == 1, output
        assert message in output
        # The server still runs, with what it had.
        assert hardened.ssh() == USER
    finally:
        hardened.run("rm", path)
        hardened.play()


@pytest.mark.slow
def test_role_leaves_ssh_alone_when_switched_off(hardened: SshHost) -> None:
    hardened.run("rm", DROP_IN)
    try:
        recap, output = hardened.play(host_ssh=False)
        assert recap["failed"] == 0, output
        assert hardened.run("test", "-e", DROP_IN, check=False).returncode != 0
    finally:
        hardened.play()
