"""Tables as other programs write them: read to the value, or refused in a line."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from football import config as configs
from football import data, textfile
from football.errors import BadInputError
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from football.data import Table

COLUMNS = ["rating_local", "rating_visitante", "goles_local", "goles_visitante", "nota"]
HEADER = ",".join(COLUMNS) + "\n"
ROW = "1450,1300,2,1,E7\n"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]

ratings = st.one_of(
    st.integers(-(2**53), 2**53), st.floats(-1e38, 1e38, allow_subnormal=False), st.just(0)
)
goals = st.integers(0, data.MOST_GOALS)
notes = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
matches = st.lists(st.tuples(ratings, ratings, goals, goals, notes), min_size=3, max_size=6)
many = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(content: dict[str, Any], tmp_path: Path) -> Path:
    """Where the table of a config belongs; both of its matches are learnt from."""
    changed = content | {"training": {"test_size": 0.01, "random_state": 7}}
    (tmp_path / "config.json").write_text(json.dumps(changed))
    return tmp_path / "partidos.csv"


def read(path: Path, text: str | bytes) -> Table:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    config = path.with_name("config.json")
    return data.load(path, configs.load(config), config)


def attempt(path: Path, text: str | bytes) -> Table | str:
    """Return the table, or the complaint."""
    try:
        return read(path, text)
    except BadInputError as error:
        return str(error)


def refuse(path: Path, text: str | bytes) -> str:
    found = attempt(path, text)
    assert isinstance(found, str)
    return found


def assert_equal_or_refused(path: Path, found: Table | str, rows: list[Any]) -> None:
    if isinstance(found, str):
        assert re.fullmatch(rf"{re.escape(str(path))}, line \d+: .+", found)
        return
    numbers = zip(*found.features.values(), *found.goals.values(), strict=True)
    assert list(numbers) == [tuple(row[:4]) for row in rows]


@many
@given(
    rows=matches,
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(ENCODINGS),
    order=st.permutations(range(len(COLUMNS))),
)
@example(
    [(1, 2, 3, 4, "a\x85b\u2028c\x0bd\x1ce")] * 3,
    ",",
    csv.QUOTE_MINIMAL,
    "\n",
    "utf-8",
    [0, 1, 2, 3, 4],
)
@example(
    [(1, 2, 3, 4, 'a "b", c\n; d\re')] * 3, ";", csv.QUOTE_ALL, "\r", "utf-16", [4, 1, 2, 3, 0]
)
def test_table_written_by_csv_is_read_as_written_or_refused(  # noqa: PLR0913, PLR0917 -- what a dialect consists of
    path: Path,
    rows: list[Any],
    separator: str,
    quoting: Any,
    line_end: str,
    encoding: str,
    order: list[int],
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=line_end)
    writer.writerow([COLUMNS[place] for place in order])
    writer.writerows([[row[place] for place in order] for row in rows])

    found = attempt(path, file.getvalue().encode(encoding))

    assert_equal_or_refused(path, found, rows)
    # Plain notes leave no doubt, so nothing may be refused for them.
    assert not isinstance(found, str) or not all(
        re.fullmatch(r"[\w ,;\t|]*", row[4]) for row in rows
    )


@many
@given(
    rows=matches,
    options=st.fixed_dictionaries(
        {
            "sep": st.sampled_from([",", ";", "\t", "|"]),
            "index": st.booleans(),
            "decimal": st.sampled_from([".", ","]),
            "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
            "lineterminator": st.sampled_from(["\n", "\r\n", "\r"]),
            "encoding": st.sampled_from(ENCODINGS),
            "float_format": st.sampled_from([None, "%.17g", "%.20e"]),
        }
    ),
)
def test_table_written_by_pandas_is_read_as_written_or_refused(
    path: Path, rows: list[Any], options: dict[str, Any]
) -> None:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame.to_csv(path, **options)

    assert_equal_or_refused(path, attempt(path, path.read_bytes()), list(frame.to_numpy(object)))


@many
@given(
    rows=st.lists(st.tuples(ratings, ratings, goals, goals), min_size=3, max_size=6),
    number=st.integers(0, 5),
    place=st.integers(0, 40),
    piece=st.sampled_from([",", ";", '"', "\n", "\r", ",,", "5,", ",\n"]),
)
def test_damaged_row_is_refused_or_read_as_it_was(
    path: Path, rows: list[Any], number: int, place: int, piece: str
) -> None:
    lines = [",".join([*map(repr, row), "E7"]) for row in rows]
    line = lines[number % len(lines)]
    place %= len(line) + 1
    damaged = line[:place] + piece + line[place:]
    lines[number % len(lines)] = damaged
    # What becomes another number, another note, or a line of its own, is a row as good as any.
    fields = [field.strip() for field in damaged.replace("\r", "\n").split(",")]
    assume(len(fields) != len(COLUMNS) or "\n" in damaged.replace("\r", "\n").strip())
    text = HEADER + "\n".join(lines) + "\n"

    assert_equal_or_refused(path, attempt(path, text), rows)


@many
@given(
    st.binary(max_size=200), st.sampled_from([b"", HEADER.encode(), b"\xff\xfe", b"\xef\xbb\xbf"])
)
def test_table_of_any_bytes_is_read_or_refused_in_a_line(
    path: Path, text: bytes, before: bytes
) -> None:
    found = attempt(path, before + text)

    assert not isinstance(found, str) or (str(path) in found and len(found.splitlines()) == 1)


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "1450,5,1300,2,2,E7\n" * 3,
        HEADER + ROW + "1450,1300,2,1,E7,\n" + ROW,
        HEADER + "1450,1300,2,1\n" * 3,
        HEADER.replace(",nota", "") + ROW * 3,
        HEADER.replace(",", ";") + ROW * 3,
        HEADER + '1450,1300,2,1,"E7\n' + ROW + '1450,1300,2,1,E7"\n',
        HEADER + "1,450,1,300,2,1,E7\n" * 3,
    ],
)
def test_row_with_another_number_of_fields_is_refused_with_its_line(path: Path, text: str) -> None:
    assert re.fullmatch(
        rf"{re.escape(str(path))}, line [23]: (\d fields, separated by '.', but the header has \d|"
        r"a quoted field goes on to line \d).*\. .*",
        refuse(path, text),
    )


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\n" + (HEADER + ROW * 3).replace(",", ";").replace("\n", "\r\n"),
        "\ufeff\ufeff" + HEADER + ROW * 3,
        "\n \n" + HEADER + "\n,,,,\n" + ROW + "   \n" + ROW * 2 + "\n\n;\n"[:-2],
        HEADER.replace(",", " , ") + ROW.replace(",", " ,  ") * 3,
        HEADER.replace("\n", ",,\n") + ROW.replace("\n", ",,\n") * 3,
        HEADER + '1450, 1300,2 ,"1", "x, ""y"""\n' * 3,
        HEADER + '1450,1300,2,1,"a\nb"\n' * 3,
        (HEADER + ROW).replace("\n", "\r") + ROW.replace("\n", "\r\n") + ROW,
        HEADER + ROW.replace("1450", "+1450.0").replace("1300", "1.3e3") * 3,
    ],
    ids=["sep=", "marks", "blank lines", "blanks", "empty columns", "quotes", "lines", "ends", "e"],
)
def test_table_of_a_spreadsheet_is_read(path: Path, text: str) -> None:
    table = read(path, text)

    assert table.features == {"rating_local": [1450] * 3, "rating_visitante": [1300] * 3}
    assert table.goals == {"goles_local": [2] * 3, "goles_visitante": [1] * 3}


