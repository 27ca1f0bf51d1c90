"""Use the features of MLflow's client, each by a function; print what went wrong with each.

The tests run this in the environment of the server's lock, where MLflow's client is the release's.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import uuid
from typing import Any

import mlflow
import mlflow.genai
import pandas as pd
import requests
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import (
    Feedback,
    GatewayEndpointModelConfig,
    GatewayModelLinkageType,
    LoggedModelStatus,
)
from mlflow.entities.gateway_budget_policy import (
    BudgetAction,
    BudgetDuration,
    BudgetDurationUnit,
    BudgetTargetScope,
    BudgetUnit,
)
from mlflow.genai.label_schemas import InputCategorical, create_label_schema
from mlflow.genai.review_queues import (
    add_items_to_review_queue,
    create_review_queue,
    list_review_queues,
)
from mlflow.tracking._tracking_service.utils import _get_store
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

CLIENT = MlflowClient()
EXPERIMENT = mlflow.set_experiment(f"features {uuid.uuid4().hex}").experiment_id


def name(kind: str) -> str:
    """Return a name that is in use nowhere."""
    return f"{kind}-{uuid.uuid4().hex[:12]}"


@mlflow.trace(name="answer")
def answer(question: str) -> str:
    """Answer a question, and trace it."""
    return f"{question}!"


def finished_trace() -> str:
    """Trace a call; return the trace's id once the server has it."""
    answer("why")
    mlflow.flush_trace_async_logging()
    trace_id = mlflow.get_last_active_trace_id()
    assert trace_id is not None
    return trace_id


def runs() -> None:
    """Log a run and its artifacts."""
    with mlflow.start_run() as run:
        mlflow.log_param("a", 1)
        mlflow.log_metric("b", 0.5, step=3)
        mlflow.log_text("text", "folder/file.txt")
        mlflow.log_input(from_pandas(pd.DataFrame({"x": [1]}), name="table"))
        mlflow.log_table({"x": [1, 2]}, "table.json")
    found = mlflow.search_runs([EXPERIMENT], "metrics.b > 0.4")
    assert found.run_id.to_list() == [run.info.run_id]
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/folder/file.txt") == "text"
    assert [one.step for one in CLIENT.get_metric_history(run.info.run_id, "b")] == [3]
    inputs = CLIENT.get_run(run.info.run_id).inputs
    assert inputs is not None
    assert [one.dataset.name for one in inputs.dataset_inputs] == ["table"]


def logged_models() -> None:
    """Create, finalize, find and delete a logged model."""
    model = CLIENT.create_logged_model(EXPERIMENT, name="model", params={"a": "1"}, tags={"b": "2"})
    CLIENT.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    mlflow.log_metric("c", 1.0, model_id=model.model_id)
    mlflow.end_run()
    found = CLIENT.search_logged_models([EXPERIMENT], "params.a = '1'")
    assert [one.model_id for one in found] == [model.model_id]
    metrics = CLIENT.get_logged_model(model.model_id).metrics or []
    assert [one.value for one in metrics] == [1.0]
    CLIENT.delete_logged_model(model.model_id)


def registry() -> None:
    """Register a model with versions, aliases and tags."""
    model = name("model")
    CLIENT.create_registered_model(model, tags={"a": "b"})
    with mlflow.start_run() as run:
        mlflow.log_text("flavors: {}", "model/MLmodel")
    source = f"{run.info.artifact_uri}/model"
    CLIENT.create_model_version(model, source, run.info.run_id, await_creation_for=0)
    CLIENT.set_registered_model_alias(model, "best", "1")
    assert CLIENT.get_model_version_by_alias(model, "best").version == "1"
    CLIENT.rename_registered_model(model, f"{model}-renamed")
    CLIENT.delete_registered_model(f"{model}-renamed")


