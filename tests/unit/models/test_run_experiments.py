"""Many experiments at once, with all that may go wrong on the way, on a real tracking server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import predict
import pytest
import run_experiments
from distributed import Client
from football.naming import registered
from run_experiments import BAD_INPUT, INTERRUPTED, SOME_FAILED

from tests.loopback_server import running_server
from tests.processes import descendants, memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow.entities import Run

    from tests.loopback_server import TrackingServer

MODELS = Path(__file__).resolve().parents[3] / "models"
SCRIPT = MODELS / "run_experiments.py"
LIMIT_SECONDS = 900


def runs(server: TrackingServer, directory: Path | None = None) -> list[Run]:
    """Return the runs of the configs' experiments, or all."""
    client = mlflow.MlflowClient(server.url)
    names = {json.loads(path.read_text())["experiment_name"] for path in configs(directory)}
    experiments = [
        experiment.experiment_id
        for experiment in client.search_experiments()
        if not names or experiment.name in names
    ]
    return list(client.search_runs(experiments)) if experiments else []


def configs(directory: Path | None) -> list[Path]:
    return sorted(directory.rglob("*.json")) if directory else []


def statuses(server: TrackingServer, directory: Path) -> Counter[str]:
    return Counter(run.info.status for run in runs(server, directory))


def finished(server: TrackingServer, directory: Path) -> dict[str, dict[str, float]]:
    """Return the metrics of the FINISHED runs by config; none must be there twice."""
    found = [run for run in runs(server, directory) if run.info.status == "FINISHED"]
    by_config = {run.data.tags["config_sha256"]: run.data.metrics for run in found}
    assert len(by_config) == len(found)
    return by_config


