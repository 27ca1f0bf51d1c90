"""AWS's answers to calls that it refuses, in the words of each service.

Sources:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Cause(Enum):
    """Why a call is refused."""

    DENIED = "denied"
    EARLY_ADDRESS = "address of the future"
    EXPIRED = "expired"
    EXPIRED_ADDRESS = "expired address"
    LATE = "late"
    MALFORMED = "malformed"
    MALFORMED_ADDRESS = "malformed address"
    MISSING = "missing"
    SIGNATURE = "signature"
    UNKNOWN_KEY = "unknown key"
    UNKNOWN_TOKEN = "unknown token"  # noqa: S105  no password


# Services of the query protocols answer with other codes than those of JSON.
_QUERY = frozenset({"cloudwatch", "iam", "rds", "sns", "sts"})
# https://docs.aws.amazon.com/sns/latest/api/API_ListTopics.html#API_ListTopics_Errors
_SNS_DENIED = "AuthorizationError"
_S3 = {
    Cause.DENIED: "AccessDenied",
    Cause.EARLY_ADDRESS: "AccessDenied",
    Cause.EXPIRED: "ExpiredToken",
    Cause.EXPIRED_ADDRESS: "AccessDenied",
    Cause.LATE: "RequestTimeTooSkewed",
    Cause.MALFORMED: "AuthorizationHeaderMalformed",
    Cause.MALFORMED_ADDRESS: "AuthorizationQueryParametersError",
    Cause.MISSING: "AccessDenied",
    Cause.SIGNATURE: "SignatureDoesNotMatch",
    Cause.UNKNOWN_KEY: "InvalidAccessKeyId",
    Cause.UNKNOWN_TOKEN: "InvalidToken",
}
_EC2 = {
    Cause.DENIED: "UnauthorizedOperation",
    Cause.EXPIRED: "RequestExpired",
    Cause.LATE: "RequestExpired",
    Cause.MALFORMED: "AuthFailure",
    Cause.MISSING: "MissingAuthenticationToken",
    Cause.SIGNATURE: "AuthFailure",
    Cause.UNKNOWN_KEY: "AuthFailure",
    Cause.UNKNOWN_TOKEN: "AuthFailure",
}
_QUERY_CODES = {
    Cause.DENIED: "AccessDenied",
    Cause.EXPIRED: "ExpiredToken",
    Cause.LATE: "SignatureDoesNotMatch",
    Cause.MALFORMED: "IncompleteSignature",
    Cause.MISSING: "MissingAuthenticationToken",
    Cause.SIGNATURE: "SignatureDoesNotMatch",
    Cause.UNKNOWN_KEY: "InvalidClientTokenId",
    Cause.UNKNOWN_TOKEN: "InvalidClientTokenId",
}
_JSON = {
    Cause.DENIED: "AccessDeniedException",
    Cause.EXPIRED: "ExpiredTokenException",
    Cause.LATE: "InvalidSignatureException",
    Cause.MALFORMED: "IncompleteSignatureException",
    Cause.MISSING: "MissingAuthenticationTokenException",
    Cause.SIGNATURE: "InvalidSignatureException",
    Cause.UNKNOWN_KEY: "UnrecognizedClientException",
    Cause.UNKNOWN_TOKEN: "UnrecognizedClientException",
}
# Causes of presigned addresses, and how other services than S3 call them.
_OF_ADDRESSES = {
    Cause.EARLY_ADDRESS: Cause.LATE,
    Cause.EXPIRED_ADDRESS: Cause.LATE,
    Cause.MALFORMED_ADDRESS: Cause.MALFORMED,
}
_MESSAGES = {
    Cause.EARLY_ADDRESS: "Request is not yet valid",
    Cause.EXPIRED_ADDRESS: "Request has expired",
    Cause.EXPIRED: "The security token included in the request is expired",
    Cause.LATE: "The difference between the request time and the current time is too large.",
    Cause.MISSING: "Request is missing Authentication Token",
    Cause.SIGNATURE: (
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key and signing method. Consult the service documentation for details."
    ),
    Cause.UNKNOWN_KEY: "The security token included in the request is invalid.",
    Cause.UNKNOWN_TOKEN: "The security token included in the request is invalid.",
}


@dataclass(frozen=True)
class Refusal:
    """A call that is refused.

    Attributes
    ----------
    message
        What is special about it; empty for AWS's usual words.
    """

    cause: Cause
    message: str = ""

    def code(self, service: str) -> str:
        """Return AWS's error code in the answers of a service."""
        if service == "s3":
            return _S3[self.cause]
        cause = _OF_ADDRESSES.get(self.cause, self.cause)
        if service == "ec2":
            return _EC2[cause]
        if service == "sns" and cause is Cause.DENIED:
            return _SNS_DENIED
        return (_QUERY_CODES if service in _QUERY else _JSON)[cause]

    @property
    def text(self) -> str:
        """The message of the answer."""
        return self.message or _MESSAGES.get(self.cause, "Access Denied")


def denied(service: str, arn: str, action: str, resource: str, reason: str) -> Refusal:
    """Return the refusal of a caller whom no policy allows an action on a resource."""
    who = f"User: {arn or 'anonymous'} is not authorized to perform: {action}"
    message = f"{who} on resource: {resource} {reason}" if resource != "*" else f"{who} {reason}"
    if service == "ec2":
        message = f"You are not authorized to perform this operation. {message}"
    return Refusal(Cause.DENIED, message)
