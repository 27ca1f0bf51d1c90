"""Every call is authenticated and authorized.

moto accepts any signature, and its policy evaluation ignores resources and conditions. AWS rejects
a request whose signature is wrong, or that the policies do not allow: those of the user or role,
the permissions boundary, the resource, and the VPC endpoint. Authors of policies need the same
answers from local AWS.

An action that is missing from AWS's service authorization reference is always denied.

The permissions that each caller needed are recorded in ``<data_dir>/permissions``.

The evaluation is our own code, because it runs on every call; tests compare it with iam-simulate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
import xmltodict
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket
from moto.sts.models import STSBackend

from local_aws.authorization.gate import Gate
from local_aws.patching import replace

if TYPE_CHECKING:
    from moto.s3.responses import S3Response

    from local_aws.authorization.refusals import Refusal
    from local_aws.settings import Settings

FORBIDDEN = 403


class RefusedError(ServiceException):
    """What AWS answers; a class of moto's own would be looked up among its services."""


def apply(settings: Settings) -> None:
    """Look at each call before moto does; the last of the departures, so that it is asked first."""
    gate = Gate(settings)
    _guard_services(gate)
    _guard_buckets(gate)
    _know_callers(gate)


def _guard_services(gate: Gate) -> None:
    def call_action(self: BaseResponse) -> Any:
        refusal = gate.refusal(self)
        if refusal is None:
            return call_any_action(self)
        error = RefusedError(refusal.code(gate.prefix(self)), refusal.text)
        status, headers, body = self.serialized(ActionResult(error))
        return max(int(status), FORBIDDEN), headers, body

    call_any_action = replace(BaseResponse, "call_action", call_action)


def _guard_buckets(gate: Gate) -> None:
    """Guard S3, which comes by another way than the rest."""

    def authorize(self: Any, bucket_name: str | None = None, key_name: str | None = None) -> None:
        if self.method == "OPTIONS":
            # Browsers ask without credentials.
            return
        action = self.data["Action"]
        if _is_deletion_of_many(self, key_name):
            # Each object is asked for below.
            refusal = gate.authenticate()
        else:
            refusal = gate.refusal_of_bucket(self, action, bucket_name, key_name)
        if refusal is not None:
            raise _s3_error(refusal)
        authorize_as_before(self, bucket_name, key_name)

    def permission(self: Any, action: str, resource: str) -> PermissionResult:
        if flask.has_request_context() and _deletes_many(flask.request):
            key = resource.removeprefix(f"arn:aws:s3:::{self.name}/")
            actions = _deletions().get(key, {action})
            refused = any(
                gate.refusal_of_object(self.name, key, name.removeprefix("s3:")) for name in actions
            )
            return PermissionResult.DENIED if refused else PermissionResult.PERMITTED
        # All else was decided before.
        return PermissionResult.PERMITTED

    authorize_as_before = replace(
        ActionAuthenticatorMixin, "_authenticate_and_authorize_s3_action", authorize
    )
    replace(FakeBucket, "get_permission", permission)


def _know_callers(gate: Gate) -> None:
    """Make GetCallerIdentity return the caller."""

    def identity(self: Any, access_key_id: str, region: str) -> tuple[str, str, str]:
        caller = gate.caller(access_key_id)
        if caller is None:
            return identity_as_moto(self, access_key_id, region)
        return caller.user_id, caller.arn, caller.account

    identity_as_moto = replace(STSBackend, "get_caller_identity", identity)


def _s3_error(refusal: Refusal) -> S3ClientError:
    return S3ClientError(refusal.code("s3"), refusal.text)


def _is_deletion_of_many(response: S3Response, key_name: str | None) -> bool:
    return key_name is None and _deletes_many(response.request)


def _deletes_many(request: Any) -> bool:
    return request.method == "POST" and "delete" in request.args


def _deletions() -> dict[str, set[str]]:
    """Return what a request to delete many objects does to each."""
    if "deletions" not in flask.g:
        objects = xmltodict.parse(flask.request.get_data(), strip_whitespace=False)["Delete"].get(
            "Object", []
        )
        found: dict[str, set[str]] = {}
        for one in objects if isinstance(objects, list) else [objects]:
            action = "s3:DeleteObjectVersion" if one.get("VersionId") else "s3:DeleteObject"
            found.setdefault(one["Key"], set()).add(action)
        flask.g.deletions = found
    deletions: dict[str, set[str]] = flask.g.deletions
    return deletions
