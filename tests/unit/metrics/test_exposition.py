"""The text is valid and complete, whatever MLflow lets people name things."""

from __future__ import annotations

import math
import re
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from exposition import METRIC_PREFIX, OWN_PREFIX, Run, Snapshot, family_names, render
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils import validation
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    import random

    from prometheus_client import Metric

mlflow_validation: Any = validation  # it carries no types

# Text that PostgreSQL can hold.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
metric_names = st.one_of(
    st.from_regex(r"[/\w.\- :]{1,20}", fullmatch=True),
    # Few letters, so that many names meet.
    st.text("aé./- :_", min_size=1, max_size=3),
    st.sampled_from(["run_info", "build_info", "exporter_run_info"]),
)
numbers = st.floats()


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    runs = []
    for number in range(draw(st.integers(0, 4))):
        metrics = draw(st.dictionaries(metric_names, numbers, max_size=6))
        runs.append(
            Run(
                run_id=f"{number:032x}",
                run_name=draw(text),
                status="FINISHED",
                experiment_id=number,
                experiment_name=draw(text),
                keys=tuple(metrics),
                values=tuple(metrics.values()),
            )
        )
    return Snapshot(draw(text), runs)


def one_run(**metrics: float) -> Snapshot:
    run = Run("0" * 32, "base", "RUNNING", 1, "liga", tuple(metrics), tuple(metrics.values()))
    return Snapshot("abc", [run])


def parse(snapshot: Snapshot) -> dict[str, Metric]:
    families = list(text_string_to_metric_families(render(snapshot, 0.25)))
    found = {family.name: family for family in families}
    assert len(found) == len(families)
    return found


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def test_metric_line_is_the_one_of_the_contract() -> None:
    lines = render(one_run(mse_local=1.31), 0).splitlines()

    at = lines.index("# TYPE mlflow_mse_local gauge")
    assert lines[at - 1].startswith("# HELP mlflow_mse_local ")
    assert lines[at + 1] == f'mlflow_mse_local{{run_id="{"0" * 32}"}} 1.31'


@given(snapshots())
def test_every_metric_of_every_run_is_read_back(snapshot: Snapshot) -> None:
    families = parse(snapshot)
    served: dict[str, list[float]] = {}
    for name, family in families.items():
        if name.startswith(METRIC_PREFIX):
            assert family.type == "gauge"
            for sample in family.samples:
                assert sample.labels.keys() == {"run_id"}
                served.setdefault(sample.labels["run_id"], []).append(sample.value)

    for run in snapshot.runs:
        values = served.get(run.run_id, [])
        assert sorted(map(repr, values)) == sorted(map(repr, run.values))


@given(snapshots())
def test_value_stands_under_its_own_name(snapshot: Snapshot) -> None:
    families = parse(snapshot)

    for run in snapshot.runs:
        names = family_names(run.keys)
        for key, value in zip(run.keys, run.values, strict=True):
            [found] = [
                sample.value
                for sample in families[names[key]].samples
                if sample.labels["run_id"] == run.run_id
            ]
            assert same(found, value)


@given(snapshots())
def test_no_series_stands_there_twice(snapshot: Snapshot) -> None:
    series = Counter(
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in parse(snapshot).values()
        for sample in family.samples
    )

    assert not series or max(series.values()) == 1


@given(snapshots())
def test_samples_follow_their_help_and_type(snapshot: Snapshot) -> None:
    current = ""
    seen = set()
    for line in render(snapshot, 0.5).split("\n")[:-1]:
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
            assert current not in seen
            seen.add(current)
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {current} gauge"
        else:
            assert re.split(r"[{ ]", line)[0] == current


