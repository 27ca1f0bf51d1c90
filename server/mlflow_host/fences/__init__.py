"""Which patches fit the installed release of MLflow.

A patch changes code that is not ours. It is applied to the releases that it was tested with, and
only while what it replaces or relies on is as it was then. A required patch that does not fit stops
the server. An optional one is left out, and MLflow's own code answers, more slowly. The operator
can switch the optional ones off (`mlflow_patches`).

To add a release: `make lock MLFLOW=<version>` runs the tests of the answers and writes
`releases/<version>.json`.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from importlib.metadata import version

from mlflow_host import presigned
from mlflow_host.fences import sources
from mlflow_host.fences.fence import Fence, read_release, tested_releases
from mlflow_host.settings import EX_CONFIG, PROGRAM

__all__ = ["FENCES", "breaches", "choose", "chosen"]

# The optional patches that the operator chose, separated by commas; all if it is not set.
WANTED = "MLFLOW_HOST_PATCHES"
# Those that the supervisor chose for its workers.
CHOSEN = "MLFLOW_HOST_CHOSEN_PATCHES"

HANDLERS = "mlflow/server/handlers.py"
AUTH = "mlflow/server/auth/__init__.py"
FASTAPI = "mlflow/server/fastapi_app.py"
ARTIFACT_ROUTER = "mlflow/server/artifact_router.py"
TRACKING = "mlflow/store/tracking/sqlalchemy_store.py"
ARTIFACT_REPO = "mlflow/store/artifact/artifact_repo.py"
REGISTRY = "mlflow/store/artifact/artifact_repository_registry.py"
MODELS = "mlflow/store/tracking/dbmodels/models.py"
MESSAGES = "mlflow/protos/service_pb2.py"
VALIDATION = "mlflow/utils/validation.py"
USERS = "mlflow/server/auth/db/models.py"
DELIVERY = "mlflow/webhooks/delivery.py"
GATEWAY = "mlflow/gateway"
HTTP_PROTOCOL = "uvicorn/protocols/http/httptools_impl.py:HttpToolsProtocol"

logger = logging.getLogger(__name__)

# The functions that put the login and the middlewares around the application.
APPLICATION = (
    f"{AUTH}:create_app",
    f"{AUTH}:_before_request",
    f"{AUTH}:add_fastapi_permission_middleware",
    f"{FASTAPI}:create_fastapi_app",
)

# What runs hold: columns of the tables, and fields of the messages.
RUN_TABLES = {
    f"{MODELS}:SqlLatestMetric": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
    f"{MODELS}:SqlParam": ("key", "value", "run_uuid"),
    f"{MODELS}:SqlTag": ("key", "value", "run_uuid"),
    f"{MODELS}:SqlInput": (
        *("input_uuid", "source_type", "source_id", "destination_type", "destination_id"),
        "step",
    ),
    f"{MODELS}:SqlInputTag": ("input_uuid", "name", "value"),
    f"{MODELS}:SqlDataset": (
        *("dataset_uuid", "experiment_id", "name", "digest", "dataset_source_type"),
        *("dataset_source", "dataset_schema", "dataset_profile"),
    ),
}
RUN_MESSAGES = {
    f"{MESSAGES}:Run": ("info", "data", "inputs", "outputs"),
    f"{MESSAGES}:RunData": ("metrics", "params", "tags"),
    f"{MESSAGES}:RunInputs": ("dataset_inputs", "model_inputs"),
    f"{MESSAGES}:RunOutputs": ("model_outputs",),
    # All but the first four belong to metrics of logged models, not of runs.
    f"{MESSAGES}:Metric": (
        *("key", "value", "timestamp", "step"),
        *("dataset_name", "dataset_digest", "model_id", "run_id"),
    ),
    f"{MESSAGES}:Param": ("key", "value"),
    f"{MESSAGES}:RunTag": ("key", "value"),
    f"{MESSAGES}:DatasetInput": ("tags", "dataset"),
    f"{MESSAGES}:InputTag": ("key", "value"),
    f"{MESSAGES}:Dataset": ("name", "digest", "source_type", "source", "schema", "profile"),
    f"{MESSAGES}:ModelOutput": ("model_id", "step"),
}

# In the order in which they are applied.
FENCES = (
    Fence(
        "forked_workers",
        required=False,
        package="uvicorn",
        functions=("uvicorn/_subprocess.py:get_subprocess",),
    ),
    Fence(
        "trailers",
        required=True,
        package="uvicorn",
        functions=tuple(
            f"{HTTP_PROTOCOL}.{method}"
            for method in ("on_message_begin", "on_header", "on_headers_complete")
        ),
    ),
    Fence(
        "destinations",
        required=True,
        functions=(
            f"{TRACKING}:SqlAlchemyStore.start_trace",
            f"{VALIDATION}:_validate_webhook_url",
            f"{VALIDATION}:_is_public_ip",
            f"{VALIDATION}:_validate_gateway_api_base",
            f"{DELIVERY}:_create_webhook_session",
            f"{DELIVERY}:_send_webhook_request",
            "mlflow/webhooks/ssrf.py:_assert_public_peer",
            f"{GATEWAY}/ssrf.py:_assert_public_ip",
            f"{GATEWAY}/ssrf.py:SSRFGuardedResolver.resolve",
            f"{GATEWAY}/providers/utils.py:_aiohttp_post",
            "mlflow/server/gateway_api.py:_enable_upstream_ssrf_protection",
        ),
    ),
    Fence(
        "locations",
        required=True,
        functions=(
            f"{HANDLERS}:_validate_storage_location_uri",
            f"{HANDLERS}:_is_servable_proxied_run_artifact_root",
            f"{REGISTRY}:ArtifactRepositoryRegistry.get_artifact_repository",
            "mlflow/cli/__init__.py:gc",
        ),
    ),
    Fence(
        "messages",
        required=False,
        functions=("mlflow/utils/proto_json_utils.py:message_to_json",),
    ),
    Fence(
        "run_search",
        required=False,
        functions=(
            f"{HANDLERS}:_search_runs",
            f"{MODELS}:SqlRun.to_mlflow_entity",
            f"{TRACKING}:SqlAlchemyStore._search_runs",
            f"{TRACKING}:SqlAlchemyStore._get_eager_run_query_options",
            f"{TRACKING}:SqlAlchemyStore._get_run_inputs",
            f"{TRACKING}:SqlAlchemyStore._get_model_outputs_bulk",
        ),
        tables=RUN_TABLES,
        messages={
            **RUN_MESSAGES,
            f"{MESSAGES}:SearchRuns.Response": ("runs", "next_page_token"),
        },
    ),
    Fence(
        "artifacts",
        required=True,
        functions=(
            *(
                f"{HANDLERS}:{function}"
                for function in (
                    *("_send_artifact", "_download_artifact", "_upload_artifact"),
                    *("get_trace_artifact_handler", "upload_artifact_handler"),
                    *("catch_mlflow_exception", "_disable_unless_serve_artifacts"),
                    *("_disable_if_artifacts_only", "_get_artifact_repo_mlflow_artifacts"),
                    *("_get_trace_artifact_repo", "_is_servable_proxied_run_artifact_root"),
                    "_get_workspace_scoped_repo_path_if_enabled",
                )
            ),
            "mlflow/server/__init__.py:serve_get_trace_artifact",
            "mlflow/server/__init__.py:serve_upload_artifact",
            f"{ARTIFACT_ROUTER}:_get_artifact_repo",
            f"{ARTIFACT_ROUTER}:_get_workspace_scoped_path",
            f"{ARTIFACT_ROUTER}:download_artifact",
        ),
    ),
    # With older releases, everybody who can log in gets addresses for every download.
    Fence(
        "presigned",
        required=True,
        functions=(
            *(
                f"{HANDLERS}:{function}"
                for function in (
                    *("_create_multipart_upload_artifact", "_complete_multipart_upload_artifact"),
                    *("_abort_multipart_upload_artifact", "_get_presigned_download_url"),
                    *("_create_presigned_upload_url", "_create_presigned_download_url"),
                    *("_validate_support_multipart_upload", "_validate_support_presigned_upload"),
                    *("_validate_support_multipart_download", "build_server_info_payload"),
                    *("_content_disposition_attachment", "_validate_support_presigned_download"),
                )
            ),
            *(
                f"{AUTH}:{function}"
                for function in (
                    *("_is_proxy_artifact_path", "_get_proxy_artifact_validator"),
                    *("_authorize_flask_artifact_proxy", "_artifact_proxy_path"),
                    "validate_can_update_run_or_logged_model",
                )
            ),
            f"{ARTIFACT_REPO}:MultipartUploadMixin.create_multipart_upload",
            f"{ARTIFACT_REPO}:MultipartUploadMixin.complete_multipart_upload",
            f"{ARTIFACT_REPO}:MultipartUploadMixin.abort_multipart_upload",
            f"{ARTIFACT_REPO}:MultipartDownloadMixin.get_download_presigned_url",
            f"{ARTIFACT_REPO}:PresignedUploadMixin.create_presigned_upload_url",
        ),
        switch=presigned.MODE,
        oldest="3.17.2",
    ),
    Fence(
        "wsgi_bridge",
        required=True,
        functions=(f"{FASTAPI}:create_fastapi_app",),
    ),
    # Before `flask_shortcut`, which would hand its requests to Flask.
    Fence(
        "hot_routes",
        required=False,
        functions=(
            *(
                f"{HANDLERS}:{function}"
                for function in (
                    *("_create_run", "_update_run", "_get_run", "_log_metric", "_log_param"),
                    *("_log_batch", "_set_tag", "_get_tracking_store", "_get_request_message"),
                    "get_run_impl",
                )
            ),
            *(
                f"{TRACKING}:SqlAlchemyStore.{function}"
                for function in (
                    *("create_run", "update_run_info", "get_run", "log_metric", "log_param"),
                    *("log_batch", "set_tag", "_log_metrics", "_log_params", "_set_tags"),
                    *("_update_latest_metrics_if_necessary", "sanitize_metric_value"),
                )
            ),
            *(
                f"{VALIDATION}:{function}"
                for function in (
                    *("_validate_metric", "_validate_param", "_validate_tag"),
                    *("_validate_batch_log_limits", "_validate_param_keys_unique"),
                )
            ),
            *(
                f"{AUTH}:{function}"
                for function in (
                    *("_before_request", "_after_request", "authenticate_request_basic_auth"),
                    *("validate_can_read_run", "validate_can_update_run"),
                    *("validate_can_create_run", "validate_can_log_metric"),
                    *("validate_can_log_batch", "redact_get_run_model_links"),
                )
            ),
            "mlflow/utils/name_utils.py:_generate_random_name",
        ),
        tables={
            **RUN_TABLES,
            f"{MODELS}:SqlExperiment": (
                *("experiment_id", "name", "workspace", "artifact_location", "lifecycle_stage"),
                *("creation_time", "last_update_time"),
            ),
            f"{MODELS}:SqlRun": (
                *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id"),
                *("status", "start_time", "end_time", "deleted_time", "source_version"),
                *("lifecycle_stage", "artifact_uri", "experiment_id"),
            ),
            f"{MODELS}:SqlMetric": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
            f"{USERS}:SqlUser": ("id", "username", "password_hash", "is_admin"),
            f"{USERS}:SqlRole": ("id", "name", "workspace", "description"),
            f"{USERS}:SqlRolePermission": (
                *("id", "role_id", "resource_type", "resource_pattern", "permission"),
            ),
            f"{USERS}:SqlUserRoleAssignment": ("id", "user_id", "role_id"),
        },
        messages={
            **RUN_MESSAGES,
            f"{MESSAGES}:RunInfo": (
                *("run_id", "run_uuid", "run_name", "experiment_id", "user_id", "status"),
                *("start_time", "end_time", "artifact_uri", "lifecycle_stage"),
            ),
            f"{MESSAGES}:CreateRun": (
                *("experiment_id", "user_id", "run_name", "start_time", "tags"),
            ),
            f"{MESSAGES}:CreateRun.Response": ("run",),
            f"{MESSAGES}:UpdateRun": (*("run_id", "run_uuid", "status", "end_time", "run_name"),),
            f"{MESSAGES}:UpdateRun.Response": ("run_info",),
            f"{MESSAGES}:GetRun": ("run_id", "run_uuid"),
            f"{MESSAGES}:GetRun.Response": ("run",),
            f"{MESSAGES}:LogMetric": (
                *("run_id", "run_uuid", "key", "value", "timestamp", "step"),
                *("model_id", "dataset_name", "dataset_digest"),
            ),
            f"{MESSAGES}:LogParam": ("run_id", "run_uuid", "key", "value"),
            f"{MESSAGES}:LogBatch": ("run_id", "metrics", "params", "tags"),
            f"{MESSAGES}:SetTag": ("run_id", "run_uuid", "key", "value"),
        },
    ),
    Fence(
        "flask_shortcut",
        required=False,
        functions=(f"{FASTAPI}:create_fastapi_app",),
        middlewares=True,
    ),
    Fence(
        "read_only",
        required=True,
        functions=(
            f"{AUTH}:create_app",
            f"{AUTH}:_before_request",
            f"{AUTH}:authenticate_request_basic_auth",
            f"{AUTH}:is_unprotected_route",
            f"{AUTH}:make_basic_auth_response",
            f"{AUTH}:add_fastapi_permission_middleware",
        ),
    ),
    Fence(
        "user_lookup",
        required=False,
        functions=("mlflow/server/auth/sqlalchemy_store.py:SqlAlchemyStore.get_user",),
    ),
    Fence(
        "invalid_requests",
        required=False,
        functions=(
            f"{HANDLERS}:catch_mlflow_exception",
            "mlflow/exceptions.py:MlflowException.serialize_as_json",
            "mlflow/exceptions.py:MlflowException.get_http_status_code",
            "mlflow/exceptions.py:MlflowException.invalid_parameter_value",
            "mlflow/store/db/utils.py:_get_managed_session_maker",
        ),
    ),
    # It needs the request of `request_ids`, which is put around it.
    Fence(
        "audit",
        required=True,
        functions=(
            *APPLICATION,
            *(
                f"{TRACKING}:SqlAlchemyStore.{function}"
                for function in (
                    *("_hard_delete_run", "_hard_delete_experiment"),
                    "_hard_delete_logged_model",
                )
            ),
        ),
    ),
    Fence(
        "request_ids",
        required=True,
        functions=APPLICATION,
    ),
    Fence("jobs", required=False, functions=(f"{AUTH}:create_app",)),
)


def breaches() -> dict[str, list[str]]:
    """Return by patch what differs in the installed release; nothing for a patch that fits."""
    mlflow = version("mlflow")
    release = read_release(mlflow)
    if release is None:
        known = ", ".join(tested_releases())
        return {
            fence.patch: [
                f"MLflow {mlflow} is not one of the releases it was tested with ({known})"
            ]
            for fence in FENCES
        }
    found: dict[str, list[str]] = {}
    for fence in FENCES:
        installed, tested = version(fence.package), release.packages[fence.package]
        found[fence.patch] = (
            fence.breaches(release, sources.root_of(fence.package))
            if installed == tested
            else [f"{fence.package} is {installed}, and it was tested with {tested}"]
        )
        if fence.is_on() and fence.is_older(mlflow):
            found[fence.patch].append(f"MLflow {mlflow} is older than {fence.oldest}")
    return found


def choose() -> tuple[str, ...]:
    """Return the patches to apply; stop if a required one does not fit."""
    # In a process of its own: the sources as syntax trees take memory that Python keeps.
    command = [sys.executable, str(PROGRAM), "patches"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    wanted = os.environ.get(WANTED)
    result = []
    for fence in FENCES:
        if not fence.is_on():
            continue
        reasons = "; ".join(found[fence.patch])
        if fence.required and reasons:
            logger.error(
                "Patch %s is required and does not fit: %s. Install a release that it was tested"
                " with, or test it with this one: make lock MLFLOW=<version>",
                fence.patch,
                reasons,
            )
            sys.exit(EX_CONFIG)
        if fence.required or wanted is None or fence.patch in wanted.split(","):
            if reasons:
                logger.warning("Patch %s is left out: %s", fence.patch, reasons)
            else:
                result.append(fence.patch)
    os.environ[CHOSEN] = ",".join(result)
    return tuple(result)


def chosen() -> tuple[str, ...]:
    """Return the patches that the supervisor chose for this worker."""
    return tuple(os.environ[CHOSEN].split(","))
