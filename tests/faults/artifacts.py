"""S3 that is away, slow, throttling, or ends transfers halfway, as the host sees it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

from local_aws import certificates
from tests.conftest import ROOT
from tests.faults import relay
from tests.faults.fault import Fault
from tests.sites_below import in_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from tests.faults.fault import Apply
    from tests.sites_below import Site

TABLE = "faults_s3"
MARK = 0x5333
RELAY_PORT = 5591
RULES = """
table inet {table} {{
    chain away {{
        type {hook};
        ip daddr 127.0.0.1 tcp dport {port} meta mark != {mark} {verdict}
    }}
}}
"""


@contextlib.contextmanager
def ruled(site: Site, hook: str, verdict: str) -> Iterator[None]:
    """Have a rule for connections from the host to S3; those of now end."""
    process = site.process_of(site.instance)
    script = RULES.format(table=TABLE, hook=hook, port=site.aws.port, mark=MARK, verdict=verdict)
    in_network(process, "nft", "-f", "-", script=script)
    try:
        site.host("systemctl restart local-aws-endpoint.service")
        yield
    finally:
        in_network(process, "nft", "delete", "table", "inet", TABLE)


@contextlib.contextmanager
def away(site: Site, _: ExitStack) -> Iterator[None]:
    """Refuse every connection."""
    with ruled(site, "filter hook output priority 0", "reject with tcp reset"):
        yield


@contextlib.contextmanager
def silent(site: Site, _: ExitStack) -> Iterator[None]:
    """Answer no packet."""
    with ruled(site, "filter hook output priority 0", "drop"):
        yield


def relayed(mode: str) -> Apply:
    """Return a fault that the relay makes."""

    @contextlib.contextmanager
    def apply(site: Site, _: ExitStack) -> Iterator[None]:
        leaf = certificates.endpoint_authority(site.settings).issue(["127.0.0.1"])
        pem = site.aws.directory / "relay.pem"
        certificates.write_private(pem, leaf.certificate + leaf.key)
        numbers = map(str, (RELAY_PORT, site.aws.port, MARK))
        command = [sys.executable, "-m", relay.__name__, mode, *numbers, str(pem)]
        process = subprocess.Popen(
            [
                *("nsenter", f"--target={site.process_of(site.instance)}", "--net"),
                *command,
                str(site.settings.ca_file),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            verdict = f"redirect to :{RELAY_PORT}"
            with ruled(site, "nat hook output priority -100", verdict):
                yield
        finally:
            process.terminate()
            process.wait()
            site.host("systemctl restart local-aws-endpoint.service")

    return apply


FAULTS = (
    Fault("S3 away", away, seconds=8),
    Fault("S3 silent", silent, seconds=8, limit=90),
    Fault("S3 slow", relayed("slow"), seconds=10),
    Fault("S3 throttling", relayed("throttle"), seconds=10),
    Fault("S3 ends transfers halfway", relayed("cut"), seconds=8),
)
