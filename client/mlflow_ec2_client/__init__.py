"""A plugin of MLflow's client: it sends the small files of a folder to S3 several at a time.

MLflow asks `artifact_repository` for the object that sends and fetches the artifacts of a tracking
server (scheme `mlflow-artifacts`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

__all__ = ["SWITCH", "artifact_repository"]

SWITCH = "MLFLOW_EC2_PARALLEL_UPLOADS"
VALUES = {"true": True, "1": True, "false": False, "0": False}


def artifact_repository(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> MlflowArtifactsRepository:
    """Return MLflow's own repository of artifacts, or ours where it fits.

    Raises
    ------
    ValueError
        The variable `MLFLOW_EC2_PARALLEL_UPLOADS` is neither true nor false.
    """
    # MLflow imports this module while it is imported itself.
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository  # noqa: PLC0415

    from mlflow_ec2_client import fence, uploads  # noqa: PLC0415

    kind = uploads.ParallelUploads if wanted() and fence.fits() else MlflowArtifactsRepository
    return kind(artifact_uri, tracking_uri, registry_uri)


def wanted() -> bool:
    """Return whether the plugin is switched on, as it is by default."""
    value = os.environ.get(SWITCH, "true")
    try:
        return VALUES[value.lower()]
    except KeyError:
        raise ValueError(
            f"{SWITCH}: {value!r} is not a valid switch: it is true or false. Set one of them."
        ) from None