def prompts() -> None:
    """Register, load, tag, find and delete prompts."""
    prompt = name("prompt")
    mlflow.genai.register_prompt(prompt, "Hello {{ name }}", tags={"a": "b"})
    mlflow.genai.register_prompt(prompt, [{"role": "user", "content": "{{ question }}"}])
    mlflow.genai.set_prompt_alias(prompt, "live", 1)
    loaded = mlflow.genai.load_prompt(f"prompts:/{prompt}@live")
    assert loaded.format(name="x") == "Hello x"
    mlflow.genai.set_prompt_version_tag(prompt, 1, "c", "d")
    found = mlflow.genai.search_prompts(f"name = '{prompt}'")
    assert [one.name for one in found] == [prompt]
    assert len(CLIENT.search_prompt_versions(prompt)) == 2
    CLIENT.delete_prompt_version(prompt, "2")
    mlflow.genai.delete_prompt_alias(prompt, "live")


def traces() -> None:
    """Trace a call, tag the trace, find it with its spans, and delete it."""
    trace_id = finished_trace()
    trace = mlflow.get_trace(trace_id)
    assert trace.data.spans[0].name == "answer"
    CLIENT.set_trace_tag(trace_id, "a", "b")
    found = mlflow.search_traces(
        locations=[EXPERIMENT], filter_string="tags.a = 'b'", return_type="list"
    )
    assert [one.info.trace_id for one in found] == [trace_id]
    assert CLIENT.delete_traces(EXPERIMENT, trace_ids=[trace_id]) == 1


def feedback() -> None:
    """Give feedback and expectations to a trace."""
    trace_id = finished_trace()
    mlflow.log_feedback(trace_id=trace_id, name="good", value=True, rationale="it is")
    mlflow.log_expectation(trace_id=trace_id, name="wanted", value="why!")
    given = {one.name: one.value for one in mlflow.get_trace(trace_id).info.assessments}
    assert given == {"good": True, "wanted": "why!"}


def datasets() -> None:
    """Create a dataset for evaluations, fill it, find it and delete it."""
    dataset = mlflow.genai.datasets.create_dataset(name("dataset"), experiment_id=[EXPERIMENT])
    dataset.merge_records(
        [{"inputs": {"question": "why"}, "expectations": {"expected_response": "why!"}}]
    )
    found = mlflow.genai.datasets.get_dataset(dataset_id=dataset.dataset_id)
    assert found.to_df().inputs.to_list() == [{"question": "why"}]
    found = mlflow.genai.datasets.search_datasets([EXPERIMENT])
    assert [one.dataset_id for one in found] == [dataset.dataset_id]
    mlflow.genai.datasets.delete_dataset(dataset_id=dataset.dataset_id)


def evaluation() -> None:
    """Evaluate a function on this machine with a scorer of one's own."""

    @mlflow.genai.scorer
    def exclaims(outputs: str) -> Feedback:
        return Feedback(value=outputs.endswith("!"))

    data = [{"inputs": {"question": text}} for text in ("why", "how")]
    result = mlflow.genai.evaluate(data=data, predict_fn=answer, scorers=[exclaims])
    assert result.metrics == {"exclaims/mean": 1.0}
    assert len(mlflow.search_traces(run_id=result.run_id)) == 2


def scorers() -> None:
    """Register a judge, list it and delete it."""
    judge = mlflow.genai.make_judge(
        name="polite", instructions="Is {{ outputs }} polite?", model="openai:/test"
    )
    judge.register(experiment_id=EXPERIMENT)
    found = mlflow.genai.list_scorers(experiment_id=EXPERIMENT)
    assert [one.name for one in found] == ["polite"]
    mlflow.genai.delete_scorer(name="polite", experiment_id=EXPERIMENT, version="all")


def labels() -> None:
    """Define what reviewers say of traces, and queue a trace for them."""
    options = InputCategorical(options=["rude", "polite"])
    schema = create_label_schema("tone", type="feedback", input=options, instruction="How polite?")
    assert schema.name == "tone"
    queue = create_review_queue("tone", queue_type="custom", schema_ids=[schema.schema_id])
    add_items_to_review_queue(queue.queue_id, item_ids=[finished_trace()])
    assert [one.name for one in list_review_queues()] == ["tone"]


def issues() -> None:
    """Write down an issue of an application, change its state and find it."""
    store = _get_store()
    issue = store.create_issue(EXPERIMENT, "slow", "Answers take long", source_run_id=None)
    found = store.search_issues(EXPERIMENT)
    assert [one.issue_id for one in found] == [issue.issue_id]


