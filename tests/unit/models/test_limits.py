"""What passes without asking MLflow is what MLflow takes."""

from __future__ import annotations

from typing import Any

import pytest
from football import config as configs
from football import limits
from football.errors import BadInputError
from hypothesis import given
from hypothesis import strategies as st
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun
from mlflow.utils import validation


@given(st.from_regex(limits._PLAIN, fullmatch=True))
def test_plain_name_is_valid_for_mlflow(name: str) -> None:
    validation._validate_tag(name, name)


def test_plain_length_is_within_all_limits_of_mlflow() -> None:
    assert (
        min(
            SqlRun.__table__.c.name.type.length,
            SqlExperiment.__table__.c.name.type.length,
            validation.MAX_EXPERIMENT_NAME_LENGTH,
            validation.MAX_DATASET_NAME_SIZE,
            validation.MAX_PARAM_VAL_LENGTH,
            validation.MAX_TAG_VAL_LENGTH,
        )
        >= limits.MOST_PLAIN
    )


@pytest.mark.parametrize(
    ("field", "most"), [("run_name", 250), ("experiment_name", 256), ("nota", 8000)]
)
def test_longest_text_is_taken_and_a_longer_one_is_refused(
    content: dict[str, Any], field: str, most: int
) -> None:
    def changed(length: int) -> dict[str, Any]:
        text = "ñ" * length
        return content | ({"tags": {field: text}} if field == "nota" else {field: text})

    configs.check(changed(most), "config.json")
    with pytest.raises(BadInputError, match=rf"{most + 1} characters: MLflow keeps at most {most}"):
        configs.check(changed(most + 1), "config.json")
