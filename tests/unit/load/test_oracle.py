"""The checker of the fault suite finds each kind of violation, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load.oracle import (
    LATEST,
    Event,
    Outcome,
    Read,
    State,
    Write,
    acknowledged,
    check,
    of_places,
)

TAG = ("tag", "run", "key")
RUN = ("run", "name")
ACKNOWLEDGED, UNKNOWN, REFUSED = Outcome


def test_check_with_everything_in_place_finds_nothing() -> None:
    history: list[Event] = [
        Write(RUN, "name", ACKNOWLEDGED),
        Write(TAG, "1", ACKNOWLEDGED),
        Read(TAG, "1"),
        Write(TAG, "2", ACKNOWLEDGED),
        Read(TAG, "2"),
    ]

    assert not check(history, {RUN: ["name"], TAG: ["2"]})


@pytest.mark.parametrize("values", [[], ["1"]])
def test_check_without_the_last_acknowledged_value_is_a_loss(values: list[str]) -> None:
    found = check([Write(TAG, "1", ACKNOWLEDGED), Write(TAG, "2", ACKNOWLEDGED)], {TAG: values})

    assert (len(found.lost), found.doubled, found.stale, found.invented) == (1, [], [], [])
    assert "instead of 2" in found.lost[0]


def test_check_with_a_run_that_is_there_twice_is_doubled() -> None:
    found = check([Write(RUN, "name", ACKNOWLEDGED)], {RUN: ["name", "name"]})

    assert (found.lost, len(found.doubled), found.stale, found.invented) == ([], 1, [], [])


def test_check_with_an_unanswered_run_that_is_there_twice_is_doubled() -> None:
    assert check([Write(RUN, "name", UNKNOWN)], {RUN: ["name", "name"]}).doubled


@pytest.mark.parametrize("values", [[], ["name"]])
def test_check_with_an_unknown_outcome_allows_both(values: list[str]) -> None:
    assert not check([Write(RUN, "name", UNKNOWN)], {RUN: values})


@pytest.mark.parametrize("value", ["1", "2"])
def test_check_with_an_unknown_change_allows_the_old_and_the_new_value(value: str) -> None:
    history: list[Event] = [
        Write(TAG, "1", ACKNOWLEDGED),
        Write(TAG, "2", UNKNOWN),
        Read(TAG, value),
    ]

    assert not check(history, {TAG: [value]})


def test_check_with_a_value_lost_after_an_unknown_change_is_a_loss() -> None:
    assert check([Write(TAG, "1", ACKNOWLEDGED), Write(TAG, "2", UNKNOWN)], {}).lost


@pytest.mark.parametrize("value", ["1", None])
def test_check_with_a_read_of_an_older_value_is_stale(value: str | None) -> None:
    history: list[Event] = [
        Write(TAG, "1", ACKNOWLEDGED),
        Write(TAG, "2", ACKNOWLEDGED),
        Read(TAG, value),
    ]
    found = check(history, {TAG: ["2"]})

    assert (found.lost, found.doubled, len(found.stale), found.invented) == ([], [], 1, [])


def test_check_with_a_read_before_anything_is_acknowledged_finds_nothing() -> None:
    assert not check([Read(TAG, None), Write(TAG, "1", ACKNOWLEDGED)], {TAG: ["1"]})


def test_check_with_a_refused_write_that_took_effect_is_invented() -> None:
    assert check([Write(TAG, "1", REFUSED)], {TAG: ["1"]}).invented


def test_check_with_a_refused_change_that_took_effect_is_a_loss() -> None:
    assert check([Write(TAG, "1", ACKNOWLEDGED), Write(TAG, "2", REFUSED)], {TAG: ["2"]}).lost


def test_check_with_a_place_that_nobody_wrote_is_invented() -> None:
    assert check([], {TAG: ["1"]}).invented


def test_check_with_a_write_after_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="after an unknown outcome"):
        check([Write(TAG, "1", UNKNOWN), Write(TAG, "2", ACKNOWLEDGED)], {TAG: ["2"]})


def test_acknowledged_counts_operations_and_not_what_is_derived() -> None:
    history: list[Event] = [
        Write(TAG, "1", ACKNOWLEDGED),
        Write((LATEST, "run", "m"), "1", ACKNOWLEDGED),
        Write(RUN, "name", UNKNOWN),
        Read(TAG, "1"),
    ]

    assert acknowledged(history) == 1


def test_of_places_keeps_the_wanted_ones() -> None:
    history: list[Event] = [Write(TAG, "1", ACKNOWLEDGED), Read(TAG, "1"), Read(RUN, "name")]

    assert of_places(history, lambda place: place[0] == "tag") == history[:2]


PLACES = [("tag", "run", key) for key in "abc"]


@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(Outcome), st.booleans())),
    st.data(),
)
def test_check_of_an_honest_server_finds_nothing_and_each_removal_is_found(
    requests: list[tuple[tuple[str, ...], Outcome, bool]], data: st.DataObject
) -> None:
    history: list[Event] = []
    state: State = {}
    closed = set()
    for number, (place, outcome, takes_effect) in enumerate(requests):
        if place in closed:
            continue
        history.append(Write(place, str(number), outcome))
        if outcome is ACKNOWLEDGED or (outcome is UNKNOWN and takes_effect):
            state[place] = [str(number)]
        if outcome is UNKNOWN:
            closed.add(place)
        found = state.get(place)
        history.append(Read(place, found[0] if found else None))
    safe = {e.place for e in history if isinstance(e, Write) and e.outcome is ACKNOWLEDGED}

    assert not check(history, state)
    if safe:
        gone = data.draw(st.sampled_from(sorted(safe)))
        assert len(check(history, {p: v for p, v in state.items() if p != gone}).lost) == 1
