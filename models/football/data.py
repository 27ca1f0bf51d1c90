"""The table that an experiment learns from."""

from __future__ import annotations

import difflib
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from sklearn.model_selection import train_test_split

from football.errors import BadInputError

if TYPE_CHECKING:
    from football.config import Config, Training


@dataclass(frozen=True)
class Table:
    """Matches: features of shape (matches, features), goals of shape (matches, 2).

    `sha256` is the digest of the file that they come from.
    """

    features: pd.DataFrame
    goals: pd.DataFrame
    sha256: str


@dataclass(frozen=True)
class Split:
    """The matches to learn from and those to test with."""

    train_features: pd.DataFrame
    test_features: pd.DataFrame
    train_goals: pd.DataFrame
    test_goals: pd.DataFrame


def load(path: Path, config: Config, config_path: Path) -> Table:
    """Read the columns that the config names.

    Parameters
    ----------
    path
        The CSV file.
    config
        What is wanted of it.
    config_path
        Where the config stands, for messages.

    Raises
    ------
    BadInputError
        If the file is no CSV, lacks a column, or holds something else than numbers in one.
    """
    dataset = config.dataset
    try:
        content = path.read_bytes()
        frame = pd.read_csv(path)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise BadInputError(f"{path} is no CSV in UTF-8: {error}") from None
    for field, columns in [("features", dataset.features), ("targets", dataset.targets)]:
        for column in columns:
            if column not in frame.columns:
                near = difflib.get_close_matches(column, map(str, frame.columns), 1)
                hint = near or [str(name) for name in frame.columns]
                raise BadInputError(
                    f"{config_path}: dataset.{field} names {column!r}, which is no column of "
                    f"{path}: did you mean {' or '.join(hint)}?"
                )
    for column in [*dataset.features, *dataset.targets]:
        _check_numbers(frame[column], path)
    for column in dataset.targets:
        _check_counts(frame[column], path)
    _check_size(len(frame), config.training, path)
    return Table(
        features=frame[dataset.features].astype(np.float64),
        goals=frame[dataset.targets].astype(np.int64),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def split(table: Table, training: Training) -> Split:
    """Shuffle the matches and part them, as the seed says."""
    parts = train_test_split(
        table.features,
        table.goals,
        test_size=training.test_size,
        random_state=training.random_state,
    )
    return Split(*parts)


def locate(file_path: str, config_path: Path, data_directory: Path, own: Path | None) -> Path:
    """Find the table of a config.

    Parameters
    ----------
    file_path
        As the config names it.
    config_path
        The config: beside it is the second place to look.
    data_directory
        The project's own data, the last place to look.
    own
        The directory that the user named with --data-dir, if any: then the only place, and paths
        that are absolute or hold `..` may stay within it.

    Raises
    ------
    BadInputError
        If it is in none of these places, or leads out of them.
    """
    wanted = Path(file_path)
    if own is not None:
        root = own.resolve()
        if not root.is_dir():
            raise BadInputError(f"--data-dir: {own} is no directory")
        found = (root / wanted).resolve()
        if not found.is_relative_to(root):
            raise BadInputError(
                f"{config_path}: dataset.file_path is {file_path!r}, which lies outside {root}: "
                "name a directory that holds it with --data-dir"
            )
        places = [root]
    else:
        if wanted.is_absolute() or ".." in wanted.parts:
            raise BadInputError(
                f"{config_path}: dataset.file_path is {file_path!r}: paths that are absolute or "
                "hold .. need the option --data-dir with the directory that they lie in"
            )
        places = [Path.cwd(), config_path.resolve().parent, data_directory]
    for place in places:
        if (place / wanted).is_file():
            return place / wanted
    looked = ", ".join(dict.fromkeys(str(place) for place in places))
    raise BadInputError(
        f"{config_path}: dataset.file_path is {file_path!r}, which is no file in {looked}: "
        "put it there or correct the path"
    )


def _check_numbers(column: pd.Series, path: Path) -> None:
    """See that a column holds a finite number in every line."""
    missing = column.isna()
    if not missing.any():
        if not is_numeric_dtype(column) or is_bool_dtype(column):
            raise BadInputError(
                f"{path}: column {column.name!r} holds {column.iloc[0]!r}, which is no number: "
                "name columns of numbers"
            )
        missing = ~np.isfinite(column)
    if missing.any():
        count, line = int(missing.sum()), _line(missing)
        raise BadInputError(
            f"{path}: column {column.name!r} lacks a number in {count} lines, first in line "
            f"{line}: fill them in or delete these lines"
        )


def _check_counts(column: pd.Series, path: Path) -> None:
    """See that a column holds goals."""
    wrong = (column < 0) | (column != column.round())
    if wrong.any():
        raise BadInputError(
            f"{path}: column {column.name!r} holds {column[wrong].iloc[0]} in line "
            f"{_line(wrong)}, which is no number of goals: whole numbers from 0 are wanted"
        )


def _check_size(matches: int, training: Training, path: Path) -> None:
    """See that there is something to learn from after the split."""
    smallest = 2
    test = math.ceil(matches * training.test_size)
    if matches - test < smallest:
        raise BadInputError(
            f"{path}: of its {matches} matches training.test_size {training.test_size} leaves "
            f"{max(matches - test, 0)} to learn from: give more matches or a smaller test_size"
        )


def _line(wrong: pd.Series) -> int:
    """Return the first line of the file that is wrong; the header is line 1."""
    return int(np.argmax(wrong.to_numpy())) + 2
