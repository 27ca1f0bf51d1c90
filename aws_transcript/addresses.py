"""Replaces IP addresses so that networks still contain what they contained.

Public addresses become addresses that are reserved for tests (198.18.0.0/15) and documentation
(2001:db8::/32), in the order in which they appear. Private IPv4 addresses keep their class
(10.0.0.0/8 …) and are encrypted bit by bit behind it, each bit by the key and the bits before it,
so that two addresses share as long a prefix as before: the method of J. Xu et al.,
"Prefix-Preserving IP Address Anonymization", 2002. The first of these bits always changes.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_transcript.placeholders import Placeholders

PRIVATE = [
    ipaddress.IPv4Network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("127.0.0.0/8", "169.254.0.0/16"),
    )
]
# Every account has these addresses, so they identify nobody.
KEPT = {"0.0.0.0", "127.0.0.1", "169.254.169.254", "169.254.169.123", "::", "::1"}  # noqa: S104
PUBLIC = {4: ipaddress.ip_network("198.18.0.0/15"), 6: ipaddress.ip_network("2001:db8::/32")}


def replaced(placeholders: Placeholders, text: str, prefix: str = "") -> str | None:
    """Return what takes the place of an address with its prefix (``/24``, or empty).

    None if the text is not an address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    length = int(prefix[1:]) if prefix else address.max_prefixlen
    if str(address) in KEPT or length > address.max_prefixlen:
        return text + prefix
    host_bits = address.max_prefixlen - length
    is_network = int(address) >> host_bits << host_bits == int(address)
    if isinstance(address, ipaddress.IPv4Address):
        for network in PRIVATE:
            if address in network:
                number = _encrypted(placeholders, int(address), network.prefixlen)
                number = number >> host_bits << host_bits if is_network else number
                return f"{ipaddress.IPv4Address(number)}{prefix}"
    return _public(placeholders, address, host_bits if is_network else 0) + prefix


def _encrypted(placeholders: Placeholders, number: int, kept_bits: int) -> int:
    result = number
    for position in range(kept_bits, 32):
        before = number >> (32 - position)
        flip = position == kept_bits or placeholders.keyed(f"{position}/{before}")[0] & 1
        result ^= flip << (31 - position)
    return result


def _public(
    placeholders: Placeholders,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    host_bits: int,
) -> str:
    network = PUBLIC[address.version]
    kind = f"ipv{address.version}"
    name = placeholders.of(kind, str(address))
    count = int(name.removeprefix(f"<{kind}-").removesuffix(">"))
    offset = (count << host_bits) % network.num_addresses
    return str(network[offset])
