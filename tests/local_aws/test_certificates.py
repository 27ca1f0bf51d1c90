from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from local_aws import certificates
from local_aws.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> certificates.Authority:
    made = certificates.endpoint_authority(Settings(tmp_path))
    made.ensure()
    return made


def test_authority_is_kept_while_valid(authority: certificates.Authority) -> None:
    before = authority.certificate_file.read_bytes()
    authority.ensure()
    assert authority.certificate_file.read_bytes() == before


def test_authority_half_written_is_created_again(authority: certificates.Authority) -> None:
    authority.key_file.write_bytes(b"-----BEGIN")
    authority.ensure()
    authority.issue(["localhost"])


def test_keys_are_readable_by_their_owner_only(authority: certificates.Authority) -> None:
    assert authority.key_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_strict_client_accepts_a_certificate_for_its_name(
    authority: certificates.Authority, tmp_path: Path, name: str
) -> None:
    leaf = authority.issue(["127.0.0.1", "localhost"])
    chain = tmp_path / "chain.pem"
    certificates.write_private(chain, leaf.certificate + leaf.key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(chain)
    client_context = ssl.create_default_context(cafile=authority.certificate_file)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert _shake_hands(server_context, client_context, name) == name


def test_certificate_is_refused_for_another_name(
    authority: certificates.Authority, tmp_path: Path
) -> None:
    leaf = authority.issue(["127.0.0.1"])
    chain = tmp_path / "chain.pem"
    certificates.write_private(chain, leaf.certificate + leaf.key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(chain)
    client_context = ssl.create_default_context(cafile=authority.certificate_file)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(server_context, client_context, "127.0.0.2")


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """Do a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server, server_hostname=name)
    right = server.wrap_bio(to_server, to_client, server_side=True)
    done = 0
    while done != 2:
        done = 0
        for side in (left, right):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
    return name
