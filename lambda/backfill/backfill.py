#!/usr/bin/env python3
"""Write every logged value of chosen experiments into blocks of Prometheus.

    set -a; . .deploy/demo/reader.env
    backfill.py write DIRECTORY --experiment poisson   # one file of OpenMetrics for each 54 hours
    backfill.py blocks DIRECTORY                       # promtool makes a block of each file

`write` reads the views of role mlflow_database (schema `mlflow_history`) with the settings of libpq
in the environment. `blocks` needs promtool and no database, so it can run on another machine. Both
can be interrupted and run again: files and blocks that are complete and unchanged stay.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "metrics"))

from naming import METRIC_PREFIX, family_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# promtool reads a file once for each block, so a file has no more than one block. Blocks of
# Prometheus last 2 hours, or 3, 9, 27, ... times as long.
WINDOW_HOURS = 54
_WINDOW_MILLISECONDS = WINDOW_HOURS * 3_600_000
_ROWS_AT_A_TIME = 10_000
_NOTE = "block.json"

# A series has one value in a millisecond. Values that were logged in the same one, or that have
# been moved there, are moved one further; their order is that of their steps.
_VALUES = """
SELECT time / %(window)s AS part, run_id, experiment, metric, time, value
FROM (
  SELECT run_id, experiment, metric, value, regexp_replace(metric, '[^a-zA-Z0-9_]', '_', 'g') AS name,
         number + max(logged - number) OVER (series ROWS UNBOUNDED PRECEDING) AS time
  FROM (
    SELECT run_id, experiment, metric, value, step, logged,
           row_number() OVER (
             PARTITION BY run_id, metric ORDER BY logged, step, value
           ) AS number
    FROM (
      SELECT run_id, experiment, metric, value, step,
             round(extract(epoch FROM time) * 1000)::bigint AS logged
      FROM mlflow_history.metric_values
      JOIN mlflow_history.runs USING (run_id)
      WHERE experiment = ANY (%(experiments)s)
    ) AS logged
  ) AS numbered
  WINDOW series AS (PARTITION BY run_id, metric ORDER BY number)
) AS moved
ORDER BY part, name COLLATE "C", metric COLLATE "C", run_id, time
"""  # noqa: E501
_COUNT = """
SELECT count(*) FROM mlflow_history.metric_values JOIN mlflow_history.runs USING (run_id)
WHERE experiment = ANY (%(experiments)s)
"""
# The runs of which several metrics lead to one name, with all their metrics.
_COLLISIONS = """
SELECT run_id, array_agg(metric)
FROM mlflow_history.latest_values
JOIN mlflow_history.runs USING (run_id)
WHERE experiment = ANY (%(experiments)s)
GROUP BY run_id
HAVING count(*) > count(DISTINCT regexp_replace(metric, '[^a-zA-Z0-9_]', '_', 'g'))
"""
_KNOWN = "SELECT name FROM mlflow_history.experiments WHERE name = ANY (%(experiments)s)"


def write(directory: Path, experiments: Sequence[str]) -> int:
    """Write the files of OpenMetrics; return how many values they have.

    Parameters
    ----------
    directory
        Where; files of an earlier run that have no values any more are removed.
    experiments
        Whole names of active experiments.

    Raises
    ------
    ValueError
        If an experiment does not exist.
    """
    import psycopg2  # noqa: PLC0415 - `blocks` runs where it is not installed

    directory.mkdir(parents=True, exist_ok=True)
    parameters = {"experiments": list(experiments), "window": _WINDOW_MILLISECONDS}
    with closing(psycopg2.connect("", application_name="mlflow-backfill")) as connection:
        # All statements see the same state; no other than the login's own timeout ends them.
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(_KNOWN, parameters)
            unknown = sorted(set(experiments) - {name for (name,) in cursor.fetchall()})
            if unknown:
                raise ValueError(
                    f"experiments: {', '.join(unknown)} is not an active experiment. Write its"
                    " whole name."
                )
            cursor.execute(_COLLISIONS, parameters)
            names = {run_id: family_names(tuple(keys)) for run_id, keys in cursor.fetchall()}
            cursor.execute(_COUNT, parameters)
            [(total,)] = cursor.fetchall()
        # On the server, so that no more than a few rows are in memory.
        with connection.cursor("values") as rows:
            rows.itersize = _ROWS_AT_A_TIME
            rows.execute(_VALUES, parameters)
            written = _write_parts(directory, rows, names, total)
    _say(f"{total} values in {len(written)} files")
    for path in directory.glob("*.om.gz"):
        if path not in written:
            path.unlink()
    return int(total)


def _write_parts(
    directory: Path, rows: Iterable[Any], names: dict[str, Any], total: int
) -> set[Path]:
    """Write a file for each part of the time; return them."""
    written: set[Path] = set()
    current: int | None = None
    file: Any = None
    try:
        for number, (part, run_id, experiment, metric, time, value) in enumerate(rows, 1):
            if part != current:
                if current is not None:
                    written.add(_finish(directory, current, file))
                current = part
                # Without a time in it, so that the same values make the same file.
                raw = _partial(directory, part).open("wb")
                file = gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0)
            known = names.get(run_id)
            name = known[metric] if known else METRIC_PREFIX + re.sub(r"[^a-zA-Z0-9_]", "_", metric)
            labels = (
                f'run_id="{run_id}",experiment_name="{_escape(experiment)}",job="mlflow-backfill"'
            )
            seconds = f"{time // 1000}.{time % 1000:03}"
            file.write(f"{name}{{{labels}}} {_number(value)} {seconds}\n".encode())
            if number % (10 * _ROWS_AT_A_TIME) == 0:
                _say(f"{number} of {total} values, {100 * number // total} %")
        if current is not None:
            written.add(_finish(directory, current, file))
            file = None
    finally:
        if file is not None:
            file.fileobj.close()
    return written


def blocks(directory: Path, promtool: str = "promtool") -> list[str]:
    """Make a block of each file below `directory`/blocks; return the names of all blocks.

    Raises
    ------
    OSError
        If promtool is not installed.
    subprocess.CalledProcessError
        If promtool refuses a file.
    """
    files = sorted(directory.glob("*.om.gz"))
    target = directory / "blocks"
    target.mkdir(exist_ok=True)
    present = dict(_noted(target))
    for name, (source, _) in present.items():
        if not (directory / source).exists():
            shutil.rmtree(target / name)
    made = []
    for number, file in enumerate(files, 1):
        digest = _digest(file)
        found = [name for name, note in present.items() if note == (file.name, digest)]
        if not found:
            found = [_make(file, digest, target, promtool)]
            for name, note in present.items():
                if note[0] == file.name:
                    shutil.rmtree(target / name)
        made += found
        _say(f"block {number} of {len(files)}: {found[0]}")
    return made


def _make(file: Path, digest: str, target: Path, promtool: str) -> str:
    """Make a block in a directory of its own, and move it when it is complete."""
    with tempfile.TemporaryDirectory(prefix=".making-", dir=target) as name:
        text = Path(name) / "values.om"
        with gzip.open(file) as packed, text.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
            plain.write(b"# EOF\n")
        subprocess.run(
            [
                *(promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet"),
                *(f"--max-block-duration={WINDOW_HOURS}h", text, Path(name) / "data"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        [block] = [path.parent for path in Path(name).glob("data/*/meta.json")]
        (block / _NOTE).write_text(json.dumps({"file": file.name, "sha256": digest}))
        block.rename(target / block.name)
    return block.name


def _noted(target: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Return the blocks that an earlier run has made, and from what."""
    for path in sorted(target.glob(f"*/{_NOTE}")):
        note = json.loads(path.read_text())
        yield path.parent.name, (note["file"], note["sha256"])


