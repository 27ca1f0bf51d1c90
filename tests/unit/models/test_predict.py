"""Arguments are read to the value, or refused in a line before the server is asked."""

from __future__ import annotations

import re

import predict
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["svm", "rating_local=1700"], "not a kind of model"),
        (["po\nissom", "rating_local=1700"], "not a kind of model"),
        (["poisson", "rating_local"], "not a feature"),
        (["poisson", "=1700"], "not a feature"),
        (["poisson", "rating_local="], "missing"),
        (["poisson", "rating_local=1", "rating_local=1"], 'duplicate feature "rating_local"'),
        (["poisson", "rating_local=1", " rating_local =2"], 'duplicate feature "rating_local"'),
        (["poisson", "rating_local=1700,5"], "comma"),
        (["poisson", "rating_local=1e400"], "too large"),
        *(
            (["poisson", f"rating_local={text}"], "not a number")
            for text in ("abc", "nan", "inf", "0x1F", "1_700", "\u0661\u0667", "1=2")
        ),
    ],
)
def test_wrong_argument_is_refused_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert predict.main(arguments) == predict.BAD_INPUT

    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"error: .*{said}.*\. .*\n", printed.err)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(-3e38, 3e38, allow_subnormal=False))
def test_number_is_read_as_written(number: float) -> None:
    assert predict._read_match([f"a={number!r}"]) == {"a": number}
