"""Which operations were called is kept, and some may be refused.

AWS tells by CloudTrail what was called, and refuses what policies do not allow. moto does neither
unless it is given users, keys and policies of its own. Who writes a policy wants to know what is
called; who works in an account with few rights wants to know what happens there.

Each new ``<service>:<operation>`` that is called with the profile's key is a line of
``<data_dir>/operations``, by the names of botocore's models, and S3's by those of IAM. What
matches a pattern that is a line of ``<data_dir>/refused``, such as ``iam:Create*``, is answered
with AccessDenied, whoever asks.
"""

from __future__ import annotations

import re
import threading
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AccessDeniedError
from moto.s3.exceptions import S3AccessDeniedError

from local_aws.patching import replace
from local_aws.profile import ACCESS_KEY

if TYPE_CHECKING:
    from local_aws.settings import Settings

# Credential=<key>/<date>/<region>/<service>/aws4_request
_SCOPE = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/aws4_request")


def apply(settings: Settings) -> None:
    """Look at each operation before moto does it."""
    seen: set[str] = set()
    lock = threading.Lock()

    def authorize(self: Any, iam_request: type, resource: str = "*") -> None:
        scope = _SCOPE.search(self.headers.get("Authorization") or "")
        if scope:
            key, service = scope.groups()
            action = self.data["Action"] if service == "s3" else self._get_action()
            operation = f"{service}:{action}"
            if key == ACCESS_KEY:
                with lock:
                    if operation not in seen:
                        seen.add(operation)
                        with settings.operations_file.open("a") as file:
                            file.write(f"{operation}\n")
            if any(fnmatchcase(operation, pattern) for pattern in settings.refused):
                if service == "s3":
                    raise S3AccessDeniedError
                user = f"arn:aws:iam::{settings.account}:user/operator"
                raise AccessDeniedError(user_arn=user, action=operation)
        authorize_as_moto(self, iam_request, resource)

    authorize_as_moto = replace(
        ActionAuthenticatorMixin, "_authenticate_and_authorize_action", authorize
    )
