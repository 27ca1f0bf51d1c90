"""The two certificate authorities of a local AWS: one for the endpoint, one for the databases.

As on AWS, the databases' certificates come from an authority of their own, which clients have to
be given; the endpoint's authority replaces the public ones.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local_aws.settings import Settings

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class Leaf:
    """A server's certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Authority:
    """A certificate authority that is kept in two files."""

    name: str
    certificate_file: Path
    key_file: Path

    def ensure(self) -> None:
        """Make the authority, unless it exists and stays valid for a while."""
        if self._usable():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        self.key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.key_file, _key_bytes(key))
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.certificate_file.chmod(0o644)

    def issue(self, names: Sequence[str]) -> Leaf:
        """Sign a server certificate for `names` (DNS names and IP addresses)."""
        issuer = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        issuer_key = serialization.load_pem_private_key(self.key_file.read_bytes(), None)
        if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.key_file} holds no elliptic curve key")
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + LEAF_LIFE)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            # Python 3.13 refuses chains without the two identifiers.
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
                critical=False,
            )
            .sign(issuer_key, hashes.SHA256())
        )
        return Leaf(certificate.public_bytes(serialization.Encoding.PEM), _key_bytes(key))

    def _usable(self) -> bool:
        if not (self.certificate_file.is_file() and self.key_file.is_file()):
            return False
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
            key = serialization.load_pem_private_key(self.key_file.read_bytes(), None)
        except ValueError:
            # Half-written by a start that was interrupted.
            return False
        return (
            certificate.not_valid_after_utc - RENEW_BEFORE > datetime.now(UTC)
            and certificate.public_key() == key.public_key()
        )


def endpoint_authority(settings: Settings) -> Authority:
    """Return the authority behind the API endpoint."""
    return Authority("local AWS", settings.ca_file, settings.keys_dir / "ca.key")


def rds_authority(settings: Settings) -> Authority:
    """Return the authority behind the databases."""
    return Authority("local AWS RDS", settings.rds_ca_file, settings.keys_dir / "rds-ca.key")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, never readable in between."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