@given(snapshots())
def test_what_is_known_of_a_run_joins_by_run_id(snapshot: Snapshot) -> None:
    info = parse(snapshot)[f"{OWN_PREFIX}run_info"].samples

    assert [sample.labels for sample in info] == [
        {
            "run_id": run.run_id,
            "experiment_id": str(run.experiment_id),
            "experiment_name": run.experiment_name,
            "run_name": run.run_name,
            "status": run.status,
        }
        for run in snapshot.runs
    ]
    assert {sample.value for sample in info} <= {1}


@given(st.lists(metric_names, unique=True))
def test_names_stay_as_many_and_are_valid(keys: list[str]) -> None:
    names = family_names(tuple(keys))

    assert names.keys() == set(keys)
    assert len(set(names.values())) == len(keys)
    assert all(re.fullmatch(r"mlflow_[a-zA-Z0-9_]+", name) for name in names.values())


@given(st.lists(metric_names, unique=True), st.randoms())
def test_names_do_not_depend_on_the_order(keys: list[str], source: random.Random) -> None:
    shuffled = list(keys)
    source.shuffle(shuffled)

    assert family_names(tuple(keys)) == family_names(tuple(shuffled))


def test_name_that_is_valid_already_keeps_itself_where_others_meet_it() -> None:
    assert family_names(("val/acc", "val_acc", "val acc", "loss")) == {
        "val/acc": "mlflow_val_acc_6293503f",
        "val acc": "mlflow_val_acc_90576a22",
        "val_acc": "mlflow_val_acc",
        "loss": "mlflow_loss",
    }


def test_name_of_a_run_is_not_changed_by_what_another_run_holds() -> None:
    runs = [
        Run("a" * 32, "", "FINISHED", 1, "one", ("val/acc",), (0.25,)),
        Run("b" * 32, "", "FINISHED", 2, "two", ("val-acc",), (0.75,)),
    ]

    family = parse(Snapshot("", runs))["mlflow_val_acc"]

    assert {sample.labels["run_id"][0]: sample.value for sample in family.samples} == {
        "a": 0.25,
        "b": 0.75,
    }
    assert "val-acc, val/acc" in family.documentation


def test_name_made_up_to_take_anothers_place_does_not() -> None:
    taken = family_names(("val/acc", "val-acc"))["val/acc"].removeprefix(METRIC_PREFIX)

    names = family_names(("val/acc", "val-acc", taken))

    assert names[taken] == METRIC_PREFIX + taken
    assert len(set(names.values())) == 3


@given(st.from_regex(r"[/\w.\- :]*", fullmatch=True))
def test_no_metric_can_take_a_name_of_the_exporters_own(key: str) -> None:
    assert mlflow_validation.validate_param_and_metric_name(key)
    assert not family_names((key,))[key].startswith(OWN_PREFIX)


def test_nothing_logged_yet_is_valid_text() -> None:
    families = parse(Snapshot("abc"))

    assert all(name.startswith(OWN_PREFIX) for name in families)
    assert families[f"{OWN_PREFIX}metric_series"].samples[0].value == 0
    assert families[f"{OWN_PREFIX}build_info"].samples[0].labels["mlflow_schema"] == "abc"
    assert families[f"{OWN_PREFIX}query_duration_seconds"].samples[0].value == 0.25


@pytest.mark.parametrize(
    "snapshot",
    [
        Snapshot("abc"),
        one_run(mse_local=1.5, f1_visitante=math.nan, accuracy_promedio=0),
        one_run(up=math.inf, down=-math.inf, small=5e-324, large=1.7976931348623157e308),
        one_run(**{"val/acc": 1, "val-acc": 2, "1st": 3, "précision": 4, "精度": 5, "x y:z": 6}),
        Snapshot("", [Run("0" * 32, 'a "b"\\\nc', "FAILED", 1, "ñ\r\u2028\t", ("x\n",), (1.0,))]),
    ],
)
def test_promtool_finds_nothing_to_complain_about(snapshot: Snapshot) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=render(snapshot, 0.001).encode(),
        capture_output=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr.decode() + checked.stdout.decode()
