from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.secretsmanager import (
    PUNCTUATION,
    character_classes,
    generate_password,
    same_key,
)
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from .conftest import RunModule, RunTasks

MODULE = "secretsmanager_password"
INFO = "secretsmanager_password_info"
NAME = "unit/database-master"


@pytest.fixture
def client(aws: str) -> Any:
    assert aws
    return boto3.client("secretsmanager")


def current_text(client: Any) -> str:
    text: str = client.get_secret_value(SecretId=NAME)["SecretString"]
    return text


@given(
    length=st.integers(min_value=8, max_value=200),
    punctuation=st.booleans(),
    exclude=st.text(alphabet=string.ascii_lowercase + PUNCTUATION + "0Ol1", max_size=30),
)
def test_password_has_its_length_each_class_and_nothing_excluded(
    *, length: int, punctuation: bool, exclude: str
) -> None:
    classes = character_classes(punctuation=punctuation, exclude=exclude)
    password = generate_password(length, classes)
    assert len(password) == length
    assert not set(password) & set(exclude)
    assert all(set(password) & set(members) for members in classes)
    assert set(password) <= set("".join(classes))


def test_password_has_only_characters_that_rds_and_urls_accept() -> None:
    assert not set("".join(character_classes(punctuation=True, exclude=""))) & set("@/\"'`\\ ")


@pytest.mark.parametrize(
    ("wanted", "current", "same"),
    [
        ("alias/aws/secretsmanager", None, True),
        ("alias/mine", None, False),
        ("alias/mine", "arn:aws:kms:us-east-1:123456789012:alias/mine", True),
        ("1234", "arn:aws:kms:us-east-1:123456789012:key/1234", True),
        ("1234", "arn:aws:kms:us-east-1:123456789012:key/5678", False),
    ],
)
def test_key_is_the_same_by_id_alias_and_arn(
    *, wanted: str, current: str | None, same: bool
) -> None:
    assert same_key(wanted, current) is same


def test_password_is_generated_once(client: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, name=NAME, length=40, tags={"Deployment": "unit"})
    second = run_module(MODULE, name=NAME, length=12, tags={"Deployment": "unit"})
    assert first["changed"]
    assert not second["changed"]
    assert len(first["value"]) == 40
    assert first["value"].isalnum()
    assert first["value"] == second["value"] == current_text(client)
    assert first["secret"] == second["secret"]
    assert first["secret"]["tags"] == {"Deployment": "unit"}


def test_check_mode_creates_nothing_and_has_a_placeholder(
    client: Any, run_module: RunModule
) -> None:
    planned = run_module(MODULE, name=NAME, length=20, check=True)
    assert planned["changed"]
    assert planned["value"] == "planned0000000000000"
    assert client.list_secrets()["SecretList"] == []


def test_check_mode_predicts_the_difference(client: Any, run_module: RunModule) -> None:
    run_module(MODULE, name=NAME, tags={"a": "1", "b": "2"})
    wanted: dict[str, Any] = {
        "name": NAME,
        "tags": {"a": "3"},
        "description": "new",
        "kms_key_id": "alias/k",
    }
    planned = run_module(MODULE, check=True, **wanted)
    assert client.describe_secret(SecretId=NAME).get("Description") is None
    made = run_module(MODULE, **wanted)
    assert planned["diff"] == made["diff"]
    assert planned["value"] == made["value"]
    assert made["secret"]["kms_key_id"] == "alias/k"
    assert not run_module(MODULE, **wanted)["changed"]


def test_parameters_that_are_not_set_stay_unchanged(run_module: RunModule) -> None:
    run_module(MODULE, name=NAME, tags={"a": "1"}, description="kept", kms_key_id="alias/k")
    assert not run_module(MODULE, name=NAME)["changed"]
    added = run_module(MODULE, name=NAME, tags={"b": "2"}, purge_tags=False)
    assert added["secret"]["tags"] == {"a": "1", "b": "2"}


