"""One experiment, from its config to a run on a real tracking server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pytest
import train
from football.naming import SIDES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import Run

    from tests.loopback_server import TrackingServer

MODELS = Path(__file__).resolve().parents[3] / "models"
OURS = sorted((MODELS / "configs").glob("*.json"))


def find(run_id: str) -> Run:
    return mlflow.MlflowClient().get_run(run_id)


def runs() -> list[Run]:
    client = mlflow.MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments))


def printed_run(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    printed = capsys.readouterr().out
    found = re.search(r"^run +([0-9a-f]{32})$", printed, re.MULTILINE)
    assert found, printed
    return found[1], printed


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_train_with_a_committed_config_gives_a_finished_run(
    tracking: TrackingServer, capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    assert train.main([str(path)]) == 0

    run_id, printed = printed_run(capsys)
    run, content = find(run_id), json.loads(path.read_text())
    address = f"{tracking.url}/#/experiments/{run.info.experiment_id}/runs/{run_id}"
    assert run.info.status == "FINISHED"
    assert run.info.run_name == content["run_name"]
    assert address in printed
    assert f"{run.data.metrics['mse_local']:.4f}" in printed
    assert (
        run.data.params.items()
        >= {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in content["parameters"].items()
        }.items()
    )
    assert run.data.tags.items() >= content["tags"].items()


@pytest.mark.usefixtures("tracking")
def test_run_holds_the_metrics_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    train.main([str(OURS[0])])
    run_id, _ = printed_run(capsys)

    measured = find(run_id).data.metrics
    assert measured.keys() >= {
        *(
            f"{name}_{side}"
            for name in ("mse", "accuracy", "precision", "recall", "f1")
            for side in ("local", "visitante")
        ),
        *("mse_promedio", "accuracy_promedio", "log_loss", "mae_promedio"),
        *("poisson_deviance_promedio", "law_mse_promedio", "irreducible_mse_promedio"),
    }


@pytest.mark.usefixtures("tracking")
def test_models_are_read_back_with_their_signature(capsys: pytest.CaptureFixture[str]) -> None:
    train.main([str(MODELS / "configs/random_forest.json")])
    run_id, _ = printed_run(capsys)
    logged = {
        model.name: model
        for model in mlflow.search_logged_models(
            [find(run_id).info.experiment_id], output_format="list"
        )
        if model.source_run_id == run_id
    }
    match = pd.DataFrame({"rating_local": [1700.0], "rating_visitante": [1400.0]})

    assert logged.keys() == {f"model_{side}" for side in SIDES}
    for side in SIDES:
        found = logged[f"model_{side}"]
        model = mlflow.pyfunc.load_model(found.model_uri)
        assert model.metadata.signature.inputs.input_names() == list(match)
        assert model.input_example is not None
        assert 0 < model.predict(match)[0] < 10
        assert {metric.key for metric in found.metrics or []} == {
            f"{name}_{side}"
            for name in ("mse", "mae", "poisson_deviance", "accuracy", "precision", "recall", "f1")
        }


@pytest.mark.usefixtures("tracking")
def test_train_twice_gives_the_same_metrics_to_the_last_digit(
    capsys: pytest.CaptureFixture[str],
    configure: Callable[[dict[str, Any]], Path],
) -> None:
    found = []
    for _ in range(2):
        assert train.main([str(configure({}))]) == 0
        found.append(find(printed_run(capsys)[0]).data)

    assert found[0].metrics == found[1].metrics
    assert found[0].tags["config_sha256"] == found[1].tags["config_sha256"]
    assert found[0].tags["data_sha256"] == found[1].tags["data_sha256"]


@pytest.mark.usefixtures("tracking")
def test_table_beside_the_config_is_used(
    capsys: pytest.CaptureFixture[str],
    configure: Callable[[dict[str, Any]], Path],
) -> None:
    path = configure({"experiment_name": "liga propia"})
    lines = [f"{n % 3},{n % 2},{1400 + n},{1600 - n}" for n in range(40)]
    header = "goles_local,goles_visitante,rating_local,rating_visitante"
    path.with_name("partidos.csv").write_text("\n".join([header, *lines]))

    assert train.main([str(path)]) == 0
    assert find(printed_run(capsys)[0]).info.status == "FINISHED"


@pytest.mark.usefixtures("tracking")
def test_table_with_decimal_commas_logs_nothing(
    capsys: pytest.CaptureFixture[str],
    configure: Callable[[dict[str, Any]], Path],
) -> None:
    before, path = len(runs()), configure({})
    header = "rating_local,rating_visitante,goles_local,goles_visitante,equipo\n"
    path.with_name("partidos.csv").write_text(header + "1450,5,1300,2,2,E7\n" * 20)

    assert train.main([str(path)]) == train.BAD_INPUT

    table = re.escape(str(path.with_name("partidos.csv")))
    assert re.fullmatch(rf"error: {table}, line 2: 6 fields, .*\n", capsys.readouterr().err)
    assert len(runs()) == before


@pytest.mark.usefixtures("tracking")
def test_many_columns_and_tags_are_logged(
    capsys: pytest.CaptureFixture[str],
    content: dict[str, Any],
    configure: Callable[[dict[str, Any]], Path],
) -> None:
    names = [f"a long name of column {number:03}" for number in range(300)]
    tags = {f"tag {number}": "x" for number in range(150)} | {"nota": "ñ" * 8000}
    dataset = content["dataset"] | {"features": names}
    path = configure({"dataset": dataset, "tags": tags, "run_name": "ñ" * 250})
    lines = [",".join([*(str(n * m % 7) for m in range(300)), "1", "2"]) for n in range(20)]
    header = ",".join([*names, "goles_local", "goles_visitante"])
    path.with_name("partidos.csv").write_text("\n".join([header, *lines]))

    assert train.main([str(path), "--no-register"]) == 0

    run = find(printed_run(capsys)[0])
    assert run.data.tags.items() >= tags.items()
    described = "300 columns, listed in the artifact config.json"
    assert run.data.params["dataset.features"] == described


@pytest.mark.usefixtures("tracking")
def test_training_that_breaks_leaves_a_failed_run_with_the_reason(
    capsys: pytest.CaptureFixture[str],
    configure: Callable[[dict[str, Any]], Path],
) -> None:
    # No forest can be grown by Poisson's criterion where nobody scores.
    path = configure({"parameters": {"criterion": "poisson"}, "run_name": "no goals"})
    header = "goles_local,goles_visitante,rating_local,rating_visitante\n"
    path.with_name("partidos.csv").write_text(header + "0,0,1500,1500\n" * 20)

    assert train.main([str(path)]) == train.TRAINING_FAILED

    [run] = [run for run in runs() if run.info.run_name == "no goals"]
    assert run.info.status == "FAILED"
    assert run.info.end_time
    assert "ValueError" in run.data.tags["error"]
    assert run.info.run_id in capsys.readouterr().err


@pytest.mark.usefixtures("tracking")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model_type": "svm"}, "model_type"),
        ({"parameters": {"n_estimator": 5}}, "did you mean n_estimators?"),
        ({"parameters": {"n_estimators": -5}}, "n_estimators"),
        ({"parameters": {"max_depth": "deep"}}, "max_depth"),
        ({"dataset": {"file_path": "nada.csv", "features": ["a"], "targets": ["b", "c"]}}, "nada"),
    ],
)
def test_broken_config_logs_nothing(
    capsys: pytest.CaptureFixture[str],
    configure: Callable[[dict[str, Any]], Path],
    change: dict[str, Any],
    complaint: str,
) -> None:
    before = len(runs())

    assert train.main([str(configure(change))]) == train.BAD_INPUT

    assert complaint in capsys.readouterr().err
    assert len(runs()) == before


@pytest.mark.usefixtures("tracking")
def test_deleted_experiment_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
    configure: Callable[[dict[str, Any]], Path],
) -> None:
    client = mlflow.MlflowClient()
    client.delete_experiment(client.create_experiment("deleted"))

    code = train.main([str(configure({"experiment_name": "deleted"}))])

    assert code == train.BAD_INPUT
    assert "deleted" in capsys.readouterr().err


def start(config: Path, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start the script as a user does, with nothing in its environment but what is given."""
    return subprocess.run(
        [sys.executable, MODELS / "train.py", config],
        cwd=directory,
        env={"PATH": os.environ["PATH"], **environment},
        text=True,
        capture_output=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("", "MLFLOW_TRACKING_URI is not set"),
        ("sqlite:///mlflow.db", "must be an http"),
        ("http://", "MLFLOW_TRACKING_URI"),
        ("http://127.0.0.1:1", "cannot be reached"),
        ("http://no-such-host.invalid", "cannot be resolved"),
    ],
)
def test_server_missing_is_reported_in_a_line_with_the_cure(
    tmp_path: Path, uri: str, complaint: str
) -> None:
    done = start(OURS[0], tmp_path, MLFLOW_TRACKING_URI=uri)

    assert done.returncode == train.BAD_INPUT
    assert done.stdout == ""
    assert re.fullmatch(rf"error: .*{complaint}.*\n", done.stderr)


