from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_aws.errors import LocalAwsError
from local_aws.settings import Settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LOCAL_AWS_")]:
        monkeypatch.delenv(name)


def test_settings_without_variables_use_the_working_directory() -> None:
    settings = Settings.from_environment()
    assert settings.data_dir == Path.cwd() / ".local-aws"
    assert settings.endpoint == "https://127.0.0.1:5566"
    assert settings.base_image is None


def test_settings_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCAL_AWS_DIR", str(tmp_path))
    monkeypatch.setenv("LOCAL_AWS_PORT", "6000")
    monkeypatch.setenv("LOCAL_AWS_RDS_SECONDS", "1.5")
    monkeypatch.setenv("LOCAL_AWS_EC2_SECONDS", "2")
    monkeypatch.setenv("LOCAL_AWS_EC2_INIT_SECONDS", "30")
    monkeypatch.setenv("LOCAL_AWS_ACCOUNT", "lab, organisation")
    settings = Settings.from_environment()
    assert (settings.data_dir, settings.port) == (tmp_path, 6000)
    assert (settings.rds_seconds, settings.ec2_seconds) == (1.5, 2.0)
    assert settings.ec2_init_seconds == 30.0
    assert settings.account_kinds == ("lab", "organisation")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOCAL_AWS_PORT", "http"),
        ("LOCAL_AWS_PORT", "0"),
        ("LOCAL_AWS_PORT", "65536"),
        ("LOCAL_AWS_RDS_SECONDS", "-1"),
        ("LOCAL_AWS_RDS_SECONDS", "nan"),
        ("LOCAL_AWS_RDS_SECONDS", "soon"),
        ("LOCAL_AWS_EC2_SECONDS", "-1"),
        ("LOCAL_AWS_EC2_INIT_SECONDS", "soon"),
    ],
)
def test_settings_invalid_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(LocalAwsError, match=f"{name}={value}"):
        Settings.from_environment()


@pytest.mark.parametrize("value", ["-1", "101", "nan", "some"])
def test_share_of_throttled_calls_outside_of_a_percentage_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LOCAL_AWS_THROTTLED_PERCENT", value)
    with pytest.raises(LocalAwsError, match=f"LOCAL_AWS_THROTTLED_PERCENT: {value} is not a valid"):
        Settings.from_environment()
