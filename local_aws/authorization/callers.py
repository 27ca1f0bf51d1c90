"""The owner of a key, and the policies of the owner."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from local_aws import profile
from local_aws.accounts import Account
from local_aws.authorization.policies import Document, Policies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_aws.settings import Settings

ADMINISTRATOR: Document = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True)
class Caller:
    """The caller of a request.

    Attributes
    ----------
    arn
        As GetCallerIdentity returns it; empty for a caller without credentials.
    names
        What a resource's policy may call him beside the ARN: the role of a session.
    token, expiration
        Of a session's credentials; None for a user's.
    keys
        Condition keys about the caller.
    """

    arn: str
    account: str
    user_id: str = ""
    names: tuple[str, ...] = ()
    secret: str = ""
    token: str | None = None
    expiration: datetime | None = None
    policies: Policies = field(default_factory=Policies)
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = Caller("", "")


def find(settings: Settings, access_key: str) -> Caller | None:
    """Return who has a key; None if nobody has, or it is not active."""
    for own in profile.USERS:
        if own.access_key == access_key:
            return _user_of_the_profile(settings, own)
    for session in list(sts_backends[settings.account]["aws"].assumed_roles):
        if session.access_key_id == access_key:
            return _session(settings, session)
    for user in list(iam_backends[settings.account]["aws"].users.values()):
        for key in user.access_keys:
            if key.access_key_id == access_key and key.status == "Active":
                return _user(settings, user, key)
    return None


def role_policies(settings: Settings, role_arn: str) -> Policies:
    """Return the policies of a role; of one that is not there, none."""
    name = role_arn.rpartition("/")[2]
    iam = iam_backends[settings.account]["aws"]
    role = next((role for role in list(iam.roles.values()) if role.name == name), None)
    if role is None:
        return Policies(organisation=_organisation(settings))
    return Policies(
        identity=[*map(_document, role.policies.values()), *_managed(role.managed_policies)],
        boundary=_boundary(iam, role.permissions_boundary_arn),
        organisation=_organisation(settings),
    )


def _user_of_the_profile(settings: Settings, user: profile.User) -> Caller:
    kind = settings.account_of_kinds if user is profile.DEPLOYER else Account()
    documents = settings.policies if user is profile.DEPLOYER else []
    user_arn = f"arn:aws:iam::{settings.account}:user/{user.name}"
    return Caller(
        arn=f"arn:aws:sts::{settings.account}:{kind.caller}" if kind.caller else user_arn,
        account=settings.account,
        user_id=f"AIDA{user.access_key[4:]}",
        secret=user.secret_key,
        policies=Policies(
            identity=[*(documents or [ADMINISTRATOR]), *kind.policies],
            organisation=_organisation(settings) if user is profile.DEPLOYER else None,
        ),
        keys=_user_keys(user.name, f"AIDA{user.access_key[4:]}"),
    )


def _user(settings: Settings, user: Any, key: Any) -> Caller:
    iam = iam_backends[settings.account]["aws"]
    holders = [user, *iam.get_groups_for_user(user.name)]
    return Caller(
        arn=user.arn,
        account=settings.account,
        user_id=user.id,
        secret=key.secret_access_key,
        policies=Policies(
            identity=[
                document
                for holder in holders
                for document in (
                    *map(_document, holder.policies.values()),
                    *_managed(holder.managed_policies),
                )
            ],
            # moto keeps no boundaries of users.
            organisation=_organisation(settings),
        ),
        keys=_user_keys(user.name, user.id),
    )


def _user_keys(name: str, user_id: str) -> dict[str, tuple[str, ...]]:
    return {
        "aws:username": (name,),
        "aws:userid": (user_id,),
        "aws:principaltype": ("User",),
    }


def _session(settings: Settings, session: Any) -> Caller:
    policies = role_policies(settings, session.role_arn)
    if session.policy:
        policies = Policies(
            identity=policies.identity,
            boundary=policies.boundary,
            organisation=policies.organisation,
            session=[json.loads(session.policy)],
        )
    expiration: datetime = session.expiration
    return Caller(
        arn=session.arn,
        account=settings.account,
        user_id=session.user_id,
        names=(session.role_arn,),
        secret=session.secret_access_key,
        token=session.session_token,
        expiration=expiration if expiration.tzinfo else expiration.replace(tzinfo=UTC),
        policies=policies,
        keys={"aws:userid": (session.user_id,), "aws:principaltype": ("AssumedRole",)},
    )


def _organisation(settings: Settings) -> list[Document] | None:
    documents = settings.service_control_policies
    # What an organisation has by default, beside its own.
    return [ADMINISTRATOR, *documents] if documents else None


def _managed(policies: Any) -> Iterable[Document]:
    for policy in policies.values():
        yield _in_force(policy)


def _boundary(iam: Any, arn: str | None) -> list[Document] | None:
    if not arn:
        return None
    policy = iam.managed_policies.get(arn)
    return [_in_force(policy)] if policy else []


def _in_force(policy: Any) -> Document:
    """Return the version of a managed policy that counts."""
    [version] = [one for one in policy.versions if one.is_default]
    return _document(version.document)


def _document(text: str) -> Document:
    document: Document = json.loads(text if text.lstrip().startswith("{") else unquote(text))
    return document
