"""Private values of a transcript are replaced, the same value by the same placeholder."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import string
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import botocore.session
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aws_transcript import addresses
from aws_transcript.placeholders import Placeholders
from aws_transcript.scrubbing import Scrubber

if TYPE_CHECKING:
    from botocore.model import Shape

SESSION = botocore.session.get_session()
# Checks of the repository for private keys would find a whole line.
PEM_LINE = "-----{} RSA PRIVATE KEY-----"
# Characters before and after a value in a message, a policy, an ARN or a URL.
AROUND = ["", " ", '"', "'", ":", "/", "=", ",", "(", "[", "\n", "arn:aws:iam::", "ö"]
account_ids = st.text(string.digits, min_size=12, max_size=12)
ids = st.builds(
    "{}-{}".format,
    st.sampled_from(["vpc", "subnet", "sg", "i", "eni", "rtbassoc", "eni-attach", "eipalloc"]),
    st.one_of(
        st.text("0123456789abcdef", min_size=17, max_size=17),
        st.text("0123456789abcdef", min_size=8, max_size=8),
    ),
)
secrets = st.text(
    string.ascii_letters + string.digits + "!#$%&*()_+-=[]{}|;:,.?/@ \"'\\äé中",
    min_size=8,
    max_size=60,
).filter(lambda text: text == text.strip() and len(set(text)) > 3)
public_v4 = st.ip_addresses(v=4).filter(lambda address: address.is_global)
private_v4 = st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]).flatmap(
    lambda network: st.ip_addresses(v=4, network=network)
)
# Without those that are kept, and the range of those that take the place of others.
v6 = st.ip_addresses(v=6).filter(
    lambda address: int(address) > 1 and address not in addresses.PUBLIC[6]
)


def new_scrubber() -> Scrubber:
    return Scrubber(Placeholders(Path(tempfile.mkdtemp(), "placeholders")))


def input_shape(service: str, operation: str) -> Shape | None:
    return SESSION.get_service_model(service).operation_model(operation).input_shape


def output_shape(service: str, operation: str) -> Shape | None:
    return SESSION.get_service_model(service).operation_model(operation).output_shape


@given(account_ids, st.sampled_from(AROUND), st.sampled_from([*AROUND, ":role/x", "-us-east-1"]))
def test_text_with_an_account_id_loses_it(account: str, before: str, after: str) -> None:
    assert account not in new_scrubber().text(f"{before}{account}{after}")


@given(account_ids)
def test_text_with_an_account_id_as_the_console_writes_it_loses_it(account: str) -> None:
    written = f"{account[:4]}-{account[4:8]}-{account[8:]}"

    scrubber = new_scrubber()

    assert scrubber.text(f"account {written}.") == scrubber.text(f"account {account}.")


@given(st.one_of(public_v4, private_v4), st.sampled_from(AROUND), st.sampled_from(AROUND))
def test_text_with_an_ipv4_address_loses_it(
    address: ipaddress.IPv4Address, before: str, after: str
) -> None:
    text = new_scrubber().text(f"{before}{address}{after}")

    assert not re.search(rf"(?<!\d){re.escape(str(address))}(?!\d)", text)


@given(st.one_of(public_v4, private_v4), st.sampled_from(["ip", "ec2"]))
def test_host_name_made_of_an_address_is_replaced(
    address: ipaddress.IPv4Address, prefix: str
) -> None:
    dashed = str(address).replace(".", "-")
    for suffix in (
        "",
        ".ec2.internal",
        ".compute-1.amazonaws.com",
        ".eu-west-1.compute.amazonaws.com",
    ):
        assert dashed not in new_scrubber().text(f"({prefix}-{dashed}{suffix})")


@given(
    v6, st.sampled_from(AROUND), st.sampled_from(["", " ", '"', ",", ")", "]", "\n", ".", "/64"])
)
def test_text_with_an_ipv6_address_loses_it(
    address: ipaddress.IPv6Address, before: str, after: str
) -> None:
    # In "iam::aws" two colons are not the beginning of an address.
    assume(before[-1:] in string.punctuation.replace(":", " \n") or str(address)[0] != ":")
    for written in (str(address), address.exploded, str(address).upper()):
        assert written not in new_scrubber().text(f"{before}{written}{after}")


@given(ids, st.sampled_from(AROUND), st.sampled_from(AROUND))
def test_text_with_a_resource_id_loses_it(identifier: str, before: str, after: str) -> None:
    # Between letters and digits it is a part of a longer word.
    assume(not before[-1:].isalnum())
    assume(not after[:1].isalnum())

    assert identifier not in new_scrubber().text(f"{before}{identifier}{after}")


@given(secrets, st.text(max_size=20), st.text(max_size=20))
def test_secret_in_later_calls_is_replaced(secret: str, before: str, after: str) -> None:
    scrubber = new_scrubber()
    scrubber.clean(
        {"Name": "a", "SecretString": secret}, input_shape("secretsmanager", "CreateSecret")
    )

    cleaned = scrubber.clean({"Description": f"{before}{secret}{after}"})

    assert secret not in cleaned["Description"]


@given(secrets)
def test_secret_in_another_member_before_it_is_named_is_replaced(secret: str) -> None:
    cleaned = new_scrubber().clean({"Description": f"use {secret}", "MasterUserPassword": secret})

    assert secret not in cleaned["Description"]
    assert secret not in cleaned["MasterUserPassword"]


@given(secrets)
def test_secret_in_another_notation_is_replaced(secret: str) -> None:
    scrubber = new_scrubber()
    scrubber.learn(secret)

    for written in (
        json.dumps({"a": secret}),
        f"https://x/?a={quote(secret, safe='')}&b",
        base64.b64encode(secret.encode()).decode(),
    ):
        cleaned = scrubber.text(written)
        assert json.dumps(secret)[1:-1] not in cleaned
        assert quote(secret, safe="") not in cleaned
        assert base64.b64encode(secret.encode()).decode().rstrip("=") not in cleaned


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("secretsmanager", "PutSecretValue", {"SecretId": "a", "SecretString": "hidden one"}),
        ("secretsmanager", "CreateSecret", {"Name": "a", "SecretBinary": b"hidden one"}),
        ("rds", "CreateDBInstance", {"MasterUserPassword": "hidden one"}),
        ("ec2", "RunInstances", {"UserData": "hidden one"}),
        ("ec2", "ModifyInstanceAttribute", {"UserData": {"Value": "hidden one"}}),
        ("lambda", "CreateFunction", {"Environment": {"Variables": {"A": "hidden one"}}}),
        ("lambda", "UpdateFunctionCode", {"ZipFile": b"hidden one"}),
        ("iam", "CreateLoginProfile", {"UserName": "a", "Password": "hidden one"}),
        ("rds", "CreateDBInstance", {"Tags": [{"Key": "password", "Value": "hidden one"}]}),
        ("iam", "PutRolePolicy", {"PolicyDocument": '{"password": "hidden one"}'}),
        ("lambda", "TagResource", {"Tags": {"api_key": "hidden one"}}),
    ],
)
def test_secret_member_of_a_request_is_replaced(
    scrubber: Scrubber, service: str, operation: str, parameters: dict[str, Any]
) -> None:
    cleaned = scrubber.clean(parameters, input_shape(service, operation))

    assert "hidden" not in json.dumps(cleaned)


@pytest.mark.parametrize(
    ("service", "operation", "answer"),
    [
        (
            "sts",
            "AssumeRole",
            {"Credentials": {"SecretAccessKey": "hidden", "SessionToken": "hidden"}},
        ),
        ("ec2", "CreateKeyPair", {"KeyMaterial": "hidden"}),
        ("ec2", "DescribeInstanceAttribute", {"UserData": {"Value": "hidden"}}),
        ("secretsmanager", "GetSecretValue", {"SecretString": "hidden"}),
        ("secretsmanager", "GetRandomPassword", {"RandomPassword": "hidden"}),
    ],
)
def test_secret_member_of_an_answer_is_replaced(
    scrubber: Scrubber, service: str, operation: str, answer: dict[str, Any]
) -> None:
    assert "hidden" not in json.dumps(scrubber.clean(answer, output_shape(service, operation)))


@pytest.mark.parametrize(
    "text",
    [
        PEM_LINE.format("BEGIN") + "\nhidden\nhidden=\n" + PEM_LINE.format("END"),
        "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=A&X-Amz-Signature=hidden&X-Amz-Date=1",
        "https://awslambda-code.s3.eu-west-1.amazonaws.com/x?versionId=1&X-Amz-Credential=hidden%2F",
        "You are not authorized. Encoded authorization failure message: hidden-_hidden",
        'login failed: password="hidden"',
        "Authorization: Bearer hidden",
        "somebody.hidden@example.com",
        "demo.hidden1x2y.eu-west-1.rds.amazonaws.com",
        "https://hidden.execute-api.us-east-1.amazonaws.com/metrics",
        "AKIAHIDDENhidden".upper() + "0000",
    ],
)
def test_text_with_something_private_loses_it(scrubber: Scrubber, text: str) -> None:
    assert "hidden" not in scrubber.text(text).lower()


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:s3:::bucket/*",
        "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
        "secretsmanager:GetSecretValue",
        "ec2.amazonaws.com",
        "monitoring.rds.amazonaws.com",
        "com.amazonaws.us-east-1.s3",
        "0.0.0.0/0",
        "::/0",
        "sun:05:00-sun:06:00",
        "17.6",
        "2026-11-28T14:06:12+00:00",
        "The security token included in the request is expired",
        "Secrets Manager can't find the specified secret.",
        "required",
    ],
)
def test_text_with_nothing_private_is_unchanged(scrubber: Scrubber, text: str) -> None:
    assert scrubber.text(text) == text


def test_members_about_secrets_are_kept(scrubber: Scrubber) -> None:
    parameters = {"SecretId": "demo/database", "RecoveryWindowInDays": 7}
    metadata = {"MetadataOptions": {"HttpTokens": "required"}}

    assert scrubber.clean(parameters, input_shape("secretsmanager", "DeleteSecret")) == parameters
    assert scrubber.clean(metadata, input_shape("ec2", "RunInstances")) == metadata


@given(st.lists(st.one_of(ids, account_ids), min_size=1, max_size=8))
def test_equal_values_get_equal_placeholders(values: list[str]) -> None:
    scrubber = new_scrubber()

    cleaned = [scrubber.text(value) for value in values + values]

    assert cleaned[: len(values)] == cleaned[len(values) :]
    assert len(set(cleaned)) == len(set(values))


def test_secret_in_another_notation_has_the_same_placeholder(scrubber: Scrubber) -> None:
    name = scrubber.learn('say "hello"')

    assert scrubber.text('{"a": "say \\"hello\\""}') == f'{{"a": "{name}"}}'
    assert scrubber.text("?a=say%20%22hello%22") == f"?a={name}"
    assert scrubber.learn("another one") == "<secret-2>"


def test_id_without_a_form_is_replaced_in_texts(scrubber: Scrubber) -> None:
    answer = {"ApiEndpoint": "https://example.com/jdocmdzoab/", "ApiId": "jdocmdzoab"}

    cleaned = scrubber.clean(answer, output_shape("apigatewayv2", "GetApi"))

    assert cleaned == {"ApiEndpoint": "https://example.com/<id-1>/", "ApiId": "<id-1>"}
    assert scrubber.text("arn:aws:execute-api:us-east-1:1:jdocmdzoab/*") == (
        "arn:aws:execute-api:us-east-1:1:<id-1>/*"
    )
    assert scrubber.clean({"Password": "correct horse"}) == {"Password": "<secret-1>"}


def test_placeholders_number_values_in_their_order(scrubber: Scrubber) -> None:
    first, second = "vpc-0123456789abcdef0", "vpc-0123456789abcdef1"

    assert scrubber.text(f"{first} {second} {first}") == "<vpc-1> <vpc-2> <vpc-1>"


def test_processes_of_a_run_share_placeholders(tmp_path: Path) -> None:
    one, other = (Scrubber(Placeholders(tmp_path / "shared")) for _ in range(2))

    one.clean({"Password": "correct horse"})
    name = one.text("vpc-0123456789abcdef0")

    assert "horse" not in other.text("my correct horse is here")
    assert other.text("vpc-0123456789abcdef1") != name
    assert other.text("vpc-0123456789abcdef0") == name


def test_placeholders_file_holds_no_value(tmp_path: Path) -> None:
    scrubber = Scrubber(Placeholders(tmp_path / "file"))

    scrubber.clean({"Password": "correct horse", "Owner": "123456789012"})

    assert "horse" not in (tmp_path / "file").read_text()
    assert "123456789012" not in (tmp_path / "file").read_text()
    assert (tmp_path / "file").stat().st_mode & 0o077 == 0


@given(
    st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
    st.integers(min_value=0),
    st.integers(16, 28),
    st.integers(1, 4),
)
def test_replaced_network_contains_its_replaced_subnets(
    private: str, number: int, length: int, longer: int
) -> None:
    placeholders = Placeholders(Path(tempfile.mkdtemp(), "placeholders"))
    space = ipaddress.IPv4Network(private)
    length = max(length, space.prefixlen + 1)
    first = int(space[0]) + (number % 2 ** (length - space.prefixlen) << (32 - length))
    network = ipaddress.IPv4Network((first, length))
    subnet = ipaddress.IPv4Network((first, length + longer))
    host = subnet[-1]

    new_network, new_subnet = (
        ipaddress.IPv4Network(addresses.replaced(placeholders, str(net[0]), f"/{net.prefixlen}"))
        for net in (network, subnet)
    )
    new_host = ipaddress.IPv4Address(addresses.replaced(placeholders, str(host)))

    assert new_network != network
    assert new_network.subnet_of(space)
    assert new_subnet.subnet_of(new_network)
    assert new_host in new_subnet