def test_tags_changed_by_hand_are_restored(client: Any, run_module: RunModule) -> None:
    run_module(MODULE, name=NAME, tags={"a": "1"})
    client.tag_resource(SecretId=NAME, Tags=[{"Key": "a", "Value": "x"}, {"Key": "z", "Value": ""}])
    repaired = run_module(MODULE, name=NAME, tags={"a": "1"})
    assert repaired["changed"]
    assert repaired["secret"]["tags"] == {"a": "1"}


def test_rotation_gives_another_value_and_keeps_the_one_before(
    client: Any, run_module: RunModule
) -> None:
    first = run_module(MODULE, name=NAME)
    assert run_module(MODULE, name=NAME, rotate=True, check=True)["changed"]
    assert current_text(client) == first["value"]
    second = run_module(MODULE, name=NAME, rotate=True)
    assert second["changed"]
    assert second["value"] == current_text(client) != first["value"]
    previous = client.get_secret_value(SecretId=NAME, VersionStage="AWSPREVIOUS")
    assert previous["SecretString"] == first["value"]


def test_fernet_key_is_generated_once(client: Any, run_module: RunModule) -> None:
    planned = run_module(MODULE, name=NAME, format="fernet", check=True)
    first = run_module(MODULE, name=NAME, format="fernet")
    second = run_module(MODULE, name=NAME, format="fernet")

    assert first["value"] == second["value"] == current_text(client)
    assert not second["changed"]
    for key in (planned["value"], first["value"]):
        assert Fernet(key).decrypt(Fernet(key).encrypt(b"text")) == b"text"


def test_ssh_key_is_generated_once(client: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, name=NAME, format="ssh-ed25519")
    second = run_module(MODULE, name=NAME, format="ssh-ed25519")

    assert first["value"] == second["value"] == current_text(client)
    assert not second["changed"]
    key = load_ssh_private_key(first["value"].encode(), password=None)
    assert isinstance(key, Ed25519PrivateKey)


def test_initial_text_is_for_a_new_secret_only(client: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, name=NAME, initial="from-an-older-release")
    second = run_module(MODULE, name=NAME, initial="another")

    assert first["value"] == second["value"] == "from-an-older-release" == current_text(client)
    assert (first["changed"], second["changed"]) == (True, False)


@pytest.mark.parametrize("kind", ["password", "fernet"])
def test_rotation_that_keeps_previous_values_adds_one_before_them(
    client: Any, run_module: RunModule, kind: str
) -> None:
    rotate: dict[str, Any] = {"name": NAME, "format": kind, "rotate": True, "keep_previous": True}
    first = run_module(MODULE, name=NAME, format=kind)["value"]
    assert run_module(MODULE, **rotate, check=True)["changed"]
    assert current_text(client) == first
    second = run_module(MODULE, **rotate)["value"].split()
    third = run_module(MODULE, **rotate)["value"].split()

    assert second[1:] == [first]
    assert third[1:] == second
    assert len(set(third)) == 3
    assert current_text(client).split() == third
    assert not run_module(MODULE, name=NAME, format=kind, keep_previous=True)["changed"]


def test_given_value_is_stored_and_never_returned(client: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, name=NAME, value="given-by-hand")
    assert first["changed"]
    assert "value" not in first
    assert current_text(client) == "given-by-hand"
    assert not run_module(MODULE, name=NAME, value="given-by-hand")["changed"]
    assert run_module(MODULE, name=NAME, value="another-one")["changed"]
    assert current_text(client) == "another-one"
    assert not run_module(MODULE, name=NAME)["changed"]


def test_secret_without_a_text_gets_one(client: Any, run_module: RunModule) -> None:
    client.create_secret(Name=NAME)
    filled = run_module(MODULE, name=NAME)
    assert filled["changed"]
    assert filled["value"] == current_text(client)


def test_deleted_secret_is_restored_with_its_value(client: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, name=NAME)
    gone = run_module(MODULE, name=NAME, state="absent", recovery_window=7)
    assert gone["changed"]
    assert gone["secret"]["deleted_date"]
    assert not run_module(MODULE, name=NAME, state="absent")["changed"]
    assert "value" not in run_module(INFO, name=NAME)

    planned = run_module(MODULE, name=NAME, check=True)
    assert planned["changed"]
    assert client.describe_secret(SecretId=NAME)["DeletedDate"]
    back = run_module(MODULE, name=NAME)
    assert back["changed"]
    assert back["value"] == first["value"]
    assert back["secret"]["deleted_date"] is None
    assert not run_module(MODULE, name=NAME)["changed"]


