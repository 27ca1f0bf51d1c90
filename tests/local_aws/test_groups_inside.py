"""Security groups are in force between the members of a network, and between it and the rest."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws.machine.podman import Podman
from local_aws.settings import Settings
from tests.functions import archive
from tests.local_aws.conftest import create_function_role, wait_for_function
from tests.local_aws.ec2_hosts import IMAGE, wait_until
from tests.members import Member, find, router

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

CIDR, ELSEWHERE = "10.219.0.0/16", "10.220.0.0/16"
POSTGRESQL, WEB, OTHER = 5432, 8000, 8001
# Widest range of a rule, for the test's own networks, which only this machine reaches.
EVERYWHERE = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
ALL = {"IpProtocol": "-1", **EVERYWHERE}
# A UDP service that returns what it gets, from another port when it is asked to.
ECHO = """
import socket
service, stranger = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
service.bind(("", 8000))
while True:
    text, client = service.recvfrom(99)
    (stranger if text == b"stranger" else service).sendto(text, client)
"""
UDP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.settimeout(float(sys.argv[4]))
    for _ in range(2):
        probe.sendto(sys.argv[3].encode(), (sys.argv[1], int(sys.argv[2])))
    try:
        print(probe.recv(99).decode())
    except TimeoutError:
        print("silence")
"""
PING = """
import select, socket, struct, sys
def checksum(data):
    total = sum(struct.unpack("!4H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as probe:
    head = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
    probe.sendto(struct.pack("!BBHHH", 8, 0, checksum(head), 7, 1), (sys.argv[1], 0))
    answered = False
    while not answered and select.select([probe], [], [], float(sys.argv[2]))[0]:
        answered = probe.recv(99)[20] == 0
    print("answer" if answered else "silence")
"""


def serve(member: Member, port: int) -> None:
    """Let a member answer HTTP on a port."""
    server = ("python3", "-m", "http.server", str(port))
    member.podman.run("exec", "--detach", "--workdir=/tmp", member.container, *server)
    wait_until(lambda: member.reaches("127.0.0.1", port))


@dataclass(frozen=True)
class Cast:
    """A network with a member of each kind, whose groups let everything out and nothing in."""

    aws: LocalAws
    vpc: str
    subnets: list[str]
    groups: dict[str, str]
    host: Member
    peer: Member
    database: Member
    function: Member

    @contextlib.contextmanager
    def opened(
        self, group: str, rule: dict[str, Any], direction: str = "ingress"
    ) -> Iterator[None]:
        """Add a rule to a group for a while."""
        ec2 = self.aws.client("ec2")
        name = f"authorize_security_group_{direction}"
        getattr(ec2, name)(GroupId=self.groups[group], IpPermissions=[rule])
        yield
        name = f"revoke_security_group_{direction}"
        getattr(ec2, name)(GroupId=self.groups[group], IpPermissions=[rule])

    @contextlib.contextmanager
    def let_out_only(self, group: str, *rules: dict[str, Any]) -> Iterator[None]:
        """Replace a group's outgoing rules for a while."""
        ec2, identifier = self.aws.client("ec2"), self.groups[group]
        ec2.revoke_security_group_egress(GroupId=identifier, IpPermissions=[ALL])
        if rules:
            ec2.authorize_security_group_egress(GroupId=identifier, IpPermissions=list(rules))
        yield
        if rules:
            ec2.revoke_security_group_egress(GroupId=identifier, IpPermissions=list(rules))
        ec2.authorize_security_group_egress(GroupId=identifier, IpPermissions=[ALL])

    def from_group(self, group: str, port: int, protocol: str = "tcp") -> dict[str, Any]:
        """Return a rule for the members of a group."""
        return from_group(self.groups[group], port, protocol)


def from_group(group_id: str, port: int, protocol: str = "tcp") -> dict[str, Any]:
    return {
        "IpProtocol": protocol,
        "FromPort": port,
        "ToPort": port,
        "UserIdGroupPairs": [{"GroupId": group_id}],
    }


def from_range(cidr: str, port: int, protocol: str = "tcp") -> dict[str, Any]:
    return {
        "IpProtocol": protocol,
        "FromPort": port,
        "ToPort": port,
        "IpRanges": [{"CidrIp": cidr}],
    }


@pytest.fixture(scope="module")
def podman(aws: LocalAws) -> Podman:
    return Podman(Settings(data_dir=aws.directory))


