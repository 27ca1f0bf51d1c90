"""A deployment in which no public variable has its default, from an inventory of its own."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
import yaml

from tests.conftest import ROOT, LocalAws, Play, started
from tests.settings import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "knobs"
HOME = ROOT / "tests/settings"
MLFLOW_API = "api/2.0/mlflow"


@dataclass(frozen=True)
class Deployment:
    """What the deployment is like, asked of each resource."""

    aws: LocalAws

    def play(self, playbook: str, *arguments: str, inventory: str = "inventory") -> Play:
        """Run a playbook with an inventory, and nothing else that says what is wanted."""
        return self.aws.play(playbook, "-i", str(self.aws.directory / inventory), *arguments)

    def rendered(self, *, other: bool) -> dict[str, Any]:
        """Return what the table's expressions are with inventory.yml, or other.yml above it."""
        rows = {
            name: row
            for name, row in table.ROWS.items()
            if isinstance(row, table.Argument) and row.other == other
        }
        expressions = self.aws.directory / "expressions.json"
        destination = self.aws.directory / "rendered.json"
        content = {"expressions": {name: row.expression for name, row in rows.items()}}
        expressions.write_text(json.dumps(content | {"destination": str(destination)}))
        inventory = "other" if other else "inventory"
        play = self.play(str(HOME / "render.yml"), "-e", f"@{expressions}", inventory=inventory)
        assert play.returncode == 0, play.output
        found: dict[str, Any] = json.loads(destination.read_text())
        return found

    # Files of the control machine.

    @property
    def directory(self) -> Path:
        """Directory of the outputs."""
        return self.aws.directory / "outputs"

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Content of outputs.json."""
        found: dict[str, Any] = json.loads((self.directory / "outputs.json").read_text())
        return found

    @cached_property
    def client_environment(self) -> dict[str, str]:
        """What mlflow.env sets."""
        command = f". {self.directory}/mlflow.env; env"
        lines = subprocess.check_output(["/bin/sh", "-ac", command], text=True).splitlines()
        return dict(line.split("=", 1) for line in lines if line.startswith("MLFLOW_"))

    @cached_property
    def prometheus(self) -> list[dict[str, Any]]:
        """Jobs of prometheus.yml."""
        file = yaml.safe_load((self.directory / "prometheus.yml").read_text())
        jobs: list[dict[str, Any]] = file["scrape_configs"]
        return jobs

    @cached_property
    def cost(self) -> dict[str, float]:
        """What a month costs, in dollars, by what it is for."""
        play = self.play("playbooks/cost.yml")
        assert play.returncode == 0, play.output
        line = re.compile(r"^ *- (\S.*?)  +.*? (\d+\.\d\d)(?:  \S+)?$", re.MULTILINE)
        return {what: float(amount) for what, amount in line.findall(play.output)}

    # Resources of AWS.

    @cached_property
    def vpc(self) -> dict[str, Any]:
        """The network."""
        return self._ec2("describe_vpcs", "Vpcs")

    @cached_property
    def subnets(self) -> dict[str, dict[str, Any]]:
        """Subnets by their short names."""
        ec2 = self.aws.client("ec2")
        found = ec2.describe_subnets(Filters=self._filters)["Subnets"]
        tags = [{tag["Key"]: tag["Value"] for tag in subnet["Tags"]} for subnet in found]
        names = [tag["Name"].removeprefix(f"{NAME}-") for tag in tags]
        return dict(zip(names, found, strict=True))

    @cached_property
    def instance(self) -> dict[str, Any]:
        """The host."""
        [instance] = self._ec2("describe_instances", "Reservations")["Instances"]
        return dict(instance)

    @cached_property
    def volume(self) -> dict[str, Any]:
        """The host's disk."""
        [mapping] = self.instance["BlockDeviceMappings"]
        ec2 = self.aws.client("ec2")
        [volume] = ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
        return dict(volume)

    @cached_property
    def profile(self) -> dict[str, Any]:
        """The host's instance profile."""
        name = self.instance["IamInstanceProfile"]["Arn"].rpartition("/")[2]
        iam = self.aws.client("iam")
        return dict(iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"])

    @cached_property
    def _host_group(self) -> dict[str, Any]:
        names = [{"Name": "group-name", "Values": [f"{NAME}-host"]}]
        [group] = self.aws.client("ec2").describe_security_groups(Filters=names)["SecurityGroups"]
        return dict(group)

    @property
    def host_rules(self) -> dict[int, list[str]]:
        """The networks that can reach the host, by port."""
        rules = self._host_group["IpPermissions"]
        return {
            rule["FromPort"]: sorted(each["CidrIp"] for each in rule["IpRanges"]) for rule in rules
        }

    def egress(self, protocol: str) -> list[int]:
        """Return the ports that the host may reach."""
        rules = self._host_group["IpPermissionsEgress"]
        return sorted({rule["FromPort"] for rule in rules if rule["IpProtocol"] == protocol})

    @cached_property
    def database(self) -> dict[str, Any]:
        """The database instance."""
        rds = self.aws.client("rds")
        [found] = rds.describe_db_instances(DBInstanceIdentifier=f"{NAME}-mlflow")["DBInstances"]
        return dict(found)

    @cached_property
    def function(self) -> dict[str, Any]:
        """Configuration of the metrics function."""
        client = self.aws.client("lambda")
        return dict(client.get_function_configuration(FunctionName=f"{NAME}-mlflow-metrics"))

    def log_group(self, name: str) -> dict[str, Any]:
        """Return a log group."""
        logs = self.aws.client("logs")
        [group] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return dict(group)

    @cached_property
    def stage(self) -> dict[str, Any]:
        """The stage of the metrics endpoint."""
        client = self.aws.client("apigatewayv2")
        [api] = client.get_apis()["Items"]
        [stage] = client.get_stages(ApiId=api["ApiId"])["Items"]
        return dict(stage)

    def secret(self, name: str) -> str:
        """Return a password of the deployment."""
        client = self.aws.client("secretsmanager")
        return str(client.get_secret_value(SecretId=f"{NAME}/{name}")["SecretString"])

    def query(self, statement: str) -> Any:
        """Return the one value that the database answers with."""
        endpoint = self.database["Endpoint"]
        connection = psycopg2.connect(
            host=self.aws.door(endpoint["Address"]),
            port=endpoint["Port"],
            dbname="mlflow",
            user="mlflow_master",
            password=self.secret("database-master"),
            sslmode="require",
        )
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
        connection.close()
        return row[0] if row else None

    # The host.

    @property
    def address(self) -> str:
        """The address of the host."""
        return str(self.outputs["ec2_public_ip"])

    def run(self, command: str) -> str:
        """Return what a command prints that root runs on the host."""
        ssh = [*self.outputs["ssh_command"].split(), "-o", "LogLevel=ERROR"]
        printed = subprocess.check_output([*ssh, f"sudo sh -c '{command}'"], text=True)
        return printed.strip()

    def read(self, path: str) -> str:
        """Return the content of a file of the host."""
        return f"{self.run(f'cat {path}')}\n"

    def property_of(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run(f"systemctl show --property={name} --value {unit}.service")

    def listens(self, address: str) -> bool:
        """Return whether a server listens on an address of the host."""
        return f" {address} " in self.run("ss --no-header --listening --tcp --numeric")

    def _open(self, path: str, authorization: str) -> Any:
        trusted = ssl.create_default_context(cafile=self.directory / "ca.pem")
        request = urllib.request.Request(
            f"{self.outputs['mlflow_tracking_uri']}/{path}",
            headers={"Authorization": authorization},
        )
        return urllib.request.urlopen(request, context=trusted, timeout=60)

    def status(self, user: str, path: str) -> int:
        """Return the status of a GET of MLflow's REST API."""
        password = self.secret("mlflow-admin" if user == "chief" else f"users/{user}")
        login = b64encode(f"{user}:{password}".encode()).decode()
        try:
            with self._open(f"{MLFLOW_API}/{path}", f"Basic {login}") as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def scrape(self, what: str) -> str:
        """Return metrics that the proxy of the host passes on."""
        token = (self.directory / "metrics_token").read_text().strip()
        with self._open(f"-/metrics/{what}", f"Bearer {token}") as response:
            return str(response.read().decode())

    @property
    def _filters(self) -> list[dict[str, Any]]:
        return [{"Name": "tag:Deployment", "Values": [NAME]}]

    def _ec2(self, operation: str, key: str) -> dict[str, Any]:
        [found] = getattr(self.aws.client("ec2"), operation)(Filters=self._filters)[key]
        return dict(found)


def write_inventories(directory: Path) -> None:
    """Write both inventories, copies of inventory/local, and the files that they name."""
    for name, files in {"inventory": ["inventory"], "other": ["inventory", "other"]}.items():
        copy = directory / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(ROOT / "inventory/local", copy)
        aws = copy / "group_vars/all/aws.yml"
        aws.write_text(aws.read_text().replace("\naws_environment:", "\n__aws_environment:"))
        for file in files:
            # The second one has precedence over the first, and both over the project's.
            shutil.copy(HOME / f"{file}.yml", copy / "group_vars/all" / f"settings_{file}.yml")
    shutil.copy(directory / "ca.pem", directory / "another-ca.pem")
    for source, lock in [("bootstrap", "bootstrap"), ("server/3.17.2", "server")]:
        text = (ROOT / f"requirements/{source}.txt").read_text()
        (directory / f"{lock}.txt").write_text(f"# settings\n{text}")
    prices = (ROOT / "playbooks/vars/prices/us-east-1.yml").read_text()
    changed = re.sub(r"(?m)^(\s+address:) [\d.]+", r"\1 10", prices)
    (directory / "prices.yml").write_text(changed)


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    yield from started(LocalAws(ROOT / ".cache/settings", 5580))


@pytest.fixture(scope="session")
def deployment(aws: LocalAws) -> Deployment:
    shutil.rmtree(aws.directory / "outputs", ignore_errors=True)
    write_inventories(aws.directory)
    aws.allow_deployment(NAME)
    found = Deployment(aws)
    created = found.play("site.yml")
    assert created.returncode == 0, created.output
    return found


@pytest.fixture(scope="session")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the expressions of the table are. Nothing of them is deployed."""
    aws = LocalAws(tmp_path_factory.mktemp("settings"), 5580)
    (aws.directory / "ca.pem").touch()
    write_inventories(aws.directory)
    written = Deployment(aws)
    return written.rendered(other=False) | written.rendered(other=True)
