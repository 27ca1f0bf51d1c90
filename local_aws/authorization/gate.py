"""Where each call is stopped or let through."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import flask
from moto.core.utils import get_service_model

from local_aws import forms
from local_aws.authorization import (
    actions,
    callers,
    endpoints,
    needs,
    policies,
    refusals,
    signatures,
)
from local_aws.authorization.record import Record
from local_aws.authorization.refusals import Cause, Refusal
from local_aws.calls import parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moto.core.responses import BaseResponse

    from local_aws.authorization.callers import Caller
    from local_aws.authorization.needs import Call, Need
    from local_aws.authorization.signatures import Signature
    from local_aws.settings import Settings

# Where the prefix of a service's actions is not its name in boto3.
_PREFIXES = {"apigatewayv2": "apigateway", "service-quotas": "servicequotas"}
# Anybody may ask who he is, whatever policies say.
# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
_FREE = frozenset({"sts:GetCallerIdentity"})
# Larger bodies are not hashed again.
_HASHED_BYTES = 1 << 20


class Gate:
    """Decides about calls, and keeps what they needed."""

    def __init__(self, settings: Settings) -> None:
        """Decide by the policies of one local AWS."""
        self._settings = settings
        self._record = Record(settings)

    @staticmethod
    def prefix(response: BaseResponse) -> str:
        """Return the prefix of the actions of the service that is asked."""
        name = str(response.boto3_service_name)
        return _PREFIXES.get(name, name)

    def caller(self, access_key: str) -> Caller | None:
        """Return whose key it is."""
        return callers.find(self._settings, access_key)

    def refusal(self, response: BaseResponse) -> Refusal | None:
        """Return why a call of another service than S3 is refused, or None."""
        refusal = self.authenticate()
        if refusal is not None:
            return refusal
        service = get_service_model(response.boto3_service_name)
        name = response._get_action()  # noqa: SLF001 - moto has no other way to the name
        if name not in service.operation_names:
            return Refusal(Cause.DENIED, f"{name} is not a valid operation of this service.")
        call = needs.Call(
            service=self.prefix(response),
            operation=name,
            parameters=parameters(response, service.operation_model(name)),
            account=response.current_account,
            region=response.region,
            method=str(response.method),
            path=flask.request.environ["RAW_URI"].partition("?")[0],
            headers=dict(flask.request.headers),
        )
        if f"{call.service}:{name}" in _FREE:
            return None
        return self._authorize(call)

    def refusal_of_bucket(
        self, response: Any, action: str, bucket: str | None, key: str | None
    ) -> Refusal | None:
        """Return why a call of S3 is refused, or None."""
        refusal = self.authenticate()
        if refusal is not None:
            return refusal
        given = {"Bucket": bucket, "Key": key, "Query": flask.request.args}
        call = self._call_of_bucket(action, given, response.region)
        return self._authorize(call)

    def refusal_of_object(self, bucket: str, key: str, action: str) -> Refusal | None:
        """Return why one object of a request about several is refused, or None."""
        given = {"Bucket": bucket, "Key": key, "Query": {}}
        return self._authorize(self._call_of_bucket(action, given, self._settings.region))

    def authenticate(self) -> Refusal | None:
        """Find who asks, for the rest of the request; return why nobody is believed, or None."""
        request = flask.request
        uri: str = request.environ["RAW_URI"]
        flask.g.caller = callers.ANONYMOUS
        try:
            signature = signatures.read(request.headers, uri)
        except signatures.MalformedAddressError as error:
            return Refusal(Cause.MALFORMED_ADDRESS, str(error))
        except signatures.MalformedError as error:
            return Refusal(Cause.MALFORMED, str(error))
        if signature is None:
            # Buckets may be open to everybody.
            return None if _is_s3(request) else Refusal(Cause.MISSING)
        caller = self.caller(signature.access_key)
        if caller is None:
            over = signature.token in self._settings.expired
            return Refusal(Cause.EXPIRED if over else Cause.UNKNOWN_KEY)
        cause = self._doubt(signature, caller)
        if cause is not None:
            return Refusal(cause)
        flask.g.caller = caller
        return None

    def _doubt(self, signature: Signature, caller: Caller) -> Cause | None:
        """Return why a signature is not the caller's, or None."""
        request, now = flask.request, datetime.now(UTC)
        is_small = (request.content_length or 0) <= _HASHED_BYTES
        body = forms.body(request) if is_small or signature.service != "s3" else b""
        doubts: tuple[tuple[Cause, Callable[[], bool]], ...] = (
            (Cause.EXPIRED, lambda: signature.token in self._settings.expired),
            (Cause.UNKNOWN_TOKEN, lambda: signature.token != caller.token),
            (Cause.EXPIRED, lambda: caller.expiration is not None and caller.expiration < now),
            (Cause.EARLY_ADDRESS, lambda: signature.is_early(now)),
            (Cause.EXPIRED_ADDRESS, lambda: signature.is_over(now)),
            (Cause.LATE, lambda: not signature.is_in_time(now)),
            (
                Cause.SIGNATURE,
                lambda: not signatures.holds(signature, caller.secret, request, body),
            ),
            (
                Cause.SIGNATURE,
                lambda: is_small and not signatures.body_is_signed(request.headers, body),
            ),
        )
        return next((cause for cause, is_so in doubts if is_so()), None)

    def _call_of_bucket(self, action: str, given: dict[str, Any], region: str | None) -> Call:
        return needs.Call(
            service="s3",
            operation=action,
            parameters=given,
            account=self._settings.account,
            region=region or self._settings.region,
            method=flask.request.method,
            headers=dict(flask.request.headers),
        )

    def _authorize(self, call: Call) -> Refusal | None:
        caller: Caller = flask.g.caller
        shared = _global_keys(call, caller)
        for need in needs.find(call):
            action = actions.find(need.action)
            if action is None:
                return refusals.denied(
                    call.service,
                    caller.arn,
                    need.action,
                    need.resource,
                    "because AWS has no such action",
                )
            keys = {
                key: values
                for key, values in (shared | need.keys).items()
                if action.has_key(key, need.type_name)
            }
            self._keep(caller, need, keys)
            decision = policies.evaluate(
                policies.Request(
                    action=need.action,
                    resource=need.resource,
                    principals=(caller.arn, *caller.names) if caller.arn else (),
                    account=caller.account,
                    context=keys,
                ),
                replace(
                    caller.policies,
                    resource=endpoints.bucket_policy(call),
                    endpoint=endpoints.policy(call, flask.request.environ),
                ),
            )
            if not decision.allowed:
                return refusals.denied(
                    call.service, caller.arn, need.action, need.resource, decision.reason
                )
        return None

    def _keep(self, caller: Caller, need: Need, keys: Mapping[str, tuple[str, ...]]) -> None:
        """Keep what was needed, without the keys that each request has."""
        own = {key: keys[key] for key in keys if not actions.GLOBAL_KEYS.fullmatch(key)}
        who = caller.names[0] if caller.names else caller.arn
        self._record.keep(who, need.action, need.resource, own)


def _is_s3(request: Any) -> bool:
    """Return whether a request without credentials is for S3, whose requests have no action."""
    return "X-Amz-Target" not in request.headers and "Action" not in request.values


def _global_keys(call: Call, caller: Caller) -> dict[str, tuple[str, ...]]:
    """Return the condition keys that every request has.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    now = datetime.now(UTC)
    keys = {
        "aws:currenttime": (now.isoformat(),),
        "aws:epochtime": (str(int(time.time())),),
        "aws:principalisawsservice": ("false",),
        "aws:requestedregion": (call.region,),
        "aws:securetransport": (str(flask.request.is_secure).lower(),),
        "aws:useragent": (flask.request.headers.get("User-Agent", ""),),
        "aws:viaawsservice": ("false",),
        **endpoints.source_keys(call, flask.request.environ),
    }
    if caller.arn:
        keys |= {"aws:principalarn": (caller.names[0] if caller.names else caller.arn,)}
        keys |= {"aws:principalaccount": (caller.account,), **caller.keys}
    return keys
