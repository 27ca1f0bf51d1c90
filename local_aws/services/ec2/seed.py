"""What is laid into a host before it boots for the first time.

cloud-init's NoCloud seed, the sockets behind which the metadata service and the API answer, and
what the control machine trusts.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_aws.machine import trust
from local_aws.machine.trust import File
from local_aws.services.ec2 import first_boot

if TYPE_CHECKING:
    from local_aws.settings import Settings

# Debian's images for AWS log in as this user.
USER = "admin"
# Where the folder with the sockets is mounted.
SOCKETS = "/run/local-aws"
METADATA_SOCKET = "metadata.sock"
ENDPOINT_SOCKET = "endpoint.sock"
METADATA_ADDRESS = "169.254.169.254"
UNITS = "/etc/systemd/system"
TRUST_SCRIPT = "/usr/local/lib/local-aws/trust"
# What update-ca-certificates makes of additions, without its hundreds of processes, which double
# the time of the boot; where it runs later, it makes the same again.
TRUST = """\
set -eu
cd /etc/ssl/certs
for authority in /usr/local/share/ca-certificates/*.crt; do
    name=${authority##*/}
    ln -sf "$authority" "${name%.crt}.pem"
    cat "$authority"
    echo
done >> ca-certificates.crt
openssl rehash .
"""


@dataclass(frozen=True)
class Identity:
    """What a host learns about itself.

    Attributes
    ----------
    user_data
        As the API got it, in base64; None when there is none.
    """

    instance_id: str
    hostname: str
    public_keys: tuple[str, ...]
    user_data: str | None


def files(settings: Settings, identity: Identity) -> dict[str, File]:
    """Return the files, by absolute path."""
    return (
        trust.authority_files(settings.ca_file)
        | trust.apt_files()
        | trust.python_files()
        | _cloud_init(identity)
        | first_boot.files(settings.ec2_init_seconds)
        | _units(settings)
        | _environment(settings)
    )


def _cloud_init(identity: Identity) -> dict[str, File]:
    seed = "/var/lib/cloud/seed/nocloud"
    meta = {
        "instance-id": identity.instance_id,
        "local-hostname": identity.hostname,
        "public-keys": list(identity.public_keys),
    }
    config = {
        "datasource_list": ["NoCloud"],
        # Address, routes and resolver are podman's; apt's sources the image's.
        "network": {"config": "disabled"},
        "apt": {"preserve_sources_list": True},
        # Debian 12's default would have to be generated first.
        "locale": "C.UTF-8",
        "system_info": {
            "distro": "debian",
            "default_user": {
                "name": USER,
                "gecos": "Debian",
                "lock_passwd": True,
                "groups": ["adm", "audio", "cdrom", "dialout", "dip", "plugdev", "sudo", "video"],
                "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
                "shell": "/bin/bash",
            },
        },
    }
    user_data = base64.b64decode(identity.user_data) if identity.user_data else b""
    return {
        "/etc/cloud/ds-identify.cfg": File(b"policy: enabled\n"),
        "/etc/cloud/cloud.cfg.d/90_local_aws.cfg": _json(config),
        f"{seed}/meta-data": _json(meta),
        f"{seed}/user-data": File(user_data, 0o600),
    }


def _units(settings: Settings) -> dict[str, File]:
    found = {
        # Ready before anybody logs in and before cloud-init runs user-data.
        f"{UNITS}/local-aws-trust.service": f"""\
[Unit]
Description=Trust what the control machine trusts
DefaultDependencies=no
Before=cloud-config.service ssh.service
ConditionPathExists=!/etc/ssl/certs/local-aws-{settings.ca_file.stem}.pem

[Service]
Type=oneshot
ExecStart=/bin/sh {TRUST_SCRIPT}
""",
        f"{UNITS}/local-aws-address.service": f"""\
[Unit]
Description=Address of the instance metadata service
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip address replace {METADATA_ADDRESS}/32 dev lo
""",
        f"{UNITS}/sysinit.target.d/local-aws.conf": """\
[Unit]
Wants=local-aws-trust.service local-aws-address.service
""",
        # The kernel's messages are the control machine's.
        "/etc/systemd/journald.conf.d/local-aws.conf": """\
[Journal]
ReadKMsg=no
""",
        f"{UNITS}/sockets.target.d/local-aws.conf": """\
[Unit]
Wants=local-aws-metadata.socket local-aws-endpoint.socket
""",
    }
    for name, what, listen, socket in (
        ("metadata", "Instance metadata service", f"{METADATA_ADDRESS}:80", METADATA_SOCKET),
        ("endpoint", "API endpoint", f"127.0.0.1:{settings.port}", ENDPOINT_SOCKET),
    ):
        found[f"{UNITS}/local-aws-{name}.socket"] = f"""\
[Unit]
Description={what}

[Socket]
ListenStream={listen}
FreeBind=yes
"""
        found[f"{UNITS}/local-aws-{name}.service"] = f"""\
[Unit]
Description={what}
Requires=local-aws-{name}.socket
After=local-aws-{name}.socket

[Service]
ExecStart=/usr/lib/systemd/systemd-socket-proxyd {SOCKETS}/{socket}
"""
    found[TRUST_SCRIPT] = TRUST
    return {path: File(text.encode()) for path, text in found.items()}


def _environment(settings: Settings) -> dict[str, File]:
    """Let services, logins and sudo know where AWS is and whom to trust."""
    variables = {
        "AWS_ENDPOINT_URL": settings.endpoint,
        "AWS_CA_BUNDLE": trust.BUNDLE,
        **trust.environment(),
    }
    services = " ".join(
        '"{}={}"'.format(name, value.replace("%", "%%")) for name, value in variables.items()
    )
    logins = "".join(f'{name}="{value}"\n' for name, value in variables.items())
    return {
        "/etc/systemd/system.conf.d/local-aws.conf": File(
            f"[Manager]\nDefaultEnvironment={services}\n".encode()
        ),
        "/etc/environment": File(logins.encode()),
        "/etc/sudoers.d/90-local-aws": File(
            f'Defaults env_keep += "{" ".join(variables)}"\n'.encode(), 0o440
        ),
    }


def _json(document: object) -> File:
    # JSON is YAML, too.
    return File(json.dumps(document, indent=1).encode())