def mcp_servers() -> None:
    """Register an MCP server with a version, and find it."""
    store = _get_store()
    server = f"org.example/{name('server')}"
    store.create_mcp_server(server, description="a server")
    store.create_mcp_server_version({"name": server, "version": "1.0.0", "description": "a server"})
    assert store.get_mcp_server(server).name == server


def webhooks() -> None:
    """Create a webhook with a secret, change it, list it and delete it."""
    url = "https://192.88.99.1/hook"
    webhook = CLIENT.create_webhook(name("hook"), url, ["prompt.created"], secret="signs")
    CLIENT.update_webhook(webhook.webhook_id, status="DISABLED")
    assert webhook.webhook_id in {one.webhook_id for one in CLIENT.list_webhooks()}
    CLIENT.delete_webhook(webhook.webhook_id)


def otlp() -> None:
    """Send a span by OpenTelemetry's protocol, as programs without MLflow do."""
    trace_id = uuid.uuid4().bytes
    span = Span(
        trace_id=trace_id,
        span_id=b"12345678",
        name="elsewhere",
        start_time_unix_nano=time.time_ns() - 1000,
        end_time_unix_nano=time.time_ns(),
    )
    spans = ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])
    sent = requests.post(
        f"{os.environ['MLFLOW_TRACKING_URI']}/v1/traces",
        data=ExportTraceServiceRequest(resource_spans=[spans]).SerializeToString(),
        headers={"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": EXPERIMENT},
        auth=(os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]),
        verify=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True,
        timeout=30,
    )
    assert sent.ok, sent.text
    found = mlflow.get_trace(f"tr-{trace_id.hex()}")
    assert found.data.spans[0].name == "elsewhere"


def gateway() -> None:
    """Call a provider through an endpoint of the gateway, with a secret of the gateway's."""
    store = _get_store()
    secret = store.create_gateway_secret(
        name("secret"),
        {"api_key": "sk-1"},
        provider="openai",
        auth_config={"api_base": os.environ["PROVIDER"]},
    )
    model = store.create_gateway_model_definition(name("def"), secret.secret_id, "openai", "test")
    config = GatewayEndpointModelConfig(
        model_definition_id=model.model_definition_id,
        linkage_type=GatewayModelLinkageType.PRIMARY,
        weight=1.0,
    )
    endpoint = store.create_gateway_endpoint(name("chat"), [config], usage_tracking=False)
    said = requests.post(
        f"{os.environ['MLFLOW_TRACKING_URI']}/gateway/{endpoint.name}/mlflow/invocations",
        json={"messages": [{"role": "user", "content": "hello"}]},
        auth=(os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]),
        timeout=30,
    )
    assert said.json()["choices"][0]["message"]["content"] == "ok"
    budget = store.create_budget_policy(
        BudgetUnit.USD,
        10.0,
        BudgetDuration(BudgetDurationUnit.DAYS, 1),
        BudgetTargetScope.GLOBAL,
        BudgetAction.ALERT,
    )
    assert budget.budget_amount == 10.0


def workspaces() -> None:
    """Create a workspace; an experiment of it is in no other."""
    own = name("team")
    mlflow.create_workspace(own)
    mlflow.set_workspace(own)
    mlflow.create_experiment(own)
    assert mlflow.get_experiment_by_name(own) is not None
    mlflow.set_workspace("default")
    assert mlflow.get_experiment_by_name(own) is None


FEATURES = {
    function.__name__: function
    for function in (
        runs,
        logged_models,
        registry,
        prompts,
        traces,
        feedback,
        datasets,
        evaluation,
        scorers,
        labels,
        issues,
        mcp_servers,
        webhooks,
        otlp,
        gateway,
        workspaces,
    )
}


def main() -> None:
    """Try the features that are named, or all; print a line of JSON, null for each that works."""
    results: dict[str, Any] = {}
    for feature in sys.argv[1:] or FEATURES:
        try:
            FEATURES[feature]()
        except Exception:  # noqa: BLE001  whatever it is, it is the result
            results[feature] = traceback.format_exc()
        else:
            results[feature] = None
    print(json.dumps(results))


if __name__ == "__main__":
    main()