def _partial(directory: Path, part: int) -> Path:
    return directory / f"{part}.om.gz.part"


def _finish(directory: Path, part: int, file: Any) -> Path:
    """Close a file, and give it its name; one that has the same contents stays."""
    raw = file.fileobj
    file.close()
    raw.close()
    path = directory / f"{part}.om.gz"
    _partial(directory, part).replace(path)
    return path


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _say(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    writer = commands.add_parser("write", help="write files of OpenMetrics")
    writer.add_argument("directory", type=Path)
    writer.add_argument("--experiment", action="append", required=True, dest="experiments")
    maker = commands.add_parser("blocks", help="make blocks of the files")
    maker.add_argument("directory", type=Path)
    maker.add_argument("--promtool", default="promtool")
    options = parser.parse_args(arguments)
    try:
        if options.command == "write":
            write(options.directory, options.experiments)
        else:
            before = set(dict(_noted(options.directory / "blocks")))
            names = blocks(options.directory, options.promtool)
            print(f"{len(names)} blocks, {len(set(names) - before)} new")
    except FileNotFoundError as error:
        if error.filename != getattr(options, "promtool", None):
            raise
        parser.exit(1, f"promtool: {error.filename} is not installed. Install Prometheus.\n")
    except (ValueError, subprocess.CalledProcessError, zlib.error) as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