def test_accented_column_is_found_however_it_is_composed(
    content: dict[str, Any], path: Path
) -> None:
    dataset = content["dataset"] | {"features": ["an\u0303o"]}
    path.with_name("config.json").write_text(json.dumps(content | {"dataset": dataset}))

    table = read(path, "a\u00f1o,goles_local,goles_visitante\n" + "7,1,2\n" * 4)

    assert table.features == {"an\u0303o": [7] * 4}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("", "missing"),
        ("1450,5", "comma"),
        ("1,450", "comma"),
        ("1e400", "too large"),
        ("9" * 400, "too large"),
        ("1e39", "too large"),
        ("1e-400", "too small"),
        ("9007199254740993", "more digits"),
        *(
            (text, "not a number")
            for text in ("inf", "nan", "NaN", "0x1F", "1_000", "1 000", "١٤", "½")
        ),
        *(
            (text, "not a number")
            for text in ("N/A", "\u22125", "=1+1", "1.300.000", "€5", "50%", "1e5.5")
        ),
    ],
)
def test_number_in_another_form_is_refused_with_line_and_column(
    path: Path, value: str, complaint: str
) -> None:
    said = refuse(path, HEADER + ROW + f'1450,"{value}",2,1,E7\n')

    assert re.fullmatch(
        rf"{re.escape(str(path))}, line 3: rating_visitante is '.*: .*{complaint}.*\. .*", said
    )


