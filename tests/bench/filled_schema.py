"""Fill MLflow's own tables, at a size that clients would need days for."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.postgres import Cluster, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

METRICS = [
    "mse_local", "mse_visitante", "mse_promedio", "accuracy_local",
    "accuracy_visitante", "accuracy_promedio", "precision_local", "recall_local",
]  # fmt: skip
BASE = 1_760_000_000_000  # milliseconds since 1970
DELETED = 0.02
INDEX = (
    "CREATE INDEX mlflow_latest_run ON runs (experiment_id, start_time DESC, run_uuid)"
    " WHERE lifecycle_stage = 'active'"
)
EXPERIMENT_COLUMNS = [
    "experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time",
    "last_update_time",
]  # fmt: skip
RUN_COLUMNS = [
    "run_uuid", "name", "source_type", "user_id", "status", "start_time", "end_time",
    "lifecycle_stage", "artifact_uri", "experiment_id",
]  # fmt: skip
# Of these a COPY of millions of rows is done sooner without.
KEYS = {
    "latest_metrics": [
        ("latest_metric_pk", "PRIMARY KEY (key, run_uuid)"),
        ("latest_metrics_run_uuid_fkey", "FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)"),
    ],
    "tags": [
        ("tag_pk", "PRIMARY KEY (key, run_uuid)"),
        ("tags_run_uuid_fkey", "FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)"),
    ],
}
INDEXES = {"latest_metrics": "index_latest_metrics_run_uuid", "tags": "index_tags_run_uuid"}


@dataclass(frozen=True)
class Size:
    """How much there is; `metrics` is a number per run."""

    experiments: int
    runs: int
    metrics: int = len(METRICS)

    def __str__(self) -> str:
        return f"{self.experiments}x{self.runs}"


class _Rows(io.TextIOBase):
    """Lines as a file, for COPY, without holding them all."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._rest = ""

    def read(self, size: int | None = -1) -> str:
        parts, length = [self._rest], len(self._rest)
        for line in self._lines:
            parts.append(line)
            length += len(line)
            if size is not None and 0 <= size <= length:
                break
        text = "".join(parts)
        end = len(text) if size is None or size < 0 else size
        self._rest = text[end:]
        return text[:end]


def fill(cluster: Cluster, database: str, size: Size, *, index: bool = True) -> None:
    """Make a database with MLflow's tables and fill it.

    Beside ``size.experiments`` experiments of ``size.runs`` runs there are an empty one, a deleted
    one and MLflow's ``Default``. Of the runs 2 % are deleted; among the values are NaN and both
    infinities.

    Parameters
    ----------
    cluster
        Where.
    database
        Name of the database to create.
    size
        How much.
    index
        Whether to make the index that role mlflow makes.
    """
    cluster.execute(f"CREATE DATABASE {database}")
    open_store(cluster.url(database)).engine.dispose()
    cluster.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO mlflow_metrics", database)
    chance = random.Random(f"{size}")  # noqa: S311  reproducible, and no secret
    uuids = [f"{chance.getrandbits(128):032x}" for _ in range((size.experiments + 1) * size.runs)]

    for table, keys in KEYS.items():
        cluster.execute(f"DROP INDEX {INDEXES[table]}", database)
        for name, _ in keys:
            cluster.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}", database)
    copies: list[tuple[str, Iterator[str]]] = [
        (
            f"experiments ({', '.join(EXPERIMENT_COLUMNS)})",
            _experiments(size),
        ),
        (f"runs ({', '.join(RUN_COLUMNS)})", _runs(size, uuids, chance)),
        (
            "latest_metrics (key, value, timestamp, step, is_nan, run_uuid)",
            _metrics(size, uuids, chance),
        ),
        ("tags (key, value, run_uuid)", _tags(uuids)),
    ]
    connection = cluster.connect(database)
    with connection.cursor() as cursor:
        for table, lines in copies:
            cursor.copy_expert(f"COPY {table} FROM STDIN", _Rows(lines), size=1 << 20)
    connection.close()
    for table, keys in KEYS.items():
        for name, definition in keys:
            cluster.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}", database)
        cluster.execute(f"CREATE INDEX {INDEXES[table]} ON {table} (run_uuid)", database)
    if index:
        cluster.execute(INDEX, database)
    cluster.execute("VACUUM ANALYZE", database)


def _experiments(size: Size) -> Iterator[str]:
    known = [(number, f"liga {number}", "active") for number in range(1, size.experiments + 1)]
    known += [
        (size.experiments + 1, "deleted", "deleted"),
        (size.experiments + 2, "empty", "active"),
    ]
    for number, name, stage in known:
        yield f"{number}\t{name}\tmlflow-artifacts:/{number}\t{stage}\t{BASE}\t{BASE}\n"


def _runs(size: Size, uuids: list[str], chance: random.Random) -> Iterator[str]:
    for number, uuid in enumerate(uuids):
        experiment, index = divmod(number, size.runs)
        start = BASE + index * 60_000 + chance.randrange(50_000)
        stage = "deleted" if chance.random() < DELETED else "active"
        status = chance.choices(["FINISHED", "FAILED", "RUNNING"], [95, 4, 1])[0]
        end = "\\N" if status == "RUNNING" else start + 30_000
        yield (
            f"{uuid}\trun {index}\tLOCAL\tsomebody\t{status}\t{start}\t{end}\t{stage}"
            f"\tmlflow-artifacts:/{experiment + 1}/{uuid}/artifacts\t{experiment + 1}\n"
        )


def _metrics(size: Size, uuids: list[str], chance: random.Random) -> Iterator[str]:
    keys = (METRICS + [f"metric_{n}" for n in range(size.metrics)])[: size.metrics]
    for uuid in uuids:
        for key in keys:
            draw = chance.random()
            value, is_nan = repr(draw), "f"
            if draw < 0.001:
                value, is_nan = "0", "t"
            elif draw < 0.002:
                value = "1.7976931348623157e308"
            elif draw < 0.003:
                value = "-1.7976931348623157e308"
            yield f"{key}\t{value}\t{BASE}\t0\t{is_nan}\t{uuid}\n"


def _tags(uuids: list[str]) -> Iterator[str]:
    for uuid in uuids:
        yield f"model_type\tRandomForest\t{uuid}\n"
        yield f"mlflow.source.name\ttrain.py\t{uuid}\n"
