"""Certificates like others, with another validity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

END = b"-----END CERTIFICATE-----\n"


def reissued(chain: bytes, issuer_key: bytes, remaining: timedelta) -> bytes:
    """Return a chain (PEM) whose first certificate ends at another time.

    Parameters
    ----------
    chain
        The certificate, and those of its issuers.
    issuer_key
        Private key of the first issuer.
    remaining
        Time from now until its end; negative for one that has expired. It began a day before the
        earlier one of now and its end.
    """
    first, end, rest = chain.partition(END)
    old = x509.load_pem_x509_certificate(first + end)
    key = serialization.load_pem_private_key(issuer_key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + remaining) - timedelta(days=1))
        .not_valid_after(now + remaining)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + rest
