"""Whether MLflow's client is one that the plugin was made for.

The plugin replaces one method and calls others, some of them private. It was tested with the
releases below, whose functions have these texts. With other ones MLflow's own code sends the files.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from functools import lru_cache, reduce
from importlib import import_module
from typing import Any

import mlflow

__all__ = ["RELEASES", "digest", "fits"]

_REPOSITORY = "mlflow.store.artifact.http_artifact_repo:HttpArtifactRepository"
_PROXIED = "mlflow.store.artifact.mlflow_artifacts_repo:MlflowArtifactsRepository"
# What is replaced, what it was derived from, and what it calls.
FUNCTIONS = (
    f"{_REPOSITORY}.log_artifacts",
    f"{_REPOSITORY}.log_artifact",
    f"{_REPOSITORY}._try_multipart_upload",
    f"{_REPOSITORY}._upload_part",
    f"{_REPOSITORY}.create_multipart_upload",
    f"{_REPOSITORY}.complete_multipart_upload",
    f"{_REPOSITORY}.abort_multipart_upload",
    f"{_PROXIED}._should_multipart_upload",
    f"{_PROXIED}._is_multipart_upload_enabled",
    "mlflow.utils.request_utils:cloud_storage_http_request",
    "mlflow.utils.file_utils:read_chunk",
    "mlflow.utils.file_utils:relative_path_to_artifact_path",
)
# The digest of the functions by release.
RELEASES = {"3.17.2": "2763a4bd859d9b42"}

_logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def fits() -> bool:
    """Return whether the plugin fits; warn once if it does not."""
    release = mlflow.__version__
    expected = RELEASES.get(release)
    if expected is None:
        _logger.warning(
            "mlflow: %s is not a release that faster uploads were tested with: %s. MLflow's own"
            " code sends the files, one after the other.",
            release,
            ", ".join(RELEASES),
        )
        return False
    if digest() != expected:
        _logger.warning(
            "mlflow: functions that faster uploads rely on are not those of %s. MLflow's own code"
            " sends the files, one after the other.",
            release,
        )
        return False
    return True


def digest() -> str:
    """Return a digest of the texts of all functions; "" if one is missing or has no text."""
    try:
        texts = [inspect.getsource(_function(name)) for name in FUNCTIONS]
    except (AttributeError, ImportError, OSError, TypeError):
        return ""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _function(name: str) -> Any:
    module, _, path = name.partition(":")
    return reduce(getattr, path.split("."), import_module(module))
