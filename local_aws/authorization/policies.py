"""Whether policies allow a request: IAM's logic for one account.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from local_aws.authorization import conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Document = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What is to be allowed.

    Attributes
    ----------
    action
        As policies have it, such as ``ec2:RunInstances``.
    resource
        An ARN; ``*`` for an action without resources.
    principals
        The names under which a resource's policy may mean the caller: ARN of user, role or session.
    account
        The caller's account, empty for a caller without credentials.
    context
        The values of the condition keys, whose names are in lower case.
    """

    action: str
    resource: str
    principals: tuple[str, ...]
    account: str
    context: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Policies:
    """The documents that have a say.

    Attributes
    ----------
    identity
        Of the user and its groups, or of the role.
    boundary, session
        What limits them: the permissions boundary, and the policies given when a session began.
        None means no limit, an empty list allows nothing.
    organisation
        Service control policies; None means no limit.
    resource
        The policy of the resource, such as a bucket's.
    endpoint
        The policy of the VPC endpoint that the request came through, which is a limit as well.
    """

    identity: Sequence[Document] = ()
    boundary: Sequence[Document] | None = None
    session: Sequence[Document] | None = None
    organisation: Sequence[Document] | None = None
    resource: Document | None = None
    endpoint: Sequence[Document] | None = None


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, and otherwise why not, in the words of AWS's messages."""

    allowed: bool
    reason: str = ""


IDENTITY = "identity-based policy"
RESOURCE = "resource-based policy"
BOUNDARY = "permissions boundary"
SESSION = "session policy"
ORGANISATION = "service control policy"
ENDPOINT = "VPC endpoint policy"


def evaluate(request: Request, policies: Policies) -> Decision:
    """Return what IAM decides.

    An explicit deny of any policy refuses. Otherwise the limits have to allow, and beside them
    the identity's policies or the resource's. A resource's policy that names the user or session
    itself is enough, whatever the boundary and the session's policies leave out.
    """
    resource = [policies.resource] if policies.resource is not None else None
    documents = {
        ORGANISATION: policies.organisation,
        ENDPOINT: policies.endpoint,
        RESOURCE: resource,
        IDENTITY: policies.identity,
        BOUNDARY: policies.boundary,
        SESSION: policies.session,
    }
    for kind, given in documents.items():
        if _effect(given or (), request, "Deny", with_principal=kind in {RESOURCE, ENDPOINT}):
            article = "an" if kind[0] in "aeiou" else "a"
            return Decision(allowed=False, reason=f"with an explicit deny in {article} {kind}")
    for kind in (ORGANISATION, ENDPOINT):
        limit = documents[kind]
        if limit is not None and not _effect(
            limit, request, "Allow", with_principal=kind == ENDPOINT
        ):
            return _implicit(kind, request)
    granted = _granted_by_resource(policies.resource, request)
    if granted is _Grant.DIRECT:
        return Decision(allowed=True)
    for kind in (BOUNDARY, SESSION):
        limit = documents[kind]
        if limit is not None and not _effect(limit, request, "Allow"):
            return _implicit(kind, request)
    if granted is _Grant.ROLE or _effect(policies.identity, request, "Allow"):
        return Decision(allowed=True)
    return _implicit(IDENTITY, request)


class _Grant(Enum):
    NONE = 0
    ROLE = 1
    DIRECT = 2


def _granted_by_resource(policy: Document | None, request: Request) -> _Grant:
    """Return how far a resource's policy allows; naming the account only delegates."""
    if policy is None:
        return _Grant.NONE
    found = _Grant.NONE
    for statement in _statements([policy]):
        if statement.get("Effect") != "Allow" or not _applies(statement, request):
            continue
        named = set(_named(statement.get("Principal")))
        session = request.principals[:1]
        if "*" in named or named & set(session):
            return _Grant.DIRECT
        if named & set(request.principals[1:]):
            found = _Grant.ROLE
    return found


def _implicit(kind: str, request: Request) -> Decision:
    return Decision(allowed=False, reason=f"because no {kind} allows the {request.action} action")


def _effect(
    documents: Iterable[Document], request: Request, effect: str, *, with_principal: bool = False
) -> bool:
    return any(
        statement.get("Effect") == effect
        and _applies(statement, request)
        and (not with_principal or _is_meant(statement, request))
        for statement in _statements(documents)
    )


def _statements(documents: Iterable[Document]) -> Iterable[dict[str, Any]]:
    for document in documents:
        yield from conditions.as_list(document.get("Statement", []))


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    return (
        _fits_action(statement, request.action)
        and _fits_resource(statement, request)
        and conditions.hold(statement.get("Condition", {}), request.context)
    )


def _fits_action(statement: Mapping[str, Any], action: str) -> bool:
    lowered = action.lower()

    def one_of(patterns: Any) -> bool:
        return any(
            conditions.matches(pattern.lower(), lowered) for pattern in conditions.as_list(patterns)
        )

    if "NotAction" in statement:
        return not one_of(statement["NotAction"])
    return one_of(statement.get("Action", []))


def _fits_resource(statement: Mapping[str, Any], request: Request) -> bool:
    def one_of(patterns: Any) -> bool:
        return any(
            conditions.arn_matches(pattern, request.resource, request.context)
            for pattern in conditions.as_list(patterns)
        )

    if "NotResource" in statement:
        excluded = conditions.as_list(statement["NotResource"])
        known = all(conditions.has_values(pattern, request.context) for pattern in excluded)
        return known and not one_of(excluded)
    # A role's trust policy has no resource: it is the role's own.
    return one_of(statement.get("Resource", "*"))


def _is_meant(statement: Mapping[str, Any], request: Request) -> bool:
    if "NotPrincipal" in statement:
        return not _names(statement["NotPrincipal"], request)
    return _names(statement.get("Principal", "*"), request)


def _names(principal: Any, request: Request) -> bool:
    named = set(_named(principal))
    if "*" in named or named & set(request.principals):
        return True
    return bool(request.account) and any(
        name == request.account or name.endswith(f":iam::{request.account}:root") for name in named
    )


def _named(principal: Any) -> list[str]:
    if isinstance(principal, dict):
        return [name for names in principal.values() for name in conditions.as_list(names)]
    return [] if principal is None else conditions.as_list(principal)