@pytest.mark.parametrize("value", ["-1", "2.5", "1001", "1e30"])
def test_goals_that_nobody_scores_are_refused(path: Path, value: str) -> None:
    assert "line 2: goles_local is" in refuse(path, HEADER + f"1450,1300,{value},1,E7\n")


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace("nota", "rating_local"),
        HEADER.replace("nota", " Rating_Local "),
        HEADER.replace("nota", '"rating_local "'),
    ],
)
def test_column_duplicate_is_refused(path: Path, header: str) -> None:
    assert "line 1: duplicate column" in refuse(path, header + ROW * 3)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ((HEADER + ROW + ROW.replace("E7", "Ñ")).encode("latin-1"), 3),
        ((HEADER + ROW).replace("\n", "\r").encode() + b"1450,1300,2,1,\x80\r", 3),
        (HEADER + ROW + "1450,1300,2,1,\0\n", 3),
        ((HEADER + ROW).encode("utf-16-le"), 1),
        ("\ufeff".encode("utf-16-le") + (HEADER + ROW).encode("utf-16-le")[:-1], 2),
    ],
    ids=["latin-1", "cp1252", "NUL", "UTF-16 without a mark", "half a character"],
)
def test_text_in_another_encoding_is_refused_with_line_and_cure(
    path: Path, text: str | bytes, line: int
) -> None:
    assert re.search(rf", line {line}: .*Save the file as UTF-8", refuse(path, text))


@pytest.mark.parametrize("text", ["", "\n \r\n", "\ufeff"])
def test_empty_table_is_refused(path: Path, text: str) -> None:
    assert "is empty" in refuse(path, text)


def test_huge_table_is_refused_without_reading_it(path: Path) -> None:
    path.touch()
    os.truncate(path, textfile.MOST_BYTES + 1)
    config = path.with_name("config.json")

    with pytest.raises(BadInputError, match="is larger than 256 MiB"):
        data.load(path, configs.load(config), config)


def test_unreadable_table_is_refused(path: Path) -> None:
    path.mkdir()
    config = path.with_name("config.json")

    with pytest.raises(BadInputError, match="cannot be read: Is a directory"):
        data.load(path, configs.load(config), config)


@pytest.mark.parametrize("file_path", ["a" * 300, "loop/partidos.csv"])
def test_unusable_path_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, file_path: str
) -> None:
    monkeypatch.chdir(path.parent)
    Path("loop").symlink_to("loop")
    for directory in (None, path.parent):
        with pytest.raises(BadInputError, match=r"dataset\.file_path is"):
            data.locate(file_path, path.with_name("config.json"), path.parent, directory)