def test_forced_deletion_is_final(client: Any, run_module: RunModule) -> None:
    run_module(MODULE, name=NAME)
    run_module(MODULE, name=NAME, state="absent")
    assert run_module(MODULE, name=NAME, state="absent", force_delete=True, check=True)["changed"]
    assert run_module(INFO, name=NAME)["secret"]
    assert run_module(MODULE, name=NAME, state="absent", force_delete=True)["changed"]
    assert not run_module(MODULE, name=NAME, state="absent", force_delete=True)["changed"]
    assert client.list_secrets(IncludePlannedDeletion=True)["SecretList"] == []


def test_info_reads_and_never_creates(client: Any, run_module: RunModule) -> None:
    assert "secret" not in run_module(INFO, name=NAME)
    assert client.list_secrets()["SecretList"] == []
    made = run_module(MODULE, name=NAME)
    read = run_module(INFO, name=NAME)
    assert not read["changed"]
    assert (read["value"], read["secret"]) == (made["value"], made["secret"])


def test_list_has_secrets_with_all_tags_without_values(client: Any, run_module: RunModule) -> None:
    for name, tags in {
        "demo/b": {"Deployment": "demo", "Project": "p"},
        "demo/a": {"Deployment": "demo", "Project": "p", "More": "x"},
        "demo/other": {"Deployment": "demo"},
        "demo/foreign": {"Deployment": "foreign", "Project": "demo"},
    }.items():
        run_module(MODULE, name=name, tags=tags)
    client.delete_secret(SecretId="demo/b")

    tags = {"Deployment": "demo", "Project": "p"}
    listed = run_module(INFO, tags=tags)

    assert [secret["name"] for secret in listed["secrets"]] == ["demo/a"]
    assert client.get_secret_value(SecretId="demo/a")["SecretString"] not in str(listed)
    assert run_module(INFO, tags={"Deployment": "none"})["secrets"] == []


def test_list_asks_for_named_secrets_and_leaves_out_other_ones(
    client: Any, run_module: RunModule
) -> None:
    run_module(MODULE, name="demo/a", tags={"Deployment": "demo"})
    run_module(MODULE, name="demo/deleted", tags={"Deployment": "demo"})
    run_module(MODULE, name="demo/foreign", tags={"Deployment": "foreign"})
    client.delete_secret(SecretId="demo/deleted")
    names = ["demo/a", "demo/deleted", "demo/foreign", "demo/none"]

    listed = run_module(INFO, tags={"Deployment": "demo"}, names=names)

    assert [secret["name"] for secret in listed["secrets"]] == ["demo/a"]


@pytest.mark.parametrize(
    ("params", "cure"),
    [
        ({"length": 7}, "give 8 to 4096"),
        ({"recovery_window": 3}, "force_delete: true"),
        ({"exclude_characters": string.ascii_letters + string.digits}, "exclude fewer"),
        ({"value": ""}, "leave value out"),
    ],
)
def test_bad_parameter_is_named_with_its_cure(
    run_module: RunModule, params: dict[str, Any], cure: str
) -> None:
    assert cure in run_module(MODULE, name=NAME, fails=True, **params)["msg"]


def test_playbook_hides_the_value(client: Any, run_tasks: RunTasks) -> None:
    task = {f"mlflow_ec2.aws.{MODULE}": {"name": NAME}, "no_log": True, "register": "password"}
    compare = {
        "ansible.builtin.assert": {"that": "password.value | length == 32"},
    }
    given = {f"mlflow_ec2.aws.{MODULE}": {"name": NAME, "value": "given-by-hand"}}
    results, printed = run_tasks({**task, "check_mode": True}, task, task, compare, given)
    assert [result.get("changed") for result in results] == [True, True, False, False, True]
    previous = client.get_secret_value(SecretId=NAME, VersionStage="AWSPREVIOUS")
    assert previous["SecretString"] not in printed
    assert current_text(client) == "given-by-hand"
    assert "given-by-hand" not in printed