@pytest.fixture(scope="module")
def cast(aws: LocalAws, podman: Podman) -> Iterator[Cast]:
    ec2, rds, functions = (aws.client(name) for name in ("ec2", "rds", "lambda"))
    vpc = ec2.create_vpc(CidrBlock=CIDR)["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in (("10.219.1.0/24", "us-east-1a"), ("10.219.2.0/24", "us-east-1b"))
    ]
    groups = {
        name: ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("host", "database", "function", "spare")
    }
    rds.create_db_subnet_group(
        DBSubnetGroupName="inside", DBSubnetGroupDescription="inside", SubnetIds=subnets
    )
    rds.create_db_instance(
        DBInstanceIdentifier="inside",
        Engine="postgres",
        DBInstanceClass="db.t3.micro",
        AllocatedStorage=20,
        MasterUsername="master",
        MasterUserPassword="inside-password",
        DBSubnetGroupName="inside",
        VpcSecurityGroupIds=[groups["database"]],
    )
    launched = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.small",
        MinCount=2,
        MaxCount=2,
        NetworkInterfaces=[
            {
                "DeviceIndex": 0,
                "SubnetId": subnets[0],
                "Groups": [groups["host"]],
                "AssociatePublicIpAddress": True,
            }
        ],
    )["Instances"]
    ids = [instance["InstanceId"] for instance in launched]
    functions.create_function(
        FunctionName="inside",
        Runtime="python3.13",
        Handler="code.handler",
        Role=create_function_role(aws, "inside"),
        Code={"ZipFile": archive("def handler(event, context): return event\n")},
        VpcConfig={"SubnetIds": subnets, "SecurityGroupIds": [groups["function"]]},
    )
    wait_for_function(functions, "inside")
    functions.invoke(FunctionName="inside", Payload=b"1")

    def database() -> dict[str, Any]:
        [found] = rds.describe_db_instances(DBInstanceIdentifier="inside")["DBInstances"]
        return dict(found)

    def running() -> bool:
        [found] = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return all(instance["State"]["Name"] == "running" for instance in found["Instances"])

    wait_until(running)
    wait_until(lambda: database()["DBInstanceStatus"] == "available")

    yield Cast(
        aws,
        vpc,
        subnets,
        groups,
        *(find(podman, prefix) for prefix in (*ids, "rds-inside-", "lambda-inside-")),
    )
    functions.delete_function(FunctionName="inside")
    ec2.terminate_instances(InstanceIds=ids)
    rds.delete_db_instance(DBInstanceIdentifier="inside", SkipFinalSnapshot=True)
    gone = rds.get_waiter("db_instance_deleted")
    gone.wait(DBInstanceIdentifier="inside", WaiterConfig={"Delay": 1})
    rds.delete_db_subnet_group(DBSubnetGroupName="inside")


def test_host_reaches_the_database_only_as_both_groups_allow(cast: Cast) -> None:
    address = cast.database.address
    assert cast.host.gets_nothing(address, POSTGRESQL)
    with cast.opened("database", cast.from_group("host", POSTGRESQL)):
        assert cast.host.reaches(address, POSTGRESQL)
        assert cast.function.gets_nothing(address, POSTGRESQL)
        with cast.let_out_only("host", from_range(CIDR, WEB)):
            assert cast.host.gets_nothing(address, POSTGRESQL)
        with cast.let_out_only("host", cast.from_group("database", POSTGRESQL)):
            assert cast.host.reaches(address, POSTGRESQL)
    assert cast.host.gets_nothing(address, POSTGRESQL)


def test_function_reaches_the_database_only_by_its_rule(cast: Cast) -> None:
    address = cast.database.address
    assert cast.function.gets_nothing(address, POSTGRESQL)
    with cast.opened("database", cast.from_group("function", POSTGRESQL)):
        assert cast.function.reaches(address, POSTGRESQL)
        assert cast.host.gets_nothing(address, POSTGRESQL)


def test_database_reaches_nobody_without_a_rule(cast: Cast) -> None:
    serve(cast.host, WEB)
    serve(cast.function, WEB)
    assert cast.database.gets_nothing(cast.host.address, WEB)
    assert cast.database.gets_nothing(cast.function.address, WEB)
    with cast.opened("host", cast.from_group("database", WEB)):
        assert cast.database.reaches(cast.host.address, WEB)
        with cast.let_out_only("database"):
            assert cast.database.gets_nothing(cast.host.address, WEB)


