"""What an account of a kind has from the start: roles, and a policy for log delivery."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends
from moto.logs.models import logs_backends

from local_aws.services.apigatewayv2.log_delivery_policy import POLICY, document, is_too_long

if TYPE_CHECKING:
    from local_aws.settings import Settings


def open_account(settings: Settings) -> None:
    """Make what the account has from the start."""
    for role in settings.account_of_kinds.roles:
        _make_role(settings, role)
    if settings.account_of_kinds.full_log_policy:
        _fill_log_policy(settings)


def _make_role(settings: Settings, role: dict[str, Any]) -> None:
    iam = iam_backends[settings.account]["aws"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": role["services"]},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    name = role["name"]
    iam.create_role(
        role_name=name,
        assume_role_policy_document=json.dumps(trust),
        path="/",
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration="3600",
    )
    arns = {policy.name: policy.arn for policy in iam.managed_policies.values()}
    for policy in role["policies"]:
        iam.attach_role_policy(arns[policy], name)
    if "instance_profile" in role:
        profile = role["instance_profile"]
        iam.create_instance_profile(name=profile, path="/", role_names=[name])


def _fill_log_policy(settings: Settings) -> None:
    logs = logs_backends[settings.account][settings.region]
    prefix = f"arn:aws:logs:{settings.region}:{settings.account}:log-group:"
    # CloudWatch Logs adds this pattern by itself when a policy nears its longest.
    resources = [f"{prefix}/aws/vendedlogs/*"]
    while not is_too_long(more := [*resources, f"{prefix}/other/api-{len(resources):03}:*"]):
        resources = more
    logs.put_resource_policy(POLICY, document(resources))
