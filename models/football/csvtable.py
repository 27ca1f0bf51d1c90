"""Rows of a CSV file, each with as many fields as the header, or refused with its line."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from football.errors import BadInputError, one_line
from football.naming import normalized

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_SEPARATORS: tuple[str, ...] = (",", ";", "\t", "|")
# Spreadsheets write it before the header, and read it there.
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
_REASONS = {
    "unexpected end of data": "a quoted field does not end. Close or remove the quote",
    "field larger": "a field is too long. Close or remove the quote before it",
    "expected after": "text follows a closing quote. Double the quotes within a field",
}


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A header, and the records below it.

    `columns` are the names of the header, as `normalized` returns them, and `line` is where they
    are. `separator` is the character between two fields.
    """

    name: str
    line: int
    columns: list[str]
    separator: str
    _records: Iterator[tuple[int, int, list[str]]]
    _lines: list[str]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not blank: its line, and its fields without outer blanks.

        Raises
        ------
        BadInputError
            If a row has another number of fields than the header, or is not valid CSV.
        """
        width = len(self.columns)
        for first, last, fields in self._records:
            if not any(map(str.strip, fields)):
                continue
            # A stray quote swallows rows up to the next one.
            if any(line.count(self.separator) + 1 >= width for line in self._lines[first:last]):
                raise BadInputError(
                    f"{self.name}, line {first}: a quoted field goes on to line {last} and holds "
                    "what looks like rows. Close or remove the quote"
                )
            if len(fields) != width:
                cure = (
                    "Write decimals with a point, and quote texts that hold the separator"
                    if len(fields) > width
                    else "Fill in what is missing, or delete the line"
                )
                raise BadInputError(
                    f"{self.name}, line {first}: {len(fields)} fields, separated by "
                    f"{self.separator!r}, but the header has {width}. {cure}"
                )
            yield first, [field.strip() for field in fields]


def parse(text: str, name: str, wanted: Collection[str]) -> CsvTable:
    """Find the separator and the header.

    Parameters
    ----------
    text
        The content of the file.
    name
        The file, for messages.
    wanted
        Columns that are looked for: the separator is the one that separates most of them.

    Raises
    ------
    BadInputError
        If there is no header, or it is not valid CSV.
    """
    lines = list(io.StringIO(text, newline=""))
    start, separators = 0, _SEPARATORS
    if lines and (said := _SEPARATOR_LINE.fullmatch(lines[0])):
        start, separators = 1, (said[1],)
    found = []
    refused: BadInputError | None = None
    for separator in separators:
        records = _records(lines, start, separator, name)
        try:
            line, header = next(
                ((line, fields) for line, _, fields in records if any(map(str.strip, fields))),
                (1, []),
            )
        except BadInputError as error:
            refused = refused or error
            continue
        columns = [normalized(column) for column in header]
        table = CsvTable(name, line, columns, separator, records, lines)
        found.append((sum(column in columns for column in wanted), table))
    if not found:
        raise refused or BadInputError(f"{name} cannot be read")
    # Of equals the first.
    _, table = max(found, key=lambda each: each[0])
    if not table.columns:
        raise BadInputError(f"{name} is empty. Write a header and a line for each match")
    return table


def _records(
    lines: list[str], start: int, separator: str, name: str
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the first and the last line of each record, with its fields."""
    reader = csv.reader(lines[start:], delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        first = start + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = next(
                (text for part, text in _REASONS.items() if part in str(error)),
                f"{one_line(str(error))}. Correct the line",
            )
            raise BadInputError(f"{name}, line {first}: not valid CSV: {reason}") from None
        yield first, start + reader.line_num, fields
