"""The text is valid and complete, whatever MLflow lets people name things."""

from __future__ import annotations

import math
import re
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from exposition import REASONS, Format, render
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils import validation
from naming import METRIC_PREFIX, OWN_PREFIX, family_names, tag_label
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from snapshot import Alias, Count, Counts, Models, ModelSize, Run, Snapshot, Version

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
times = st.none() | st.integers(0, 2**62)
TAGS = ("model_type", "mlflow.user", "étape")


def written(value: float) -> str:
    """Write a number as the statement does."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


def run_of(number: int, metrics: dict[str, float], **known: Any) -> Run:
    facts: dict[str, Any] = {
        "run_name": "base",
        "status": "RUNNING",
        "start_time": 1_760_000_000_123,
        "end_time": None,
        "experiment_name": "liga",
        "tags": ("Poisson", None, None),
    }
    return Run(
        run_id=f"{number:032x}",
        experiment_id=number,
        keys=tuple(metrics),
        values=[written(value) for value in metrics.values()],
        **facts | known,
    )


@st.composite
def registries(draw: st.DrawFn) -> Models:
    """Make a registry; workspace and name identify a model."""
    names = st.tuples(st.sampled_from(["", "team"]), text)
    models = draw(st.lists(names, unique=True, max_size=3))
    aliases = []
    for workspace, model in models:
        for alias in draw(st.lists(text, unique=True, max_size=2)):
            metrics = draw(st.dictionaries(metric_names, numbers, max_size=3))
            values = [written(value) for value in metrics.values()]
            run_id = draw(st.none() | st.just("0"))
            aliases.append(Alias(workspace, model, alias, 1, run_id, None, [*metrics], values))
    return Models(
        aliases,
        [Version(*model, 1, "0") for model in models],
        [ModelSize(*model, 2) for model in models],
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    runs = []
    for number in range(draw(st.integers(0, 4))):
        metrics = draw(st.dictionaries(metric_names, numbers, max_size=6))
        runs.append(
            run_of(
                number,
                metrics,
                run_name=draw(st.none() | text),
                status="FINISHED",
                start_time=draw(times),
                end_time=draw(times),
                experiment_name=draw(text),
                tags=[draw(st.none() | text) for _ in TAGS],
            )
        )
    numbers_of = [Count("runs", "FINISHED", draw(st.integers(0, 2**40))), Count("runs", None, 0)]
    return Snapshot(
        draw(text),
        indexed=draw(st.booleans()),
        runs=runs,
        dropped={"limit": draw(st.integers(0))},
        counts=draw(st.sampled_from([Counts(), Counts(numbers_of, 1.7e9)])),
        models=draw(registries()),
        query_seconds=0.25,
    )


def one_run(**metrics: float) -> Snapshot:
    return Snapshot("abc", runs=[run_of(0, metrics)])


def parse(snapshot: Snapshot, form: Format = Format.TEXT) -> dict[str, Metric]:
    parsers: dict[Format, Any] = {  # some carry no types
        Format.TEXT: text_string_to_metric_families,
        Format.OPENMETRICS: openmetrics.text_string_to_metric_families,
    }
    families = list(parsers[form](render(snapshot, TAGS, form)))
    found = {family.name: family for family in families}
    assert len(found) == len(families)
    return found


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def test_metric_line_has_the_documented_form() -> None:
    lines = render(one_run(mse_local=1.31), TAGS).splitlines()

    at = lines.index("# TYPE mlflow_mse_local gauge")
    assert lines[at - 1].startswith("# HELP mlflow_mse_local ")
    assert lines[at + 1] == f'mlflow_mse_local{{run_id="{"0" * 32}"}} 1.31'


@given(snapshots(), st.sampled_from(Format))
def test_every_metric_of_every_run_is_read_back(snapshot: Snapshot, form: Format) -> None:
    families = parse(snapshot, form)
    served: dict[str, list[float]] = {}
    for name, family in families.items():
        if name.startswith(METRIC_PREFIX):
            assert family.type == "gauge"
            for sample in family.samples:
                assert sample.labels.keys() == {"run_id"}
                served.setdefault(sample.labels["run_id"], []).append(sample.value)

    for run in snapshot.runs:
        values = served.get(run.run_id, [])
        assert sorted(map(written, values)) == sorted(run.values)


@given(snapshots(), st.sampled_from(Format))
def test_value_has_the_name_of_its_metric(snapshot: Snapshot, form: Format) -> None:
    families = parse(snapshot, form)

    for run in snapshot.runs:
        names = family_names(run.keys)
        for key, value in zip(run.keys, run.values, strict=True):
            [found] = [
                sample.value
                for sample in families[names[key]].samples
                if sample.labels["run_id"] == run.run_id
            ]
            assert same(found, float(value))


@given(snapshots(), st.sampled_from(Format))
def test_series_are_unique(snapshot: Snapshot, form: Format) -> None:
    series = Counter(
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in parse(snapshot, form).values()
        for sample in family.samples
    )

    assert not series or max(series.values()) == 1


@given(snapshots())
def test_samples_follow_their_help_and_type(snapshot: Snapshot) -> None:
    current = ""
    seen = set()
    for line in render(snapshot, TAGS).split("\n")[:-1]:
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
            "run_name": run.run_name or "",
            "status": run.status,
        }
        | {tag_label(tag): value for tag, value in zip(TAGS, run.tags, strict=True) if value}
        for run in snapshot.runs
    ]
    assert {sample.value for sample in info} <= {1}


@given(snapshots(), st.sampled_from(Format))
def test_every_model_is_read_back(snapshot: Snapshot, form: Format) -> None:
    samples = [sample for family in parse(snapshot, form).values() for sample in family.samples]
    metrics = [sample for sample in samples if sample.name == f"{OWN_PREFIX}model_metric"]
    aliases = [sample for sample in samples if sample.name == f"{OWN_PREFIX}model_alias_info"]

    assert [(s.labels["model"], s.labels["alias"]) for s in aliases] == [
        (alias.model, alias.alias) for alias in snapshot.models.aliases
    ]
    assert [(s.labels["model"], s.labels["metric"], written(s.value)) for s in metrics] == [
        (alias.model, key, value)
        for alias in snapshot.models.aliases
        for key, value in zip(alias.keys, alias.values, strict=True)
    ]


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
        run_of(10, {"val/acc": 0.25}),
        run_of(11, {"val-acc": 0.75}),
    ]

    family = parse(Snapshot("", runs=runs))["mlflow_val_acc"]

    assert {sample.labels["run_id"][-1]: sample.value for sample in family.samples} == {
        "a": 0.25,
        "b": 0.75,
    }
    assert "val-acc, val/acc" in family.documentation


def test_crafted_name_does_not_replace_another() -> None:
    taken = family_names(("val/acc", "val-acc"))["val/acc"].removeprefix(METRIC_PREFIX)

    names = family_names(("val/acc", "val-acc", taken))

    assert names[taken] == METRIC_PREFIX + taken
    assert len(set(names.values())) == 3


@given(st.from_regex(r"[/\w.\- :]*", fullmatch=True))
def test_metric_cannot_have_a_name_of_the_exporter(key: str) -> None:
    assert mlflow_validation.validate_param_and_metric_name(key)
    assert not family_names((key,))[key].startswith(OWN_PREFIX)


def test_nothing_logged_yet_is_valid_text() -> None:
    families = parse(Snapshot("abc", query_seconds=0.25))

    assert all(name.startswith(OWN_PREFIX) for name in families)
    assert families[f"{OWN_PREFIX}series"].samples[0].value == 0
    assert families[f"{OWN_PREFIX}build_info"].samples[0].labels["mlflow_schema"] == "abc"
    assert families[f"{OWN_PREFIX}query_duration_seconds"].samples[0].value == 0.25


def test_times_are_in_seconds_and_a_run_that_goes_on_has_no_end() -> None:
    ended = run_of(1, {}, start_time=1_760_000_000_123, end_time=1_760_000_060_000)
    families = parse(Snapshot("", runs=[ended, run_of(2, {})]))

    starts = families[f"{OWN_PREFIX}run_start_time_seconds"].samples
    ends = families[f"{OWN_PREFIX}run_end_time_seconds"].samples
    assert [sample.value for sample in starts] == [1_760_000_000.123, 1_760_000_000.123]
    assert [(sample.labels["run_id"][-1], sample.value) for sample in ends] == [("1", 1.76000006e9)]


def test_counts_have_their_kind_and_time() -> None:
    numbers = [
        Count("experiments", "active", 3),
        Count("experiments", "deleted", 1),
        Count("runs", "FAILED", 12_345_678),
        Count("registered_models", None, 2),
    ]
    families = parse(Snapshot("", counts=Counts(numbers, 1_760_000_000.5)))

    def samples(name: str) -> list[tuple[dict[str, str], float]]:
        return [(sample.labels, sample.value) for sample in families[OWN_PREFIX + name].samples]

    assert samples("experiments") == [
        ({"lifecycle_stage": "active"}, 3),
        ({"lifecycle_stage": "deleted"}, 1),
    ]
    assert samples("runs") == [({"status": "FAILED"}, 12_345_678)]
    assert samples("registered_models") == [({}, 2)]
    assert samples("counts_timestamp_seconds") == [({}, 1_760_000_000.5)]
    assert f"{OWN_PREFIX}model_versions" not in families


def test_dropped_series_are_counted_by_reason() -> None:
    families = parse(Snapshot("", dropped={"limit": 7, "age": 2}))

    dropped = families[f"{OWN_PREFIX}dropped_series"].samples
    assert {sample.labels["reason"]: sample.value for sample in dropped} == {
        **dict.fromkeys(REASONS, 0),
        "limit": 7,
        "age": 2,
    }


def test_series_are_the_samples_that_belong_to_runs() -> None:
    runs = [run_of(1, {"a": 1, "b": 2}, end_time=5), run_of(2, {"a": 1})]

    served = parse(Snapshot("", runs=runs))[f"{OWN_PREFIX}series"].samples[0].value

    assert served == (2 + 3) + (1 + 2)


def test_missing_index_is_reported() -> None:
    usable = f"{OWN_PREFIX}index_usable"

    assert parse(Snapshot("", indexed=True))[usable].samples[0].value == 1
    assert parse(Snapshot("", indexed=False))[usable].samples[0].value == 0


def test_openmetrics_has_info_type_and_end() -> None:
    lines = render(one_run(mse=1.0), TAGS, Format.OPENMETRICS).splitlines()

    assert f"# TYPE {OWN_PREFIX}run info" in lines
    assert any(line.startswith(f"{OWN_PREFIX}run_info{{") for line in lines)
    assert lines[-1] == "# EOF"


@pytest.mark.parametrize(
    "snapshot",
    [
        Snapshot("abc"),
        one_run(mse_local=1.5, f1_visitante=math.nan, accuracy_promedio=0),
        one_run(up=math.inf, down=-math.inf, small=5e-324, large=1.7976931348623157e308),
        one_run(**{"val/acc": 1, "val-acc": 2, "1st": 3, "précision": 4, "精度": 5, "x y:z": 6}),
        Snapshot(
            "",
            runs=[
                run_of(
                    0,
                    {"x\n": 1.0},
                    run_name='a "b"\\\nc',
                    end_time=2,
                    experiment_name="ñ\r\u2028\t",
                    tags=("a", "b\nc", '"'),
                )
            ],
            counts=Counts([Count("runs", "FINISHED", 3), Count("experiments", "active", 1)], 5.0),
            models=Models(
                [Alias("team", 'a "b"\\\nc', "champion", 1, "0", 1, ["x\n", '"'], ["1", "NaN"])],
                [Version("", 'a "b"\\\nc', 1, "0")],
                [ModelSize("", 'a "b"\\\nc', 1)],
            ),
        ),
    ],
)
def test_promtool_accepts_the_text(snapshot: Snapshot) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=render(snapshot, TAGS).encode(),
        capture_output=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr.decode() + checked.stdout.decode()


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 0.0, 2.5])
@pytest.mark.parametrize("form", Format)
def test_number_of_each_family_is_one_that_prometheus_reads(number: float, form: Format) -> None:
    """Python's own text of an infinity is not one of the formats'."""
    run = run_of(0, {"loss": 1.0}, start_time=number, end_time=number)
    counts = Counts(numbers=[Count("runs", "RUNNING", number)], counted_at=number)
    snapshot = Snapshot("abc", runs=[run], counts=counts, query_seconds=number)
    values = {
        line.rpartition(" ")[2]
        for line in render(snapshot, TAGS, form).splitlines()
        if line[0] != "#" and re.search(r"time_seconds|duration|timestamp|_runs\{", line)
    }
    assert len(values) > 0
    if math.isfinite(number):
        assert all(math.isfinite(float(value)) for value in values)
    else:
        assert values == {written(number)}