def test_server_that_does_not_speak_tls_is_not_trusted(
    server: TrackingServer, tmp_path: Path
) -> None:
    done = start(OURS[0], tmp_path, MLFLOW_TRACKING_URI=server.url.replace("http:", "https:"))

    assert done.returncode == train.BAD_INPUT
    assert re.fullmatch(r"error: .*certificate.*ca\.pem.*\n", done.stderr)


def test_certificate_missing_is_reported(tmp_path: Path) -> None:
    done = start(
        OURS[0],
        tmp_path,
        MLFLOW_TRACKING_URI="https://127.0.0.1:1",
        MLFLOW_TRACKING_SERVER_CERT_PATH="none.pem",
    )

    assert done.returncode == train.BAD_INPUT
    assert re.fullmatch(r"error: .*none\.pem.*cannot be read.*\n", done.stderr)


def test_server_that_is_not_mlflow_is_reported(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        try:
            assert other.stdout
            port = re.search(r"port (\d+)", other.stdout.readline())
            assert port
            done = start(OURS[0], tmp_path, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port[1]}")
        finally:
            other.terminate()

    assert done.returncode == train.BAD_INPUT
    assert "is not a tracking server of MLflow" in done.stderr


def test_script_runs_from_anywhere(server: TrackingServer, tmp_path: Path) -> None:
    done = start(MODELS / "configs/poisson.json", tmp_path, **server.client)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "ending", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("tracking")
def test_interrupted_script_leaves_no_running_run(
    configure: Callable[[dict[str, Any]], Path], ending: signal.Signals
) -> None:
    name = f"ended by {ending.name}"
    config = configure({"parameters": {"n_estimators": 200_000}, "run_name": name})

    def mine() -> list[Run]:
        return [run for run in runs() if run.info.run_name == name]

    with subprocess.Popen(
        [sys.executable, MODELS / "train.py", config],
        stderr=subprocess.PIPE,
        # A shell may have its background jobs ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 -- no threads here
    ) as process:
        deadline = time.monotonic() + 300
        while not mine():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(ending)
        _, errors = process.communicate(timeout=300)

    [run] = mine()
    assert process.returncode == train.INTERRUPTED
    assert errors.decode().splitlines()[-1] == "interrupted"
    assert b"Traceback" not in errors
    assert run.info.status == "KILLED"
    assert run.data.tags["error"] == "interrupted"
