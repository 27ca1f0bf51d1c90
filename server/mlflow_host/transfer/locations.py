"""Where the artifacts of another MLflow are, and where they will be.

Each experiment, run, logged model, model version and trace has a location. Below a root of the
other server it becomes the same path below the root of this one.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

OWN = "mlflow-artifacts:"
# What MLflow's REST API puts before a path of its artifacts.
ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
# They name a run, a model or nothing, and no place.
REFERENCES = ("models:/", "runs:/")
PLACEHOLDERS = {"dummy-source", "prompt-template"}


def normal(location: str) -> str:
    """Return a location in one of the forms `/path`, `path`, `mlflow-artifacts:/path`, `s3://…`."""
    parts = urlsplit(location)
    match parts.scheme:
        case "":
            return posixpath.normpath(location)
        case "file":
            return posixpath.normpath(unquote(parts.path))
        case "mlflow-artifacts":
            return _own(parts.path)
        case "http" | "https" if parts.path.startswith(f"{ROUTE}/"):
            return _own(parts.path.removeprefix(ROUTE))
        case _:
            return location.rstrip("/")


def roots(experiments: Iterable[tuple[int, str]]) -> list[str]:
    """Return the folders below which experiments are kept, as MLflow itself names them.

    Parameters
    ----------
    experiments
        Number and location of each.
    """
    found = set()
    for number, location in experiments:
        root, _, folder = normal(location).rpartition("/")
        if folder == str(number):
            found.add(root)
    return sorted(found - {OWN})


@dataclass(frozen=True)
class Locations:
    """The locations of another MLflow.

    Attributes
    ----------
    roots
        Folders whose content is moved below the root of this server's artifacts.
    """

    roots: tuple[str, ...]

    def moved(self, location: str) -> str | None:
        """Return a location as it is here; None for one that is below none of the roots."""
        if location in PLACEHOLDERS or location.startswith(REFERENCES) or not location:
            return location
        now = normal(location)
        if ".." in now.split("/"):
            return None
        for root in (OWN, *self.roots):
            if now == root or now.startswith(f"{root}/"):
                return OWN + "/" + now[len(root) :].lstrip("/")
        return None


def _own(path: str) -> str:
    return f"{OWN}{posixpath.normpath('/' + path.lstrip('/'))}".rstrip("/")