def call(server: TrackingServer, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start the program in a process group of its own, as a shell does."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
    }
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=environment | server.client,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell may have its background jobs ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 -- no threads here
        **options,
    )


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for its end; return its exit code and what it printed."""
    output, errors = process.communicate(timeout=LIMIT_SECONDS)
    return process.returncode, output, errors


def succeed(process: subprocess.Popen[str]) -> None:
    code, output, errors = done(process)
    assert code == 0, output + errors


def wait_for(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def champion(server: TrackingServer, name: str) -> Any:
    return mlflow.MlflowClient(server.url).get_model_version_by_alias(name, "champion")


def test_run_experiments_with_a_failing_config_logs_the_others_once(
    tracking: TrackingServer, small_grid: Path
) -> None:
    # No forest can be grown by Poisson's criterion where nobody scores.
    lines = ["goles_local,goles_visitante,rating_local,rating_visitante", *["0,0,1500,1500"] * 20]
    (small_grid / "nadie.csv").write_text("\n".join(lines))
    content = json.loads((small_grid / "0.json").read_text())
    change(
        small_grid / "0.json",
        parameters={"criterion": "poisson"},
        dataset=content["dataset"] | {"file_path": "nadie.csv"},
    )

    client = mlflow.MlflowClient(tracking.url)
    for model in client.search_registered_models():
        # Champions of other tests stay: they were measured on other matches.
        client.delete_registered_model(model.name)

    code, output, errors = done(call(tracking, small_grid))

    assert code == SOME_FAILED, errors
    assert statuses(tracking, small_grid) == {"FINISHED": 5, "FAILED": 1}
    [failed] = [run for run in runs(tracking, small_grid) if run.info.status == "FAILED"]
    assert "ValueError" in failed.data.tags["error"]
    assert "5 FINISHED" in output
    assert "ValueError" in output
    for run in runs(tracking, small_grid):
        if run.info.status == "FINISHED":
            kind = run.data.tags["model_type"]
            for side in ("local", "visitante"):
                best = champion(tracking, registered(kind, f"goles_{side}"))
                rivals = [
                    rival.data.metrics[f"mse_{side}"]
                    for rival in runs(tracking, small_grid)
                    if rival.data.tags["model_type"] == kind and rival.data.metrics
                ]
                holder = mlflow.MlflowClient().get_run(best.run_id)
                assert holder.data.metrics[f"mse_{side}"] <= min(rivals)


@pytest.mark.slow
def test_run_experiments_repeats_what_was_done_only_with_again(
    tracking: TrackingServer, small_grid: Path
) -> None:
    succeed(call(tracking, small_grid))
    code, output, _ = done(call(tracking, small_grid))
    assert code == 0
    assert "6 DONE BEFORE" in output
    assert len(runs(tracking, small_grid)) == 6

    code, output, _ = done(call(tracking, small_grid, "--again", "--model", "PoissonRegressor"))
    assert code == 0
    assert "2 FINISHED" in output
    again = [run for run in runs(tracking, small_grid) if run.info.status == "FINISHED"]
    assert len(again) == 8
    values: dict[str, list[dict[str, float]]] = {}
    for run in again:
        values.setdefault(run.data.tags["config_sha256"], []).append(run.data.metrics)
    assert all(metrics == one[0] for one in values.values() for metrics in one)


@pytest.mark.parametrize("change_of", [{"model_type": "svm"}, {"parameters": {"n_trees": 3}}])
def test_run_experiments_with_a_broken_config_logs_nothing(
    tracking: TrackingServer, small_grid: Path, change_of: dict[str, Any]
) -> None:
    change(small_grid / "3.json", **change_of)

    code, output, errors = done(call(tracking, small_grid))

    assert code == BAD_INPUT
    assert output == ""
    assert re.search(rf"^error: {small_grid}/3\.json: .*(model_type|n_trees)", errors, re.MULTILINE)
    assert runs(tracking, small_grid) == []


def test_dry_run_creates_nothing(tracking: TrackingServer, small_grid: Path) -> None:
    before = len(mlflow.MlflowClient().search_experiments())

    code, output, _ = done(call(tracking, small_grid, "--dry-run", "--pattern", "[0-2]"))

    assert code == 0
    assert "3 NOT RUN" in output
    assert len(mlflow.MlflowClient().search_experiments()) == before


@pytest.mark.parametrize(
    "group",
    [pytest.param(True, id="ctrl-c"), pytest.param(False, id="kill", marks=pytest.mark.slow)],
)
def test_run_experiments_interrupted_leaves_no_running_run_and_resumes(
    tracking: TrackingServer, small_grid: Path, *, group: bool
) -> None:
    # Long enough to be met at work; what is long begins first.
    for number in (0, 1):
        change(small_grid / f"{number}.json", parameters={"n_estimators": 50_000 + number})
    process = call(tracking, small_grid, "--jobs", 2)
    wait_for(lambda: statuses(tracking, small_grid)["RUNNING"] == 2, process)

    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    code, output, _ = done(process)

    assert code == INTERRUPTED
    assert "2 KILLED" in output
    assert statuses(tracking, small_grid) == {"KILLED": 2}
    for number in (0, 1):
        change(small_grid / f"{number}.json", parameters={"n_estimators": 2 + number})
    succeed(call(tracking, small_grid))
    assert statuses(tracking, small_grid) == {"KILLED": 2, "FINISHED": 6}
    assert len(finished(tracking, small_grid)) == 6


@pytest.mark.slow
def test_worker_that_dies_fails_only_its_run(tracking: TrackingServer, small_grid: Path) -> None:
    change(small_grid / "0.json", parameters={"n_estimators": 50_000})
    process = call(tracking, small_grid, "--jobs", 2)
    # The others are done by the other process.
    wait_for(lambda: statuses(tracking, small_grid) == {"RUNNING": 1, "FINISHED": 5}, process)

    [run] = [run for run in runs(tracking, small_grid) if run.info.status == "RUNNING"]
    os.kill(int(run.data.tags["worker"].rpartition(":")[2]), signal.SIGKILL)
    code, output, errors = done(process)

    assert code == SOME_FAILED, errors
    assert statuses(tracking, small_grid) == {"FAILED": 1, "FINISHED": 5}
    assert "1 FAILED, 5 FINISHED" in output


@pytest.mark.slow
def test_server_killed_and_restarted_loses_nothing(
    tracking: TrackingServer, small_grid: Path
) -> None:
    process = call(tracking, small_grid)
    wait_for(lambda: sum(statuses(tracking, small_grid).values()) > 0, process)

    tracking.end(signal.SIGKILL)
    tracking.start()
    tracking.wait()
    code, output, errors = done(process)

    assert code == 0, errors
    assert "6 FINISHED" in output
    assert statuses(tracking, small_grid) == {"FINISHED": 6}
    assert len(finished(tracking, small_grid)) == 6


@contextmanager
def cluster(server: TrackingServer, directory: Path, *security: str) -> Iterator[str]:
    """Run a Dask scheduler and two workers, each a process of its own; yield the address."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
    }
    protocol = "tls" if security else "tcp"
    with ExitStack() as stack:

        def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [Path(sys.executable).parent / "dask", program, *arguments, *security],
                cwd=directory,
                env=environment | server.client,
                stdout=subprocess.DEVNULL,
                stderr=(directory / f"{program}.log").open("ab"),
            )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            return process

        found = directory / "scheduler.json"
        common = ("--no-dashboard", "--scheduler-file", str(found))
        scheduler = start(
            "scheduler", "--protocol", protocol, "--host", "127.0.0.1", "--port", "0", *common
        )
        deadline = time.monotonic() + LIMIT_SECONDS
        while not found.exists() or not found.read_text():
            assert scheduler.poll() is None, (directory / "scheduler.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for _ in range(2):
            start(
                "worker",
                "--nthreads",
                "1",
                "--host",
                "127.0.0.1",
                "--protocol",
                protocol,
                *common,
                "--local-directory",
                str(directory),
            )
        address = json.loads(found.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=LIMIT_SECONDS)
        yield address


@pytest.mark.slow
def test_cluster_gives_the_same_metrics_as_processes(
    tracking: TrackingServer, small_grid: Path, tmp_path: Path
) -> None:
    succeed(call(tracking, small_grid))
    ours = finished(tracking, small_grid)
    (tmp_path / "dask").mkdir()
    with cluster(tracking, tmp_path / "dask") as address:
        code, output, errors = done(
            call(tracking, small_grid, "--backend", "dask", "--scheduler", address, "--again")
        )

    assert code == 0, errors
    assert "6 FINISHED" in output
    found = [run for run in runs(tracking, small_grid) if run.info.status == "FINISHED"]
    assert len(found) == 12
    differing = [
        {
            name: (value, theirs.get(name))
            for name, value in run.data.metrics.items()
            if value != theirs.get(name)
        }
        for run in found
        for theirs in [ours[run.data.tags["config_sha256"]]]
    ]
    assert differing == [{}] * 12
    assert len({run.data.tags["worker"] for run in found}) >= 3


@pytest.mark.slow
def test_champion_predicts_a_match(
    tracking: TrackingServer, small_grid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(small_grid.glob("[0-3].json")):
        path.unlink()
    succeed(call(tracking, small_grid))

    code = predict.main(["poisson", "rating_local=1800", "rating_visitante=1300", "--json"])
    found = json.loads(capsys.readouterr().out)

    assert code == 0
    assert found["goals"]["local"] > 2 * found["goals"]["visitante"]
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert predict.main(["poisson", "rating_local=1800"]) == predict.BAD_INPUT
    assert "rating_visitante" in capsys.readouterr().err
    for features, said in [
        (["rating_local=1800", "rating_visitant=1300"], "did you mean rating_visitante?"),
        (["rating_local=1e38", "rating_visitante=1"], "predicts inf"),
    ]:
        assert predict.main(["poisson", *features]) == predict.BAD_INPUT
        assert re.fullmatch(rf"error: .*{re.escape(said)}.*\n", capsys.readouterr().err)
    assert predict.main(["svr", "rating_local=1800"]) == predict.BAD_INPUT
    assert "svr.goles_local has no champion" in capsys.readouterr().err


@pytest.mark.slow
def test_whole_grid_survives_a_killed_server_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = tmp_path / "grid"
    shutil.copytree(MODELS / "configs/grid", grid)
    with running_server(tmp_path) as server:
        for name, value in server.client.items():
            monkeypatch.setenv(name, value)
        process = call(server, grid)
        largest = 0
        killed = False
        while process.poll() is None:
            largest = max(largest, *map(memory, [process.pid, *descendants(process.pid)]))
            if not killed and sum(statuses(server, grid).values()) > 8:
                server.end(signal.SIGKILL)
                server.start()
                server.wait()
                killed = True
            time.sleep(0.2)
        code, output, errors = done(process)

        assert killed
        assert code == 0, errors
        assert "29 FINISHED" in output
        assert statuses(server, grid) == {"FINISHED": 29}
        assert len(finished(server, grid)) == 29
        assert largest < 400 * 1024**2
        for kind in ("random_forest", "gradient_boosting", "linear_regression", "poisson"):
            for side in ("local", "visitante"):
                assert champion(server, f"{kind}.goles_{side}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say which"),
        (["--all", "--backend", "dask"], "belong together"),
        (["--all", "--scheduler", "tcp://127.0.0.1:1"], "belong together"),
        (["--all", "--jobs", "0"], "--jobs 0"),
        (["--all", "--tls-ca", "ca.pem"], "belong together"),
        (["--all", "--jobs", "many"], "--jobs"),
        (["--all", "--patience", "soon"], "--patience"),
        (["--all", "--metric", "goals"], "--metric"),
    ],
)
def test_arguments_that_contradict_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit):
        run_experiments.main(arguments)

    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--pattern", "nothing*"], "no config matches"),
        (["--model", "svm"], "no such kind"),
        (["none.json"], "No such file"),
        (["a" * 300], "cannot be read"),
        (["--all", "--patience", "nan"], "FOOTBALL_PATIENCE_SECONDS"),
        (["--all", "--patience", "-1"], "FOOTBALL_PATIENCE_SECONDS"),
        (["--all", "--data-dir", "none"], "--data-dir"),
    ],
)
def test_configs_missing_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert run_experiments.main(arguments) == BAD_INPUT
    assert complaint in capsys.readouterr().err


@pytest.mark.usefixtures("tracking")
@pytest.mark.parametrize(
    "scheduler",
    [
        "127.0.0.1:8786",
        "tls://127.0.0.1:1",
        pytest.param("tcp://127.0.0.1:1", marks=pytest.mark.slow),
    ],
)
def test_cluster_unusable_is_refused(
    capsys: pytest.CaptureFixture[str], small_grid: Path, scheduler: str
) -> None:
    code = run_experiments.main([str(small_grid), "--backend", "dask", "--scheduler", scheduler])

    assert code == BAD_INPUT
    assert re.match(r"error: .*(--scheduler|--tls-ca|cannot be reached)", capsys.readouterr().err)
