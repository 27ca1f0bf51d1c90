"""Signature Version 4: whether a request was signed with the secret of its access key.

moto takes any signature. What a client signs is computed here again with botocore's own signer.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Request
    from werkzeug.datastructures import Headers

ALGORITHM = "AWS4-HMAC-SHA256"
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (RequestTimeTooSkewed)
S3_SKEW = timedelta(minutes=15)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
SKEW = timedelta(minutes=5)
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
LONGEST_SECONDS = 604_800
_TIME = "%Y%m%dT%H%M%SZ"
_HASH_HEADER = "x-amz-content-sha256"


class MalformedError(ValueError):
    """A signature is not valid; the message says why."""


class MalformedAddressError(MalformedError):
    """A signature in a presigned address is not valid; the message says why."""


@dataclass(frozen=True)
class Signature:
    """What a request says of its signature.

    Attributes
    ----------
    expires
        Seconds for which a presigned URL holds; None for a signature in the header.
    """

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str
    time: str
    token: str | None
    expires: int | None = None

    @property
    def _signed(self) -> datetime | None:
        try:
            return datetime.strptime(self.time, _TIME).replace(tzinfo=UTC)
        except ValueError:
            return None

    def is_early(self, now: datetime) -> bool:
        """Return whether it is that of a presigned address that is not valid yet."""
        signed = self._signed
        return self.expires is not None and signed is not None and now < signed - S3_SKEW

    def is_over(self, now: datetime) -> bool:
        """Return whether it is that of a presigned address that is not valid any more."""
        signed = self._signed
        if self.expires is None or signed is None:
            return False
        return now > signed + timedelta(seconds=self.expires)

    def is_in_time(self, now: datetime) -> bool:
        """Return whether the request may be answered now."""
        signed = self._signed
        if signed is None or self.expires is not None:
            return signed is not None and not self.is_early(now) and not self.is_over(now)
        return abs(now - signed) <= (S3_SKEW if self.service == "s3" else SKEW)


def read(headers: Headers, uri: str) -> Signature | None:
    """Return the signature in the header or in the query of `uri`; None where there is none.

    Raises
    ------
    MalformedError
        When it has another form than Signature Version 4.
    """
    header = headers.get("Authorization")
    if header is not None:
        return _from_header(header, headers)
    query = {name: values[0] for name, values in parse_qs(urlsplit(uri).query).items()}
    if "X-Amz-Signature" in query:
        return _from_query(query)
    return None


def holds(signature: Signature, secret: str, request: Request, body: bytes) -> bool:
    """Return whether `signature` is what `secret` makes of the request.

    Parameters
    ----------
    body
        As it came. Its hash is part of the signature, unless a header names the hash.
    """
    credentials = Credentials(signature.access_key, secret, signature.token)
    auth = _signer(signature)(credentials, signature.service, signature.region)
    headers = request.headers
    signed = {name: headers[name] for name in signature.signed_headers if name in headers}
    if len(signed) != len(signature.signed_headers):
        return False
    url = f"https://{headers['Host']}{_unsigned(request.environ['RAW_URI'])}"
    again = AWSRequest(request.method, url, signed, body)
    again.context["timestamp"] = signature.time
    text = auth.string_to_sign(again, auth.canonical_request(again))
    return hmac.compare_digest(auth.signature(text, again), signature.value)


def body_is_signed(headers: Headers, content: bytes) -> bool:
    """Return whether the body has the hash that the signed header names, if it names one."""
    named = headers.get(_HASH_HEADER)
    if named is None or named.startswith(("UNSIGNED-", "STREAMING-")):
        return True
    return hmac.compare_digest(named, hashlib.sha256(content).hexdigest())


def _signer(signature: Signature) -> type[SigV4Auth]:
    if signature.service != "s3":
        return SigV4Auth
    return S3SigV4Auth if signature.expires is None else S3SigV4QueryAuth


def _unsigned(uri: str) -> str:
    """Return the URI without the signature in its query."""
    path, mark, query = uri.partition("?")
    kept = [pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature=")]
    return f"{path}{mark}{'&'.join(kept)}"


def _from_header(header: str, headers: Headers) -> Signature:
    algorithm, _, rest = header.partition(" ")
    if algorithm != ALGORITHM:
        raise MalformedError(f"Unsupported AWS 'algorithm': '{algorithm}'")
    pairs = (part.strip().partition("=") for part in rest.split(","))
    return _signature(
        {name: value for name, _, value in pairs},
        time=headers.get("X-Amz-Date", ""),
        token=headers.get("X-Amz-Security-Token"),
    )


def _from_query(query: Mapping[str, str]) -> Signature:
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise MalformedAddressError("X-Amz-Algorithm only supports AWS4-HMAC-SHA256")
    expires = query.get("X-Amz-Expires", "")
    if not (expires.isascii() and expires.isdecimal()):
        raise MalformedAddressError("X-Amz-Expires should be a number")
    if int(expires) > LONGEST_SECONDS:
        raise MalformedAddressError(
            "X-Amz-Expires must be less than a week (in seconds) that is, the given X-Amz-Expires"
            f" must be less than {LONGEST_SECONDS} seconds"
        )
    return _signature(
        {
            name: query.get(f"X-Amz-{name}", "")
            for name in ("Credential", "SignedHeaders", "Signature")
        },
        time=query.get("X-Amz-Date", ""),
        token=query.get("X-Amz-Security-Token"),
        expires=int(expires),
    )


def _signature(
    parts: Mapping[str, str], *, time: str, token: str | None, expires: int | None = None
) -> Signature:
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not parts.get(name)]
    if missing:
        raise MalformedError(f"Authorization header requires '{missing[0]}' parameter.")
    scope = unquote(parts["Credential"]).split("/")
    if len(scope) < len(("key", "date", "region", "service", "aws4_request")):
        raise MalformedError("Credential must have at least 5 slash-delimited elements")
    *key, date, region, service, _ = scope
    return Signature(
        access_key="/".join(key),
        date=date,
        region=region,
        service=service,
        signed_headers=tuple(parts["SignedHeaders"].split(";")),
        value=parts["Signature"],
        time=time,
        token=token,
        expires=expires,
    )
