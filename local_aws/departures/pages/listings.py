"""Operations that list, the size of their pages, and the position of an item in the list.

The sizes are those of each operation's reference, of the parameter that botocore calls the limit
of its page. Two are not documented and are the smallest ones that AWS has been seen to use:
API Gateway answers with 25 (the documented default of its REST APIs), Secrets Manager with 100.
EC2 documents a page only where the caller asks for one, and no list of more than 1,000 items.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Listing:
    """One operation.

    Attributes
    ----------
    position
        Members of an item by which the list is sorted; none when the items are names. Together
        they are unique, so that the end of a page stays a position when its last item is deleted.
    default, maximum
        Items on a page when the caller asks for no number, and the most that are on one.
    """

    position: tuple[str, ...]
    default: int
    maximum: int


def _listings(
    service: str, default: int, maximum: int, operations: dict[str, tuple[str, ...]]
) -> dict[tuple[str, str], Listing]:
    return {
        (service, operation): Listing(position, default, maximum)
        for operation, position in operations.items()
    }


LISTINGS: dict[tuple[str, str], Listing] = {
    # https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html and its neighbours
    **_listings(
        "iam",
        100,
        1000,
        {
            "ListAttachedRolePolicies": ("PolicyArn",),
            "ListAttachedUserPolicies": ("PolicyArn",),
            "ListGroups": ("GroupName",),
            "ListInstanceProfiles": ("InstanceProfileName",),
            "ListInstanceProfilesForRole": ("InstanceProfileName",),
            "ListPolicies": ("PolicyName", "Arn"),
            "ListRolePolicies": (),
            "ListRoleTags": ("Key",),
            "ListRoles": ("RoleName",),
            "ListUserPolicies": (),
            "ListUsers": ("UserName",),
        },
    ),
    # https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html
    **_listings(
        "lambda",
        50,
        50,
        {"ListFunctions": ("FunctionArn",), "ListVersionsByFunction": ("FunctionArn",)},
    ),
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
    **_listings("secretsmanager", 100, 100, {"ListSecrets": ("Name",)}),
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html
    **_listings("logs", 50, 50, {"DescribeLogGroups": ("logGroupName",)}),
    # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html
    **_listings(
        "rds",
        100,
        100,
        {
            "DescribeDBEngineVersions": ("Engine", "EngineVersion"),
            "DescribeDBInstances": ("DBInstanceIdentifier",),
            "DescribeDBParameterGroups": ("DBParameterGroupName",),
            "DescribeDBParameters": ("ParameterName",),
            "DescribeDBSnapshots": ("DBSnapshotIdentifier",),
            "DescribeDBSubnetGroups": ("DBSubnetGroupName",),
        },
    ),
    # https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html
    **_listings(
        "apigatewayv2",
        25,
        500,
        {
            "GetApis": ("ApiId",),
            "GetIntegrations": ("IntegrationId",),
            "GetRoutes": ("RouteId",),
            "GetStages": ("StageName",),
        },
    ),
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html#api-pagination
    **_listings(
        "ec2",
        1000,
        1000,
        {
            "DescribeImages": ("ImageId",),
            "DescribeInstanceStatus": ("InstanceId",),
            "DescribeInstances": ("ReservationId",),
            "DescribeInternetGateways": ("InternetGatewayId",),
            "DescribeNetworkAcls": ("NetworkAclId",),
            "DescribeNetworkInterfaces": ("NetworkInterfaceId",),
            "DescribeRouteTables": ("RouteTableId",),
            "DescribeSecurityGroupRules": ("SecurityGroupRuleId",),
            "DescribeSecurityGroups": ("GroupId",),
            "DescribeSnapshots": ("SnapshotId",),
            "DescribeSubnets": ("SubnetId",),
            "DescribeTags": ("ResourceId", "Key"),
            "DescribeVolumes": ("VolumeId",),
            "DescribeVpcEndpoints": ("VpcEndpointId",),
            "DescribeVpcs": ("VpcId",),
        },
    ),
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html
    **_listings("ec2", 100, 100, {"DescribeInstanceTypes": ("InstanceType",)}),
}
