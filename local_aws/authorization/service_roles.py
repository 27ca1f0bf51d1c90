"""Roles that services take: functions and hosts.

A service takes a role when the role's trust policy names it, and then has the role's rights. moto
asks neither.

Sources:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

from moto.iam.models import iam_backends

from local_aws.authorization import callers, policies
from local_aws.authorization.record import Record

if TYPE_CHECKING:
    from local_aws.settings import Settings

HOSTS = "ec2.amazonaws.com"
FUNCTIONS = "lambda.amazonaws.com"


class ServiceRoles:
    """The roles of one local AWS."""

    def __init__(self, settings: Settings) -> None:
        """Begin with what IAM has at each question."""
        self._settings = settings
        self._record = Record(settings)

    def trusts(self, role_arn: str, service: str) -> bool:
        """Return whether a role exists and a service may take it."""
        roles = list(iam_backends[self._settings.account]["aws"].roles.values())
        role = next((role for role in roles if role.arn == role_arn), None)
        if role is None:
            return False
        trust = json.loads(unquote(role.assume_role_policy_document))
        request = policies.Request(
            action="sts:AssumeRole",
            resource=role_arn,
            principals=(service,),
            account="",
            context={"aws:sourceaccount": (self._settings.account,)},
        )
        return policies.evaluate(request, policies.Policies(resource=trust)).allowed

    def allows(self, role_arn: str, action: str, resource: str = "*", *, region: str) -> bool:
        """Return whether a role may do something in a region, and keep that it was needed."""
        self._record.keep(role_arn, action, resource, {})
        request = policies.Request(
            action=action,
            resource=resource,
            principals=(role_arn,),
            account=self._settings.account,
            # Organisations deny calls to regions that they do not list.
            context={
                "aws:principalarn": (role_arn,),
                "aws:requestedregion": (region,),
            },
        )
        return policies.evaluate(request, callers.role_policies(self._settings, role_arn)).allowed
