"""The cloud resources of a deployment, made and looked at by bare boto3 calls.

What tests/bench/provisioning.py holds the playbooks against: the same resources with the same
settings in the best order, by somebody who checks nothing, repeats nothing and forgets nothing.
Nothing runs on the host then, and the function is one line of code.
"""

from __future__ import annotations

import io
import json
import secrets
import time
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import LocalAws

CIDR = "10.127.0.0/16"
POLL_SECONDS = 1.0
SECRETS = (
    "database-master",
    "mlflow-database",
    "mlflow-server-database",
    "metrics-database",
    "mlflow-admin",
    "mlflow-secret-key",
    "metrics-token",
)


@dataclass
class BareCalls:
    """A deployment without playbooks.

    Parameters
    ----------
    aws
        Where it is made.
    name
        Begins the name of each resource.
    """

    aws: LocalAws
    name: str
    _ids: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        client = self.aws.client
        self._ec2, self._s3, self._iam = client("ec2"), client("s3"), client("iam")
        self._rds, self._secrets = client("rds"), client("secretsmanager")
        self._logs, self._functions = client("logs"), client("lambda")
        self._apis = client("apigatewayv2")

    def create(self) -> None:
        """Make everything, what takes long first, and wait until it is there."""
        self._network()
        self._passwords()
        self._start_database()
        self._bucket()
        self._roles()
        self._start_host()
        self._address()
        self._function()
        self._endpoint()

    def look(self) -> None:
        """Ask for the present settings of everything that `create` has made."""
        ec2, s3, iam = self._ec2, self._s3, self._iam
        filters = [{"Name": "tag:Deployment", "Values": [self.name]}]
        for look in (
            ec2.describe_vpcs,
            ec2.describe_subnets,
            ec2.describe_internet_gateways,
            ec2.describe_route_tables,
            ec2.describe_vpc_endpoints,
            ec2.describe_security_groups,
            ec2.describe_key_pairs,
            ec2.describe_instances,
            ec2.describe_addresses,
        ):
            look(Filters=filters)
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            ec2.describe_vpc_attribute(VpcId=self._ids["vpc"], Attribute=attribute)
        for look in (
            s3.get_bucket_versioning,
            s3.get_bucket_encryption,
            s3.get_bucket_ownership_controls,
            s3.get_public_access_block,
            s3.get_bucket_policy,
            s3.get_bucket_tagging,
        ):
            look(Bucket=self._bucket_name)
        for role in ("host", "metrics"):
            iam.get_role(RoleName=f"{self.name}-mlflow-{role}")
            iam.list_attached_role_policies(RoleName=f"{self.name}-mlflow-{role}")
        iam.get_role_policy(RoleName=f"{self.name}-mlflow-host", PolicyName="artifacts")
        iam.get_instance_profile(InstanceProfileName=f"{self.name}-mlflow-host")
        for secret in SECRETS:
            self._secrets.get_secret_value(SecretId=f"{self.name}/{secret}")
        self._rds.describe_db_subnet_groups(DBSubnetGroupName=f"{self.name}-mlflow")
        self._rds.describe_db_parameters(DBParameterGroupName=f"{self.name}-mlflow-postgres17")
        self._rds.describe_db_instances(DBInstanceIdentifier=f"{self.name}-mlflow")
        self._logs.describe_log_groups(logGroupNamePrefix="/aws/")
        self._functions.get_function(FunctionName=self._function_name)
        self._functions.get_policy(FunctionName=self._function_name)
        for look in (self._apis.get_api, self._apis.get_routes, self._apis.get_stages):
            look(ApiId=self._ids["api"])

    def delete(self) -> None:
        """Take away what is more than an entry; the rest ends with local AWS."""
        self._rds.delete_db_instance(
            DBInstanceIdentifier=f"{self.name}-mlflow", SkipFinalSnapshot=True
        )
        self._functions.delete_function(FunctionName=self._function_name)
        self._ec2.terminate_instances(InstanceIds=[self._ids["instance"]])

    @property
    def _tags(self) -> list[dict[str, str]]:
        return [{"Key": "Deployment", "Value": self.name}]

    @property
    def _bucket_name(self) -> str:
        return f"{self.name}-mlflow-artifacts"

    @property
    def _function_name(self) -> str:
        return f"{self.name}-mlflow-metrics"

    def _tagged(self, kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": self._tags}]

    def _network(self) -> None:
        ec2 = self._ec2
        vpc = ec2.create_vpc(CidrBlock=CIDR, TagSpecifications=self._tagged("vpc"))["Vpc"]["VpcId"]
        self._ids["vpc"] = vpc
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": True})
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        subnets = [
            ec2.create_subnet(
                VpcId=vpc,
                CidrBlock=f"10.127.{number}.0/24",
                AvailabilityZone=f"us-east-1{zone}",
                TagSpecifications=self._tagged("subnet"),
            )["Subnet"]["SubnetId"]
            for number, zone in ((1, "a"), (2, "a"), (3, "b"))
        ]
        gateway = ec2.create_internet_gateway(TagSpecifications=self._tagged("internet-gateway"))
        gateway_id = gateway["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc)
        tables = []
        for members in (subnets[:1], subnets[1:]):
            table = ec2.create_route_table(VpcId=vpc, TagSpecifications=self._tagged("route-table"))
            tables.append(table["RouteTable"]["RouteTableId"])
            for subnet in members:
                ec2.associate_route_table(RouteTableId=tables[-1], SubnetId=subnet)
        # The public subnet's way out, as in role aws_vpc; it opens no port.
        ec2.create_route(
            RouteTableId=tables[0], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id
        )
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName="com.amazonaws.us-east-1.s3",
            VpcEndpointType="Gateway",
            RouteTableIds=tables,
            TagSpecifications=self._tagged("vpc-endpoint"),
        )
        self._ids["public"], self._ids["private"] = subnets[0], subnets[1:]
        self._security_groups(vpc)

    def _security_groups(self, vpc: str) -> None:
        groups = {
            name: self._ec2.create_security_group(
                GroupName=f"{self.name}-{name}",
                Description=f"The {name}",
                VpcId=vpc,
                TagSpecifications=self._tagged("security-group"),
            )["GroupId"]
            for name in ("host", "function", "database")
        }
        self._ids["groups"] = groups
        office = [{"CidrIp": "203.0.113.7/32"}]
        self._ec2.authorize_security_group_ingress(
            GroupId=groups["host"],
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": office}
                for port in (22, 5000)
            ],
        )
        pairs = [{"GroupId": groups[name]} for name in ("host", "function")]
        self._ec2.authorize_security_group_ingress(
            GroupId=groups["database"],
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 5432,
                    "ToPort": 5432,
                    "UserIdGroupPairs": pairs,
                }
            ],
        )

    def _passwords(self) -> None:
        for secret in SECRETS:
            self._secrets.create_secret(
                Name=f"{self.name}/{secret}", SecretString=secrets.token_hex(16), Tags=self._tags
            )

    def _start_database(self) -> None:
        rds, name = self._rds, f"{self.name}-mlflow"
        rds.create_db_subnet_group(
            DBSubnetGroupName=name,
            DBSubnetGroupDescription="The private subnets",
            SubnetIds=self._ids["private"],
            Tags=self._tags,
        )
        rds.create_db_parameter_group(
            DBParameterGroupName=f"{name}-postgres17",
            DBParameterGroupFamily="postgres17",
            Description="TLS only",
            Tags=self._tags,
        )
        rds.modify_db_parameter_group(
            DBParameterGroupName=f"{name}-postgres17",
            Parameters=[
                {
                    "ParameterName": "rds.force_ssl",
                    "ParameterValue": "1",
                    "ApplyMethod": "immediate",
                }
            ],
        )
        rds.create_db_instance(
            DBInstanceIdentifier=name,
            Engine="postgres",
            EngineVersion="17",
            DBInstanceClass="db.t4g.micro",
            AllocatedStorage=20,
            MaxAllocatedStorage=100,
            StorageType="gp3",
            StorageEncrypted=True,
            DBName="mlflow",
            MasterUsername="mlflow_master",
            MasterUserPassword=secrets.token_hex(16),
            DBSubnetGroupName=name,
            VpcSecurityGroupIds=[self._ids["groups"]["database"]],
            DBParameterGroupName=f"{name}-postgres17",
            PubliclyAccessible=False,
            BackupRetentionPeriod=7,
            Tags=self._tags,
        )

    def _bucket(self) -> None:
        s3, bucket = self._s3, self._bucket_name
        s3.create_bucket(Bucket=bucket, ObjectOwnership="BucketOwnerEnforced")
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": self._tags})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(
            Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [encryption]}
        )
        s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        s3.put_bucket_policy(Bucket=bucket, Policy=_policy(statement))

    def _roles(self) -> None:
        iam = self._iam
        for role, service in (("host", "ec2"), ("metrics", "lambda")):
            trust = {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": f"{service}.amazonaws.com"},
            }
            created = iam.create_role(
                RoleName=f"{self.name}-mlflow-{role}",
                AssumeRolePolicyDocument=_policy(trust),
                Tags=self._tags,
            )
            self._ids[f"{role} role"] = created["Role"]["Arn"]
        host = f"{self.name}-mlflow-host"
        objects = {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            "Resource": f"arn:aws:s3:::{self._bucket_name}/*",
        }
        iam.put_role_policy(RoleName=host, PolicyName="artifacts", PolicyDocument=_policy(objects))
        iam.attach_role_policy(
            RoleName=f"{self.name}-mlflow-metrics",
            PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
        )
        iam.create_instance_profile(InstanceProfileName=host, Tags=self._tags)
        iam.add_role_to_instance_profile(InstanceProfileName=host, RoleName=host)

    def _start_host(self) -> None:
        ec2 = self._ec2
        ec2.create_key_pair(
            KeyName=f"{self.name}-mlflow",
            KeyType="ed25519",
            TagSpecifications=self._tagged("key-pair"),
        )
        images = ec2.describe_images(
            Owners=["136693071363"], Filters=[{"Name": "name", "Values": ["debian-13-amd64-*"]}]
        )["Images"]
        launched = ec2.run_instances(
            ImageId=max(images, key=lambda image: image["CreationDate"])["ImageId"],
            InstanceType="t3.medium",
            MinCount=1,
            MaxCount=1,
            KeyName=f"{self.name}-mlflow",
            SubnetId=self._ids["public"],
            SecurityGroupIds=[self._ids["groups"]["host"]],
            IamInstanceProfile={"Name": f"{self.name}-mlflow-host"},
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            BlockDeviceMappings=[
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True},
                }
            ],
            TagSpecifications=self._tagged("instance"),
        )
        self._ids["instance"] = launched["Instances"][0]["InstanceId"]

    def _address(self) -> None:
        address = self._ec2.allocate_address(
            Domain="vpc", TagSpecifications=self._tagged("elastic-ip")
        )
        _wait(lambda: self._instance_state() == "running")
        self._ec2.associate_address(
            AllocationId=address["AllocationId"], InstanceId=self._ids["instance"]
        )

    def _instance_state(self) -> str:
        found = self._ec2.describe_instances(InstanceIds=[self._ids["instance"]])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    def _database(self) -> dict[str, Any]:
        found = self._rds.describe_db_instances(DBInstanceIdentifier=f"{self.name}-mlflow")
        return dict(found["DBInstances"][0])

    def _function(self) -> None:
        """The function's settings hold the database's address, which is known only then."""
        self._log_group(f"/aws/lambda/{self._function_name}")
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("handler.py", "def handler(event, context): return {}")
        _wait(lambda: self._database()["DBInstanceStatus"] == "available")
        created = self._functions.create_function(
            FunctionName=self._function_name,
            Role=self._ids["metrics role"],
            Runtime="python3.13",
            Handler="handler.handler",
            Code={"ZipFile": code.getvalue()},
            MemorySize=512,
            Timeout=30,
            VpcConfig={
                "SubnetIds": self._ids["private"],
                "SecurityGroupIds": [self._ids["groups"]["function"]],
            },
            Environment={
                "Variables": {"DATABASE_HOST": self._database()["Endpoint"]["Address"]},
            },
            Tags={"Deployment": self.name},
        )
        self._ids["function"] = created["FunctionArn"]

    def _endpoint(self) -> None:
        apis = self._apis
        self._log_group(f"/aws/apigateway/{self._function_name}")
        api = apis.create_api(
            Name=self._function_name, ProtocolType="HTTP", Tags={"Deployment": self.name}
        )["ApiId"]
        integration = apis.create_integration(
            ApiId=api,
            IntegrationType="AWS_PROXY",
            IntegrationUri=self._ids["function"],
            PayloadFormatVersion="2.0",
        )["IntegrationId"]
        for method in ("GET", "HEAD"):
            apis.create_route(
                ApiId=api, RouteKey=f"{method} /metrics", Target=f"integrations/{integration}"
            )
            self._functions.add_permission(
                FunctionName=self._function_name,
                StatementId=method,
                Action="lambda:InvokeFunction",
                Principal="apigateway.amazonaws.com",
                SourceArn=f"arn:aws:execute-api:us-east-1:123456789012:{api}/*/{method}/metrics",
            )
        apis.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
        self._ids["api"] = api

    def _log_group(self, name: str) -> None:
        self._logs.create_log_group(logGroupName=name, tags={"Deployment": self.name})
        self._logs.put_retention_policy(logGroupName=name, retentionInDays=30)


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _wait(ready: Callable[[], bool], seconds: float = 600.0) -> None:
    """Ask again and again; TimeoutError after so many seconds."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"not ready after {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
