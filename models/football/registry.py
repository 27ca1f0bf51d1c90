"""Registered models, one per kind and target; each run is a version, the best is the champion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient, MlflowException

from football.naming import CHAMPION, LARGER_IS_BETTER
from football.tracking import with_retries

if TYPE_CHECKING:
    from collections.abc import Iterable

_RUNS_AT_ONCE = 100


@dataclass(frozen=True)
class Champion:
    """The champion of a registered model; `note` says why it is not another version."""

    name: str
    version: str
    value: float
    new: bool
    note: str = ""

    def describe(self, metric: str) -> str:
        """Return a line for users."""
        mark = "new champion" if self.new else "champion"
        note = f" ({self.note})" if self.note else ""
        return f"{mark} {self.name}: version {self.version}, {metric} {self.value:.4f}{note}"


def prepare(client: MlflowClient, name: str) -> None:
    """Create a registered model if it is missing."""
    try:
        with_retries(partial(client.create_registered_model, name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def add_version(client: MlflowClient, name: str, run_id: str, logged: Any, side: str) -> None:
    """Register a logged model, once."""

    def find() -> Any:
        found = client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'")
        return found[0] if found else None

    with_retries(
        lambda: client.create_model_version(
            name,
            logged.artifact_location,
            run_id,
            tags={"side": side},
            await_creation_for=0,
            model_id=logged.model_id,
        ),
        find,
    )


def runs_by_id(
    client: MlflowClient, experiment_ids: Iterable[str], run_ids: Iterable[str]
) -> dict[str, Any]:
    """Fetch many runs with few requests."""
    wanted = list(run_ids)
    found: dict[str, Any] = {}
    for start in range(0, len(wanted), _RUNS_AT_ONCE):
        some = wanted[start : start + _RUNS_AT_ONCE]
        names = ", ".join(f"'{run_id}'" for run_id in some)
        page = with_retries(
            partial(
                client.search_runs,
                list(experiment_ids),
                f"attributes.run_id IN ({names})",
                max_results=len(some),
            )
        )
        found |= {run.info.run_id: run for run in page}
    return found


def promote_champion(
    client: MlflowClient, name: str, metric: str, competing: dict[str, Any]
) -> Champion | None:
    """Give the alias `champion` to the best version of these runs, if it beats the present one.

    Parameters
    ----------
    name
        The registered model.
    metric
        One of naming.METRICS.
    competing
        MLflow's runs, by their identifiers. A run competes with the present champion only if both
        were measured on the same matches; otherwise their values say nothing about who is better.

    Returns
    -------
    Champion or None
        None if none of these runs has a version.
    """
    versions = {
        found.run_id: found
        for found in _all_versions(client, name)
        if found.run_id in competing or CHAMPION in (found.aliases or ())
    }
    present = _present(client, name)
    if present:
        versions[present.run_id] = present
    side = {found.run_id: found.tags.get("side", "") for found in versions.values()}
    runs = {
        run_id: competing.get(run_id) or with_retries(partial(client.get_run, run_id))
        for run_id in versions
    }
    values = {
        run_id: run.data.metrics[f"{metric}_{side[run_id]}"]
        for run_id, run in runs.items()
        if f"{metric}_{side[run_id]}" in run.data.metrics
    }
    sign = -1 if metric in LARGER_IS_BETTER else 1
    holder = present.run_id if present and present.run_id in values else None
    candidates = [run_id for run_id in values if run_id in competing]
    comparable = [
        run_id
        for run_id in candidates
        if not holder or _matches(runs[run_id]) == _matches(runs[holder])
    ]
    if not comparable:
        if not (holder and candidates):
            return None
        note = "measured on other matches than these runs"
        return Champion(name, str(present.version), values[holder], new=False, note=note)
    # Among equals the oldest.
    best = min(
        comparable, key=lambda run_id: (sign * values[run_id], int(versions[run_id].version))
    )
    if holder and sign * values[best] >= sign * values[holder]:
        return Champion(name, str(present.version), values[holder], new=False)
    version = versions[best].version
    with_retries(lambda: client.set_registered_model_alias(name, CHAMPION, version))
    return Champion(name, str(version), values[best], new=True)


def _present(client: MlflowClient, name: str) -> Any:
    try:
        return with_retries(lambda: client.get_model_version_by_alias(name, CHAMPION))
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def _all_versions(client: MlflowClient, name: str) -> Iterable[Any]:
    token = None
    while True:
        page = with_retries(
            partial(client.search_model_versions, f"name = '{name}'", page_token=token)
        )
        yield from page
        if not (token := page.token):
            return


def _matches(run: Any) -> tuple[str, ...]:
    """Return what decides on which matches a run was measured."""
    return (
        run.data.tags.get("data_sha256", ""),
        run.data.params.get("training.test_size", ""),
        run.data.params.get("training.random_state", ""),
    )
