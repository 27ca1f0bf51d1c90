"""What a program does with MLflow's client: python client_features.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from sklearn.linear_model import LinearRegression


def main(folder: Path) -> None:
    """Log, search, fetch and register, and compare what comes back."""
    name = "of a user"
    mlflow.set_experiment(name)
    table = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    model = LinearRegression().fit(table, [2.0, 4.0, 6.0])
    note = folder / "note.txt"
    note.write_text("grüße\n")
    with mlflow.start_run(tags={"kind": "line"}) as run:
        mlflow.log_params({"alpha": 0.5, "depth": 3})
        mlflow.log_metrics({"mse": 1.25, "val/acc": 0.75})
        mlflow.log_metric("mse", 1.0, step=1)
        mlflow.log_artifact(str(note), "notes")
        mlflow.log_dict({"a": [1, 2]}, "numbers.json")
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=table,
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        )
    run_id = run.info.run_id

    found: Any = mlflow.search_runs(
        experiment_names=[name], filter_string="metrics.mse < 1.1 and tags.kind = 'line'"
    )
    assert run_id in set(found["run_id"])
    data = mlflow.get_run(run_id).data
    assert data.params == {"alpha": "0.5", "depth": "3"}
    assert data.metrics == {"mse": 1.0, "val/acc": 0.75}
    client = mlflow.MlflowClient()
    assert [metric.value for metric in client.get_metric_history(run_id, "mse")] == [1.25, 1.0]

    fetched = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="notes")
    assert (Path(fetched) / "note.txt").read_bytes() == note.read_bytes()
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/numbers.json") == {"a": [1, 2]}

    version = mlflow.register_model(logged.model_uri, "line")
    client.set_registered_model_alias("line", "champion", version.version)
    loaded = mlflow.pyfunc.load_model("models:/line@champion")
    assert [round(value, 6) for value in loaded.predict(table)] == [2.0, 4.0, 6.0]

    prompt = mlflow.genai.register_prompt("greeting", "Hello {{name}}")
    prompt = mlflow.genai.load_prompt(f"prompts:/greeting/{prompt.version}")
    assert prompt.format(name="Ana") == "Hello Ana"

    with mlflow.start_span(name="question") as span:
        span.set_inputs({"q": 1})
        span.set_outputs({"a": 2})
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(span.trace_id)
    assert trace is not None
    assert [part.name for part in trace.data.spans] == ["question"]
    print(f"RUN {run_id}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
