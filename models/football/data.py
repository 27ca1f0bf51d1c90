"""The table that an experiment learns from.

It is read with Python's own means, so that a broken one is told at once: importing pandas takes
longer than reading a league.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from football import law as laws
from football.errors import BadInputError

if TYPE_CHECKING:
    from football.config import Config, Training

_FEWEST_TO_LEARN_FROM = 2


@dataclass(frozen=True, slots=True)
class Table:
    """Matches by column, in the order of the file.

    `sha256` is the digest of that file. `means` holds the means of the host's and the guest's
    goals, match by match, if the league is simulated and its law is known.
    """

    features: dict[str, list[float]]
    goals: dict[str, list[int]]
    sha256: str
    means: list[tuple[float, float]] | None = None

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(next(iter(self.goals.values())))


def locate(
    file_path: str, config_path: Path, project_data: Path, data_directory: Path | None
) -> Path:
    """Find the table of a config.

    Parameters
    ----------
    file_path
        As the config names it.
    config_path
        The config. A table is looked for in the working directory, beside the config, and last in
        `project_data`.
    project_data
        The project's own data.
    data_directory
        What the user named with --data-dir, if anything. It is then the only place to look, and
        paths that are absolute or hold `..` may be used as long as they stay in it.

    Raises
    ------
    BadInputError
        If the file is in none of these places, or the path leads out of them.
    """
    field = f"{config_path}: dataset.file_path is {file_path!r}"
    wanted = Path(file_path)
    if data_directory is not None:
        root = data_directory.resolve()
        if not root.is_dir():
            raise BadInputError(f"--data-dir: {data_directory} is no directory: name one that is")
        if not (root / wanted).resolve().is_relative_to(root):
            raise BadInputError(
                f"{field}, which lies outside {root}: give --data-dir the directory it lies in"
            )
        places = [root]
    elif wanted.is_absolute() or ".." in wanted.parts:
        raise BadInputError(
            f"{field}: a path that is absolute or holds .. needs the option --data-dir with the "
            "directory it lies in"
        )
    else:
        places = [Path.cwd(), config_path.resolve().parent, project_data]
    for place in places:
        if (place / wanted).is_file():
            return place / wanted
    looked = ", ".join(dict.fromkeys(str(place) for place in places))
    raise BadInputError(
        f"{field}, but there is no such file in {looked}: put it there or correct the path"
    )


def load(path: Path, config: Config, config_path: Path) -> Table:
    """Read the columns that the config names.

    Parameters
    ----------
    path
        A CSV file with a header, in UTF-8.
    config
        What is wanted of it.
    config_path
        The config, for messages.

    Raises
    ------
    BadInputError
        If the file is no such table, lacks a column or a number, or is too small to be split.
    """
    dataset = config.dataset
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is not in UTF-8 ({error.reason}): convert it") from None
    table = Table(
        {name: [] for name in dataset.features},
        {name: [] for name in dataset.targets},
        hashlib.sha256(content).hexdigest(),
    )
    law = laws.read(path, table.sha256) if tuple(dataset.targets) == laws.TARGETS else None
    means: list[tuple[float, float]] = []
    rows = csv.DictReader(text.splitlines(keepends=True), strict=True)
    try:
        header = list(rows.fieldnames or [])
        _check_columns(header, config, path, config_path)
        for row in rows:
            place = f"{path}, line {rows.line_num}"
            for name, numbers in table.features.items():
                numbers.append(_number(row[name], f"{place}: {name}"))
            for name, goals in table.goals.items():
                goals.append(_goals(row[name], f"{place}: {name}"))
            if law:
                host, guest = (_number(row.get(name), f"{place}: {name}") for name in laws.RATINGS)
                means.append(law.means(host, guest))
    except csv.Error as error:
        raise BadInputError(f"{path} is no CSV: {error} in line {rows.line_num}") from None
    _check_size(len(table), config.training, path)
    return replace(table, means=means) if law else table


def _check_columns(header: list[str], config: Config, path: Path, config_path: Path) -> None:
    """See that the table has the columns that the config names, once each."""
    dataset = config.dataset
    for field, names in [("features", dataset.features), ("targets", dataset.targets)]:
        for name in names:
            if header.count(name) > 1:
                raise BadInputError(f"{path} has two columns {name!r}: rename one")
            if name not in header:
                near = difflib.get_close_matches(name, header, 1) or header or ["(none)"]
                raise BadInputError(
                    f"{config_path}: dataset.{field} names {name!r}, which is no column of {path}: "
                    f"did you mean {' or '.join(near)}?"
                )


def _number(text: str | None, place: str) -> float:
    """Read a finite number."""
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadInputError(
            f"{place} is {text or ''!r}, but a number is needed: fill it in, delete the line, or "
            "name columns that hold numbers"
        )
    return number


def _goals(text: str | None, place: str) -> int:
    """Read a number of goals."""
    number = _number(text, place)
    if number < 0 or not number.is_integer():
        raise BadInputError(
            f"{place} is {text!r}, but goals are whole numbers from 0: correct it, delete the "
            "line, or name another target"
        )
    return int(number)


def _check_size(matches: int, training: Training, path: Path) -> None:
    """See that there is something to learn from when the matches to test with are taken out."""
    left = matches - math.ceil(matches * training.test_size)
    if left < _FEWEST_TO_LEARN_FROM:
        raise BadInputError(
            f"{path} has {matches} matches, of which training.test_size {training.test_size} "
            f"leaves {left} to learn from: give more matches or a smaller test_size"
        )
