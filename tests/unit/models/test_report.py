"""The page compares what was run, and needs nothing but itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import report
import train
from football import reporting
from football.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("tracking")
def test_page_and_charts_hold_the_runs_and_need_no_server(
    small_grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (0, 1, 3):
        assert train.main([str(small_grid / f"{number}.json"), "--no-register"]) == 0
    experiment = re.findall(r"^experiment +(.*)$", capsys.readouterr().out, re.MULTILINE)[0]
    output = tmp_path / "report"

    assert report.main([experiment, "--output", str(output)]) == 0

    page = (output / "index.html").read_text()
    assert "3 runs" in page
    for name in ("random_forest 0", "random_forest 1", "linear_regression 3"):
        assert name in page
    assert {path.name for path in output.glob("*.png")} == {
        *("kinds.png", "metrics.png", "parameters.png")
    }
    assert page.count("data:image/png;base64,iVBOR") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "ground truth" in page


def test_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = reporting.Run("1", "a", "b", "poisson", "", {"mse_promedio": 1.0}, {})
    for output in ("file", "file/below", "a" * 300):
        with pytest.raises(BadInputError, match=r"--output: .* cannot be written to: .*\. "):
            reporting.write([run], tmp_path / output)


@pytest.mark.usefixtures("tracking")
def test_report_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["none of these", "--output", str(tmp_path / "report")]) == report.BAD_INPUT
    assert "run_experiments.py" in capsys.readouterr().err
