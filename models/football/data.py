"""The table that an experiment learns from.

It is read with Python's own means, so that a broken one is refused at once: importing pandas takes
longer than reading a league.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from football import csvtable, ground_truth, numbers, textfile
from football.errors import BadInputError, one_line, quoted, shown, why
from football.naming import normalized

if TYPE_CHECKING:
    from football.config import Config, Training
    from football.csvtable import CsvTable

_FEWEST_TO_LEARN_FROM = 2
MOST_GOALS = 1000


@dataclass(frozen=True, slots=True)
class Table:
    """Matches by column, in the order of the file.

    `sha256` is the digest of that file. `means` holds the means of the host's and the guest's
    goals, match by match, if the league is simulated and its ground truth is known.
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
    field = f"{config_path}: dataset.file_path is {shown(file_path)}"
    wanted = Path(file_path)
    try:
        if data_directory is not None:
            root = data_directory.resolve()
            if not root.is_dir():
                raise BadInputError(
                    f"--data-dir: {data_directory} is not a directory. Give one that exists"
                )
            if not (root / wanted).resolve().is_relative_to(root):
                raise BadInputError(
                    f"{field}, which is outside {root}. Give --data-dir the directory of the table"
                )
            places = [root]
        elif wanted.is_absolute() or ".." in wanted.parts:
            raise BadInputError(
                f"{field}: a path that is absolute or holds .. needs the option --data-dir with "
                "the directory of the table"
            )
        else:
            places = [Path.cwd(), config_path.resolve().parent, project_data]
        for place in places:
            found = place / wanted
            if found.is_file():
                return found
            if found.is_symlink() or found.exists():
                # Another table further on would be read in its place.
                raise BadInputError(f"{field}, but {found} is not a file. Move it away")
    except (OSError, RuntimeError, ValueError) as error:
        # Too long, not permitted, a loop of links, a NUL.
        raise BadInputError(
            f"{field}, which is not a usable path: {why(error)}. Correct it"
        ) from None
    looked = ", ".join(dict.fromkeys(str(place) for place in places))
    raise BadInputError(
        f"{field}, but there is no such file in {looked}. Copy it there or correct the path"
    )


def load(path: Path, config: Config, config_path: Path) -> Table:
    """Read the columns that the config names.

    Parameters
    ----------
    path
        A CSV file with a header, separated by commas, semicolons, tabs or bars.
    config
        What is wanted of it.
    config_path
        The config, for messages.

    Raises
    ------
    BadInputError
        If the file is not such a table, lacks a column or a number, or is too small to be split;
        names the file, the line and the cure.
    """
    dataset = config.dataset
    content, text = textfile.read(path)
    table = Table(
        {name: [] for name in dataset.features},
        {name: [] for name in dataset.targets},
        hashlib.sha256(content).hexdigest(),
    )
    source = csvtable.parse(
        text, str(path), [normalized(name) for name in (*dataset.features, *dataset.targets)]
    )
    places = _places(source, config, config_path)
    has_targets = tuple(dataset.targets) == ground_truth.TARGETS
    has_ratings = set(ground_truth.RATINGS) <= set(source.columns)
    truth = ground_truth.read(path, table.sha256) if has_targets and has_ratings else None
    means: list[tuple[float, float]] = []
    for line, fields in source.rows():
        where = f"{path}, line {line}"
        for name, numbers_of in table.features.items():
            numbers_of.append(_number(fields[places[name]], f"{where}: {name}"))
        for name, goals in table.goals.items():
            goals.append(_goals(fields[places[name]], f"{where}: {name}"))
        if truth:
            host, guest = (
                _number(fields[source.columns.index(name)], f"{where}: {name}")
                for name in ground_truth.RATINGS
            )
            means.append(truth.means(host, guest))
    _check_size(len(table), config.training, path)
    return replace(table, means=means) if truth else table


def _places(source: CsvTable, config: Config, config_path: Path) -> dict[str, int]:
    """Return where the columns are that the config names; see that each is there once."""
    dataset, columns = config.dataset, source.columns
    folded = [column.casefold() for column in columns]
    places = {}
    for field, names in [("features", dataset.features), ("targets", dataset.targets)]:
        for given in names:
            name = normalized(given)
            if name not in columns:
                near = difflib.get_close_matches(name, columns, 1) or columns
                raise BadInputError(
                    f"{config_path}: dataset.{field} names {shown(given)}, which is not a column "
                    f"of {source.name}, line {source.line}: did you mean "
                    f"{one_line(' or '.join(near))}?"
                )
            if folded.count(name.casefold()) > 1:
                raise BadInputError(
                    f"{source.name}, line {source.line}: duplicate column {shown(name)}. Rename one"
                )
            places[given] = columns.index(name)
    return places


def _number(text: str, where: str) -> float:
    """Read a number of a field."""
    try:
        return numbers.read(text)
    except ValueError as error:
        raise BadInputError(f"{where} is {quoted(text)}: {error}") from None


def _goals(text: str, where: str) -> int:
    """Read a number of goals."""
    number = _number(text, where)
    if not number.is_integer() or not 0 <= number <= MOST_GOALS:
        raise BadInputError(
            f"{where} is {quoted(text)}: goals are whole numbers from 0 to {MOST_GOALS}. Correct "
            "it, delete the line, or name another target"
        )
    return int(number)


def _check_size(matches: int, training: Training, path: Path) -> None:
    """See that there is something to learn from when the matches to test with are taken out."""
    left = matches - math.ceil(matches * training.test_size)
    if left < _FEWEST_TO_LEARN_FROM:
        raise BadInputError(
            f"{path} has {matches} matches, of which training.test_size {training.test_size} "
            f"leaves {left} to learn from. Give more matches or a smaller test_size"
        )
