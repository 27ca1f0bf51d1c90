from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_aws.services.rds import parameters
from local_aws.services.rds.parameters import (
    GIB,
    Parameter,
    catalogue,
    class_memory,
    evaluate,
    render,
)

DESCRIBED = """\
max_connections\tpostmaster\tConnections\tINTEGER\t0\t1\t262143\tSets it.\t
work_mem\tuser\tMemory\tINTEGER\t0\t64\t2147483647\tSets it.\tLong.
autovacuum\tsighup\tAutovacuum\tBOOLEAN\tFALSE\t\t\tStarts it.\t
fsync\tsighup\tWAL\tBOOLEAN\tFALSE\t\t\tForces it.\t
block_size\tinternal\tPreset\tINTEGER\t0\t8192\t8192\tShows it.\t
bgwriter_lru_multiplier\tsighup\tResource\tREAL\t2\t0\t10\tMultiple.\t
temp_tablespaces\tuser\tClient\tSTRING\t\t\t\tSets it.\t
commit_siblings\tuser\tWAL\tINTEGER\t0\t-1\t1000\tSets it.\t
"""


def test_catalogue_lists_what_is_modifiable_and_static() -> None:
    known = catalogue(DESCRIBED)
    assert known["max_connections"].static
    assert not known["work_mem"].static
    assert not known["fsync"].modifiable
    assert "block_size" not in known
    assert known["rds.force_ssl"].value == "1"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("autovacuum", "1", True),
        ("autovacuum", "2", False),
        ("work_mem", "63", False),
        ("work_mem", "64", True),
        ("bgwriter_lru_multiplier", "2.5", True),
        ("bgwriter_lru_multiplier", "11", False),
        ("commit_siblings", "-1", True),
        ("commit_siblings", "-2", False),
        ("temp_tablespaces", "anything", True),
    ],
)
def test_allows_accepts_values_in_range_only(name: str, value: str, allowed: bool) -> None:  # noqa: FBT001 - parametrized
    assert catalogue(DESCRIBED)[name].allows(value) is allowed


def test_setting_of_the_group_goes_before_the_default() -> None:
    parameter = Parameter("a", "b", "integer", static=True, value="5")
    assert parameter.describe(None)["Source"] == "system"
    described = parameter.describe({"ParameterValue": "7", "ApplyMethod": "immediate"})
    assert (described["ParameterValue"], described["Source"]) == ("7", "user")


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("100", "100"),
        ("LEAST({DBInstanceClassMemory/9531392},5000)", "112"),
        ("GREATEST({DBInstanceClassMemory*3/4194304},20)", "768"),
        ("SUM(1,2,{DBInstanceClassMemory/1073741824})", "4"),
        ("{DBInstanceClassMemory/32768}", "32768"),
        ("text, with words", "text, with words"),
    ],
)
def test_evaluate_formula_gives_its_value(formula: str, value: str) -> None:
    assert evaluate(formula, GIB) == value


@pytest.mark.parametrize("formula", ["{Memory/2}", "LEAST(a,1)", "{DBInstanceClassMemory/x}"])
def test_unknown_formula_is_refused(formula: str) -> None:
    with pytest.raises(ValueError, match=r"is not part of a valid formula|invalid literal"):
        evaluate(formula, GIB)


@pytest.mark.parametrize(
    ("name", "gib"),
    [("db.t4g.micro", 1), ("db.t3.medium", 4), ("db.m6g.2xlarge", 32), ("db.r6g.large", 16)],
)
def test_class_memory_follows_the_name(name: str, gib: int) -> None:
    assert class_memory(name) == gib * GIB


@given(st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"])))
def test_value_cannot_leave_its_quotes(value: str) -> None:
    (line,) = render({"application_name": value}).removesuffix("\n").split("\n")
    quoted = line.removeprefix("application_name = '").removesuffix("'")
    assert quoted.replace("''", "'").replace("\\\\", "\\") == value


def test_replication_is_put_into_the_terms_of_postgresql() -> None:
    assert render({"rds.logical_replication": "1"}) == "wal_level = logical\n"
    assert render({"rds.force_ssl": "1"}) == ""


def test_system_values_follow_the_class() -> None:
    values = parameters.effective(
        catalogue(DESCRIBED), {"work_mem": {"ParameterValue": "4096"}}, "db.t4g.micro"
    )
    assert values["max_connections"] == "112"
    assert values["work_mem"] == "4096"
