"""Command line of local AWS: ``python -m local_aws start``."""

from __future__ import annotations

import argparse
import ipaddress
import os
import shlex
import shutil
import sys

from local_aws import profile, service
from local_aws.errors import LocalAwsError
from local_aws.machine import images, ports
from local_aws.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment()
        if options.command in {"start", "stop", "run", "image", "allow", "door"}:
            _become_root(settings, arguments or sys.argv[1:])
            # Users of containers read what is written here; what is private has a mode of its own.
            os.umask(0o022)
        if options.command == "image":
            return _image(settings, options.releases)
        if options.command == "allow":
            return _allow(settings, options.name)
        if options.command == "door":
            ports.open_door(settings, str(options.address), options.port)
            return 0
        return _COMMANDS[options.command](settings)
    except LocalAwsError as error:
        print(f"local AWS: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _start(settings: Settings) -> int:
    started = service.start(settings)
    print(f"Local AWS {'answers' if started else 'already runs'} at {settings.endpoint}")
    return 0


def _stop(settings: Settings) -> int:
    stopped = service.stop(settings)
    print("Local AWS is stopped" if stopped else "Local AWS was not running")
    return 0


def _status(settings: Settings) -> int:
    found = service.running(settings)
    if found is None:
        print("Local AWS is not running")
        return 3
    answers = service.health(settings) is not None
    print(
        f"Local AWS runs as process {found.pid} at https://127.0.0.1:{found.port}"
        + ("" if answers else ", but does not answer")
    )
    return 0 if answers else 1


def _run(settings: Settings) -> int:
    service.run(settings)
    return 0


def _image(settings: Settings, releases: list[int]) -> int:
    for name in service.build_images(settings, releases):
        print(name)
    return 0


def _allow(settings: Settings, name: str) -> int:
    profile.allow(settings, name, sys.stdin.read())
    return 0


def _env(settings: Settings) -> int:
    for name, value in client_environment(settings).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def client_environment(settings: Settings) -> dict[str, str]:
    """Return what a client of the endpoint exports: the key of who deploys."""
    return {
        "AWS_ENDPOINT_URL": settings.endpoint,
        "AWS_CA_BUNDLE": str(settings.ca_file),
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ACCESS_KEY_ID": profile.DEPLOYER.access_key,
        "AWS_SECRET_ACCESS_KEY": profile.DEPLOYER.secret_key,
        **_direct(),
    }


def _direct() -> dict[str, str]:
    """Return the lists of addresses without proxy, which hold local AWS's."""
    names = ("NO_PROXY", "no_proxy")
    before = {name: os.environ.get(name, "") for name in names}
    # Programs read one of the two first, so neither may hide what only the other holds.
    known = {name: before[name] or "".join(before.values()) for name in names}
    return {
        name: ",".join(dict.fromkeys([*filter(None, known[name].split(",")), "127.0.0.1"]))
        for name in names
    }


_COMMANDS = {
    "start": _start,
    "stop": _stop,
    "status": _status,
    "run": _run,
    "env": _env,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local_aws", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("start", "start the server in the background and wait until it answers"),
        ("stop", "stop it and remove everything that it made"),
        ("status", "say whether it runs (exit status 0, 1 no answer, 3 not running)"),
        ("run", "be the server, in the foreground"),
        ("image", "build the images of hosts and databases, and print their names"),
        ("allow", "give who deploys an IAM policy, read from the standard input"),
        ("door", "let this machine reach a port of a private address, as it cannot on AWS"),
        ("env", 'print what a client exports: eval "$(python -m local_aws env)"'),
    ):
        command = commands.add_parser(name, help=text)
        if name == "allow":
            command.add_argument(
                "name", metavar="NAME", help="of the policy; one of the same name is replaced"
            )
        if name == "door":
            command.add_argument("address", metavar="ADDRESS", type=ipaddress.IPv4Address)
            command.add_argument("port", metavar="PORT", type=_port)
        if name == "image":
            command.add_argument(
                "releases",
                nargs="*",
                type=_release,
                metavar="RELEASE",
                help="releases of Debian that hosts are wanted of as well, such as 12",
            )
    return parser


def _release(text: str) -> int:
    if text not in map(str, images.CODE_NAMES):
        known = ", ".join(map(str, images.CODE_NAMES))
        raise argparse.ArgumentTypeError(f"{text} is not a known release of Debian: {known}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text} is not a valid port: it must be 1 to 65535")
    return int(text)


def _become_root(settings: Settings, arguments: list[str]) -> None:
    """Containers with systemd and firewall rules need root: go through sudo where we are not."""
    if os.geteuid() == 0:
        return
    if shutil.which("sudo") is None:
        raise LocalAwsError(
            "Containers and firewall rules need root, and there is no sudo here: "
            f"run `python -m local_aws {' '.join(arguments)}` as root."
        )
    print("local AWS: containers and firewall rules need root, asking sudo", file=sys.stderr)
    passed = [
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith("LOCAL_AWS_") and name != "LOCAL_AWS_DIR"
    ]
    os.execvp(  # noqa: S606 - replaces this process by itself under sudo
        "sudo",
        [
            "sudo",
            f"LOCAL_AWS_DIR={settings.data_dir}",
            *passed,
            sys.executable,
            "-m",
            "local_aws",
            *arguments,
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
