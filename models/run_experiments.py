"""Run many experiments at once, and log them to the deployment.

Experiments that are FINISHED with the same config and the same table are skipped. The environment
names the deployment, as .deploy/<deployment>/mlflow.env exports it.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import signal
import sys
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from football import worker, worker_pool
from football.background import requests_at_once
from football.connection import check_server
from football.errors import BadInputError, TrainingError, one_line
from football.kinds import KINDS, named
from football.naming import GROUND_TRUTH_PREFIX, IRREDUCIBLE_PREFIX, METRICS, registered
from football.preparation import MODELS, Prepared, prepare_all, provenance_tags
from football.task import Task
from football.tracking import PATIENCE, patience
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from football.registry import Champion
    from football.task import Outcome

GRID = MODELS / "configs/grid"
SOME_FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
DONE = "DONE BEFORE"
_STYLES = {"FINISHED": "green", "FAILED": "red", "KILLED": "yellow"}
_WIDTH_OF_FILES = 140


@dataclass
class Line:
    """The state of one experiment."""

    prepared: Prepared
    attempt: str
    status: str = worker.NOT_RUN
    run_id: str = ""
    seconds: float | None = None
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)

    def take(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        self.status, self.run_id, self.reason = outcome.status, outcome.run_id, outcome.reason
        self.seconds, self.metrics = outcome.seconds, outcome.metrics


class Session:
    """One run of this program.

    1. `check` makes all estimators once.
    2. `plan` finds the FINISHED runs, and creates what the others need.
    3. `run` runs the rest. If a worker dies, it ends the worker's runs and goes on.
    4. `promote_champion` compares the FINISHED runs.
    """

    def __init__(self, prepared: list[Prepared], pool: worker_pool.WorkerPool) -> None:
        self.id = uuid.uuid4().hex
        self.lines = [Line(one, f"{self.id}-{number}") for number, one in enumerate(prepared)]
        self.interrupted = False
        self._pool = pool
        self._plan = worker.Plan({})

    def check(self) -> None:
        """Check that all estimators can be made; meanwhile the workers import what they need."""
        configs = [(line.prepared.name, line.prepared.config) for line in self.lines]
        shares = [configs[start :: self._pool.size] for start in range(self._pool.size)]
        uri = os.environ["MLFLOW_TRACKING_URI"]
        found = self._pool.each(worker.check, [(share, uri) for share in shares])
        complaints = dict.fromkeys(text for texts in found for text in texts)
        if complaints:
            raise BadInputError("\n".join(complaints))

    def plan(self, *, again: bool, dry: bool, register: bool) -> None:
        """Find the FINISHED runs, and create the experiments and registered models."""
        configs = [line.prepared.config for line in self.lines]
        self._plan = self._pool.once(
            worker.plan,
            dict.fromkeys(config.experiment_name for config in configs),
            dict.fromkeys(line.prepared.table.sha256 for line in self.lines),
            self._models() if register else {},
            dry=dry,
        )
        if again:
            return
        for line in self.lines:
            if line.prepared.key in self._plan.finished:
                line.status = DONE
                line.run_id, line.metrics = self._plan.finished[line.prepared.key]

    def run(self, progress: Progress, tags: dict[str, str], *, register: bool) -> None:
        """Run the experiments that are not FINISHED."""
        pending = {line.attempt: line for line in self._longest_first() if line.status != DONE}
        bar = progress.add_task("experiments", total=len(pending))
        while pending and not self.interrupted:
            tasks = [
                (self._task(line, tags, register=register), self._pool.stop)
                for line in pending.values()
            ]
            try:
                for attempt, outcome in self._pool.each(worker.work, tasks):
                    pending.pop(attempt).take(outcome)
                    if outcome.status == "KILLED" and not self.interrupted:
                        # A worker in this very process got the signal in place of the program.
                        self.interrupted = True
                        self._pool.interrupt()
                    progress.advance(bar)
            except worker_pool.WorkerLostError as error:
                if not self._end_orphaned_runs(pending, str(error)):
                    raise
                progress.update(bar, completed=len(self.lines) - len(pending))

    def promote_champion(self, metric: str) -> list[Champion]:
        """Promote the best FINISHED runs, of this session or earlier ones, to champions."""
        runs = defaultdict(list)
        for line in self.lines:
            if line.status in {"FINISHED", DONE}:
                for name in self._models([line]):
                    runs[name].append(line.run_id)
        experiments = list(self._plan.experiment_ids.values())
        return self._pool.once(worker.promote_champion, dict(runs), experiments, metric)

    def interrupt(self, number: int, _frame: object) -> None:
        """Ask the workers to end their runs; a second signal ends the program at once."""
        if self.interrupted:
            signal.signal(number, signal.SIG_IGN)
            raise KeyboardInterrupt
        self.interrupted = True
        self._pool.interrupt()

    def _task(self, line: Line, tags: dict[str, str], *, register: bool) -> Task:
        config = line.prepared.config
        return Task(
            name=line.prepared.name,
            config=config,
            table=line.prepared.table,
            experiment_id=self._plan.experiment_ids[config.experiment_name],
            attempt=line.attempt,
            tags=tags,
            register=register,
        )

    def _models(self, lines: list[Line] | None = None) -> dict[str, None]:
        """Return the names of the registered models."""
        configs = [line.prepared.config for line in (self.lines if lines is None else lines)]
        return dict.fromkeys(
            registered(config.model_type, target)
            for config in configs
            for target in config.dataset.targets
        )

    def _end_orphaned_runs(self, pending: dict[str, Line], reason: str) -> bool:
        """End the runs of a worker that died; return whether there were any."""
        status = "KILLED" if self.interrupted else "FAILED"
        ids = list(self._plan.experiment_ids.values())
        lost = self._pool.once(worker.end_orphaned_runs, self.id, ids, status, reason)
        for attempt, run_id in lost.items():
            line = pending.pop(attempt)
            line.status, line.run_id, line.reason = status, run_id, reason
        return bool(lost)

    def _longest_first(self) -> list[Line]:
        """Start with the longest experiments, so that all workers end at about the same time."""

        def trees(line: Line) -> int:
            number = line.prepared.config.parameters.get("n_estimators", 0)
            return number if isinstance(number, int) else 0

        return sorted(self.lines, key=trees, reverse=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    options = _parse(arguments)
    # Progress goes to the terminal; the table at the end goes to files as well.
    console = Console(stderr=True)
    try:
        return _run(options, console)
    except BadInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except worker_pool.WorkerLostError as error:
        print(f"error: worker processes keep dying: {error}", file=sys.stderr)
        return SOME_FAILED
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return SOME_FAILED
    except KeyboardInterrupt:
        print("interrupted; a run may be left RUNNING", file=sys.stderr)
        return INTERRUPTED


def _run(options: argparse.Namespace, console: Console) -> int:
    """Check all experiments, run them, and print the results."""
    started = time.monotonic()
    prepared = prepare_all(_choose(options), options.data_dir)
    if options.patience is not None:
        os.environ[PATIENCE] = str(patience({PATIENCE: str(options.patience)}))
    patience(os.environ)
    requests_at_once(os.environ)
    check_server(os.environ)
    champions: list[Champion] = []
    refused = ""
    # More workers than experiments would be idle.
    jobs = min(options.jobs, len(prepared))
    with worker_pool.open_pool(jobs, options.scheduler, options.security) as pool:
        session = Session(prepared, pool)
        signal.signal(signal.SIGINT, session.interrupt)
        signal.signal(signal.SIGTERM, session.interrupt)
        with console.status("checking"):
            session.check()
            if not session.interrupted:
                session.plan(again=options.again, dry=options.dry_run, register=options.register)
        if not options.dry_run and not session.interrupted:
            with _progress(console) as progress:
                session.run(progress, provenance_tags(), register=options.register)
            if options.register and not session.interrupted:
                try:
                    champions = session.promote_champion(options.metric)
                except TrainingError as error:
                    refused = str(error)
    _show(session.lines, champions, options.metric, time.monotonic() - started)
    if session.interrupted:
        print("interrupted: call it again to do the rest", file=sys.stderr)
        return INTERRUPTED
    if refused:
        print(f"error: {refused}", file=sys.stderr)
        return SOME_FAILED
    fine = {"FINISHED", DONE} | ({worker.NOT_RUN} if options.dry_run else set())
    return 0 if all(line.status in fine for line in session.lines) else SOME_FAILED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_argument_group("which experiments")
    which.add_argument("configs", nargs="*", type=Path, help="JSON files, or directories of them")
    which.add_argument(
        "--all", action="store_true", help="those of the project's grid (models/configs/grid)"
    )
    which.add_argument(
        "--model", action="append", metavar="KIND", help="of these, those of a kind; repeatable"
    )
    which.add_argument(
        "--pattern", metavar="GLOB", help="of these, those whose file name is like 'poisson_*'"
    )
    which.add_argument(
        "--data-dir", type=Path, help="the only directory in which tables are looked for"
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--jobs", type=int, default=-1, help="worker processes (default: one per processor)"
    )
    how.add_argument("--dry-run", action="store_true", help="only list the experiments")
    how.add_argument("--again", action="store_true", help="also run what is FINISHED")
    how.add_argument(
        "--metric",
        choices=METRICS,
        default="mse",
        help="the metric that decides on champions (mse)",
    )
    how.add_argument(
        "--no-register", dest="register", action="store_false", help="register no models"
    )
    how.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="how long to retry while the server is unavailable (300)",
    )
    where = parser.add_argument_group("where")
    where.add_argument("--backend", choices=("processes", "dask"), default="processes")
    where.add_argument("--scheduler", metavar="ADDRESS", help="Dask's, such as tls://10.0.0.4:8786")
    for name in ("ca", "cert", "key"):
        where.add_argument(f"--tls-{name}", metavar="FILE", help="for a scheduler behind tls://")
    options = parser.parse_args(arguments)
    if (options.backend == "dask") != (options.scheduler is not None):
        parser.error("--backend dask and --scheduler ADDRESS belong together")
    files = {name: getattr(options, f"tls_{name}") for name in ("ca", "cert", "key")}
    if any(files.values()) and not all(files.values()):
        parser.error("--tls-ca, --tls-cert and --tls-key belong together")
    options.security = files if all(files.values()) else None
    if not options.jobs:
        parser.error("--jobs 0 would do nothing: give a number from 1, or -1 for all processors")
    if not (options.all or options.configs or options.model or options.pattern):
        parser.error("say which: --all, --model KIND, --pattern GLOB, or files")
    return options


def _choose(options: argparse.Namespace) -> list[Path]:
    """Find the configs that the options name."""
    places = [*([GRID] if options.all or not options.configs else []), *options.configs]
    paths = list(dict.fromkeys(path for place in places for path in _expand(place)))
    if options.pattern:
        paths = [
            path
            for path in paths
            if fnmatch.fnmatch(path.name, options.pattern)
            or fnmatch.fnmatch(path.stem, options.pattern)
        ]
    if options.model:
        kinds = {named(name) for name in options.model}
        if None in kinds:
            raise BadInputError(
                f"--model: {one_line(' '.join(options.model))}: no such kind of model. Give one of "
                f"{', '.join(KINDS)}"
            )
        # A config that cannot be read has no kind; its mistake is reported later.
        paths = [path for path in paths if _kind(path) in kinds]
    if not paths:
        raise BadInputError(
            "no config matches. See models/configs/grid, or write some with generate_configs.py"
        )
    return paths


def _expand(place: Path) -> Iterator[Path]:
    try:
        directory = place.is_dir()
    except (OSError, ValueError):
        # Too long a name, say; reading it says so.
        directory = False
    if directory:
        yield from sorted(place.rglob("*.json"))
    else:
        yield place


def _kind(path: Path) -> str | None:
    from football import config  # noqa: PLC0415 -- only with --model

    return config.load(path).model_type


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def _show(lines: list[Line], champions: list[Champion], metric: str, seconds: float) -> None:
    """Print a line for each experiment, the best first, and one for each champion."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_FILES)
    table = Table(box=None, header_style="bold")
    for heading, numeric in [
        ("config", False),
        ("status", False),
        ("run", False),
        ("s", True),
        ("mse", True),
        ("deviance", True),
        ("log loss", True),
        ("", False),
    ]:
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=bool(heading))
    shown = ("mse_promedio", "poisson_deviance_promedio", "log_loss")
    for line in sorted(lines, key=lambda line: line.metrics.get(shown[0], float("inf"))):
        status = f"[{_STYLES[line.status]}]{line.status}" if line.status in _STYLES else line.status
        table.add_row(
            Path(line.prepared.name).stem,
            status,
            line.run_id[:8],
            "" if line.seconds is None else f"{line.seconds:.1f}",
            *(f"{line.metrics[name]:.4f}" if name in line.metrics else "" for name in shown),
            line.reason.partition("\n")[0],
        )
    for prefix, text in [
        (GROUND_TRUTH_PREFIX, "ground truth"),
        (IRREDUCIBLE_PREFIX, "expected of the ground truth"),
    ]:
        best = {tuple(line.metrics.get(f"{prefix}{name}") for name in shown) for line in lines}
        best = {values for values in best if None not in values}
        # Experiments with different test matches have different best errors.
        if len(best) == 1:
            table.add_row(text, "", "", "", *(f"{value:.4f}" for value in best.pop() if value), "")
    console.print(table)
    for champion in champions:
        console.print(champion.describe(metric), highlight=False)
    counts = Counter(line.status for line in lines)
    console.print(
        ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        + f" in {seconds:.1f} s",
        highlight=False,
    )


if __name__ == "__main__":
    sys.exit(main())