def test_host_and_function_reach_each_other_only_by_rules(cast: Cast) -> None:
    serve(cast.host, OTHER)
    serve(cast.function, OTHER)
    assert cast.function.gets_nothing(cast.host.address, OTHER)
    assert cast.host.gets_nothing(cast.function.address, OTHER)
    with cast.opened("host", cast.from_group("function", OTHER)):
        assert cast.function.reaches(cast.host.address, OTHER)
        assert cast.function.gets_nothing(cast.host.address, 22)
        assert cast.host.gets_nothing(cast.function.address, OTHER)
    with cast.opened("function", cast.from_group("host", OTHER)):
        assert cast.host.reaches(cast.function.address, OTHER)


def test_group_that_names_itself_admits_its_members_only(cast: Cast) -> None:
    assert cast.host.gets_nothing(cast.peer.address, 22)
    with cast.opened("host", cast.from_group("host", 22)):
        assert cast.host.reaches(cast.peer.address, 22)
        assert cast.peer.reaches(cast.host.address, 22)
        assert cast.function.gets_nothing(cast.host.address, 22)


def test_revoked_rule_leaves_open_connections_alone(cast: Cast) -> None:
    script = (
        "import socket, sys\n"
        "open_one = socket.create_connection((sys.argv[1], 22), 5)\n"
        "open_one.recv(99)\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "open_one.sendall(b'SSH-2.0-test\\r\\n')\n"
        "print(len(open_one.recv(9)), flush=True)\n"
    )
    address = cast.peer.address
    with cast.opened("host", cast.from_group("host", 22)):
        session = cast.host.podman.popen(
            *("exec", "--interactive", cast.host.container, "python3", "-c", script, address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert session.stdout
        assert session.stdout.readline() == "open\n"
    assert cast.host.gets_nothing(address, 22)
    assert session.communicate("go on\n", timeout=20)[0] == "9\n"


def test_datagrams_pass_by_rule_and_answers_come_from_whom_they_were_sent_to(cast: Cast) -> None:
    podman = cast.host.podman
    podman.run("exec", "--detach", cast.peer.container, "python3", "-c", ECHO)

    def answer(text: str, seconds: float = 5) -> str:
        return cast.host.python(UDP, cast.peer.address, str(WEB), text, str(seconds))

    assert answer("hello", 1) == "silence"
    with cast.opened("host", cast.from_group("host", WEB, "udp")):
        assert answer("hello") == "hello"
        # From a port that nobody has asked.
        assert answer("stranger", 1) == "silence"
    assert answer("hello", 1) == "silence"


def test_pings_pass_by_rule(cast: Cast) -> None:
    rule = {
        "IpProtocol": "icmp",
        "FromPort": 8,
        "ToPort": -1,
        "IpRanges": [{"CidrIp": f"{cast.host.address}/32"}],
    }
    address = cast.peer.address
    assert cast.host.python(PING, address, "1") == "silence"
    with cast.opened("host", rule):
        assert cast.host.python(PING, address, "5") == "answer"
        assert cast.peer.python(PING, cast.host.address, "1") == "silence"


def test_protocols_by_number_and_all_of_them_are_in_force(cast: Cast) -> None:
    address = cast.peer.address
    with cast.opened("host", cast.from_group("host", 22, "6")):
        assert cast.host.reaches(address, 22)
        assert cast.host.python(PING, address, "1") == "silence"
    everything = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": cast.groups["host"]}]}
    with cast.opened("host", everything):
        assert cast.host.reaches(address, 22)
        assert cast.host.python(PING, address, "5") == "answer"


def test_prefix_list_admits_its_entries(cast: Cast) -> None:
    ec2 = cast.aws.client("ec2")
    entry = {"Cidr": f"{cast.host.address}/32"}
    listed = ec2.create_managed_prefix_list(
        PrefixListName="hosts", MaxEntries=5, AddressFamily="IPv4", Entries=[entry]
    )["PrefixList"]
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "PrefixListIds": [{"PrefixListId": listed["PrefixListId"]}],
    }
    with cast.opened("host", rule):
        assert cast.host.reaches(cast.peer.address, 22)
        assert cast.peer.gets_nothing(cast.host.address, 22)
        ec2.modify_managed_prefix_list(
            PrefixListId=listed["PrefixListId"], CurrentVersion=1, RemoveEntries=[entry]
        )
        assert cast.host.gets_nothing(cast.peer.address, 22)


def test_neighbours_do_not_find_each_other_by_ipv6(cast: Cast) -> None:
    link_local = cast.peer.run("ip", "-6", "-o", "addr", "show", "scope", "link").stdout.split()
    address = next(word for word in link_local if word.startswith("fe80")).partition("/")[0]
    script = (
        "import socket, sys\n"
        "where = socket.getaddrinfo(sys.argv[1], 22, type=socket.SOCK_STREAM)[0]\n"
        "with socket.socket(where[0], where[1]) as probe:\n"
        "    probe.settimeout(1)\n"
        "    print(probe.connect_ex(where[4]))\n"
    )
    assert cast.host.python(script, f"{address}%eth0") != "0"


@pytest.mark.parametrize("name", ["host", "database", "function"])
def test_control_machine_reaches_no_private_address(cast: Cast, name: str) -> None:
    member: Member = getattr(cast, name)
    everybody = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    port = {"host": 22, "database": POSTGRESQL, "function": WEB}[name]
    with (
        cast.opened(name, everybody),
        pytest.raises(OSError, check=lambda error: error.errno == errno.ENETUNREACH),
    ):
        socket.create_connection((member.address, port), timeout=5)


def test_door_leads_to_one_port_of_one_address(cast: Cast) -> None:
    address = cast.aws.door(cast.database.address, POSTGRESQL)
    with socket.create_connection((address, POSTGRESQL), timeout=5):
        pass
    # A door stays when rules change.
    with cast.opened("database", cast.from_group("host", POSTGRESQL)):
        socket.create_connection((address, POSTGRESQL), timeout=5).close()
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection((cast.host.address, 22), timeout=5)


def test_door_of_a_local_aws_without_networks_is_refused(
    cast: Cast, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = type(cast.aws)(tmp_path_factory.mktemp("other"), cast.aws.port)
    done = other.command("door", "10.219.1.4", "22")
    assert done.returncode == 1
    assert "has no network" in done.stderr


@pytest.fixture(scope="module")
def outside(podman: Podman) -> Iterator[Member]:
    """A web server on this machine that is in no network of local AWS's."""
    image = podman.run("images", "--format={{.Repository}}:{{.Tag}}").stdout.split()
    chosen = next(name for name in image if "local-aws/debian-13:" in name)
    podman.run(
        *(
            "run",
            "--detach",
            "--rm",
            "--name=outside",
            "--network=podman",
            f"--label={podman.label}",
        ),
        *(chosen, "python3", "-m", "http.server", str(WEB)),
    )
    address = podman.run(
        "container", "inspect", "--format={{.NetworkSettings.IPAddress}}", "outside"
    ).stdout.strip()
    found = Member(podman, "outside", address)
    wait_until(lambda: found.reaches("127.0.0.1", WEB))
    yield found
    podman.run("rm", "--force", "--time=0", "outside")


def test_outgoing_rules_are_in_force_to_the_outside(cast: Cast, outside: Member) -> None:
    assert cast.host.reaches(outside.address, WEB)
    with cast.let_out_only("host", from_range(f"{outside.address}/32", OTHER)):
        assert cast.host.gets_nothing(outside.address, WEB)
    with cast.let_out_only("host", from_range(f"{outside.address}/32", WEB)):
        assert cast.host.reaches(outside.address, WEB)


def test_outgoing_rules_are_in_force_to_this_machine(cast: Cast) -> None:
    gateway = router(CIDR)
    with socket.create_server((gateway, 0)) as server:
        port = server.getsockname()[1]
        assert cast.host.reaches(gateway, port)
        with cast.let_out_only("host", from_range(CIDR, WEB)):
            assert cast.host.gets_nothing(gateway, port)


def test_nobody_outside_reaches_a_private_address(cast: Cast, outside: Member) -> None:
    everybody = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    with cast.opened("host", everybody):
        assert not outside.reaches(cast.host.address, 22, 1)


def test_calls_to_aws_follow_the_outgoing_rules(cast: Cast) -> None:
    url = f"https://127.0.0.1:{cast.aws.port}/_local/health"
    ask = ("curl", "--silent", "--max-time", "5", "--output", "/dev/null", url)
    assert cast.host.run(*ask).returncode == 0
    with cast.let_out_only("host", from_range(CIDR, 443)):
        assert cast.host.run(*ask).returncode != 0
    with cast.let_out_only("host", from_range("0.0.0.0/0", 443)):
        assert cast.host.run(*ask).returncode == 0


def test_group_of_another_network_is_refused(cast: Cast) -> None:
    ec2 = cast.aws.client("ec2")
    other = ec2.create_vpc(CidrBlock=ELSEWHERE)["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="host", Description="other", VpcId=other)["GroupId"]
    for direction in ("ingress", "egress"):
        add = getattr(ec2, f"authorize_security_group_{direction}")
        with pytest.raises(ClientError, match="belong to different networks") as refusal:
            add(GroupId=cast.groups["spare"], IpPermissions=[from_group(group, 22)])
        assert refusal.value.response["Error"]["Code"] == "InvalidGroup.NotFound"
    [found] = ec2.describe_security_groups(GroupIds=[cast.groups["spare"]])["SecurityGroups"]
    assert (found["IpPermissions"], len(found["IpPermissionsEgress"])) == ([], 1)


def test_network_with_the_same_range_changes_nothing(cast: Cast) -> None:
    ec2 = cast.aws.client("ec2")
    twin = ec2.create_vpc(CidrBlock=CIDR)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=twin, CidrBlock="10.219.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="twin", Description="twin", VpcId=twin)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ALL])
    interface = ec2.create_network_interface(
        SubnetId=subnet, PrivateIpAddress=cast.peer.address, Groups=[group]
    )["NetworkInterface"]["NetworkInterfaceId"]

    passed = not cast.host.gets_nothing(cast.peer.address, 22)
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=twin)

    assert not passed


def test_other_groups_of_running_members_are_in_force_at_once(cast: Cast) -> None:
    ec2, rds, functions = (cast.aws.client(name) for name in ("ec2", "rds", "lambda"))
    host, spare = cast.groups["host"], cast.groups["spare"]
    address = cast.database.address
    with cast.opened("spare", cast.from_group("spare", POSTGRESQL)):
        rds.modify_db_instance(
            DBInstanceIdentifier="inside", VpcSecurityGroupIds=[spare], ApplyImmediately=True
        )
        assert cast.host.gets_nothing(address, POSTGRESQL)
        ec2.modify_instance_attribute(InstanceId=cast.host.container, Groups=[host, spare])
        assert cast.host.reaches(address, POSTGRESQL)
        assert cast.peer.gets_nothing(address, POSTGRESQL)
        functions.update_function_configuration(
            FunctionName="inside",
            Handler="code.handler",
            VpcConfig={"SubnetIds": cast.subnets, "SecurityGroupIds": [spare]},
        )
        wait_for_function(functions, "inside")
        functions.update_function_code(
            FunctionName="inside",
            ZipFile=archive(
                "import json, socket\n"
                "def handler(event, context):\n"
                "    socket.create_connection(event, 5).close()\n"
                "    return 'reached'\n"
            ),
        )
        wait_for_function(functions, "inside")
        event = json.dumps([address, POSTGRESQL]).encode()
        answer = functions.invoke(FunctionName="inside", Payload=event)["Payload"].read()
        assert json.loads(answer) == "reached"
        ec2.modify_instance_attribute(InstanceId=cast.host.container, Groups=[host])
        assert cast.host.gets_nothing(address, POSTGRESQL)
    wait_until(
        lambda: rds.describe_db_instances()["DBInstances"][0]["DBInstanceStatus"] == "available"
    )


def test_rule_for_a_group_can_be_changed_to_another_group_and_to_nothing_else(cast: Cast) -> None:
    ec2 = cast.aws.client("ec2")
    [rule] = ec2.authorize_security_group_ingress(
        GroupId=cast.groups["host"], IpPermissions=[cast.from_group("function", 22)]
    )["SecurityGroupRules"]
    identifier = rule["SecurityGroupRuleId"]

    def change(**source: str) -> None:
        wanted = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **source}
        ec2.modify_security_group_rules(
            GroupId=cast.groups["host"],
            SecurityGroupRules=[{"SecurityGroupRuleId": identifier, "SecurityGroupRule": wanted}],
        )

    assert cast.host.gets_nothing(cast.peer.address, 22)
    change(ReferencedGroupId=cast.groups["host"])
    assert cast.host.reaches(cast.peer.address, 22)
    with pytest.raises(ClientError, match="rule type") as refusal:
        change(CidrIpv4=CIDR)
    ec2.revoke_security_group_ingress(
        GroupId=cast.groups["host"], SecurityGroupRuleIds=[identifier]
    )
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterValue"
    assert cast.host.gets_nothing(cast.peer.address, 22)
