"""Limit the places from which artifacts are read, and to which they are written.

MLflow keeps a location with each experiment, run, logged model, model version and trace, and opens
whatever it names: folders of the host, other buckets, other servers. A check at creation does not
know the rows that are older than it, such as those of an imported database. So each location is
checked again whenever it is used. Allowed are the server's own artifacts, and the places that the
operator lists.
"""

from __future__ import annotations

import importlib
import os
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

from mlflow_host.settings import setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow_host.patches import Server

    Invalid = Callable[[str], Exception]

VARIABLE = "MLFLOW_HOST_ALLOWED_ARTIFACT_LOCATIONS"
# The artifacts of this server, as clients name them.
OWN = "mlflow-artifacts"
# They name a run or a model, whose location is then opened and checked in its turn.
REFERENCES = {"models", "runs"}
FORBIDDEN = re.compile(r"(^|[/\\])\.\.([/\\?#;]|\Z)|[\x00-\x1f]")


@dataclass(frozen=True)
class Place:
    """A folder that holds artifacts.

    Attributes
    ----------
    scheme
        Kind of store, e.g. `s3`; `file` for a folder of the host.
    store
        Name of the bucket, or "".
    path
        Path from the root of the store, without slashes at its ends.
    """

    scheme: str
    store: str
    path: str

    def holds(self, other: Place) -> bool:
        """Say whether the other place is this one, or below it."""
        if (self.scheme, self.store) != (other.scheme, other.store):
            return False
        return not self.path or f"{other.path}/".startswith(f"{self.path}/")


def place_of(location: str) -> Place | None:
    """Return the place that a location names; None if it is relative or leads upwards."""
    plain = location
    # A path may be encoded more than once.
    while (decoded := unquote(plain)) != plain:
        plain = decoded
    parts = urlsplit(location)
    if FORBIDDEN.search(plain):
        return None
    # A bucket without a path is all of the bucket.
    path = parts.path or ("/" if parts.netloc else "")
    if not path.startswith("/"):
        return None
    return Place(parts.scheme or "file", parts.netloc, posixpath.normpath(path).strip("/"))


@dataclass(frozen=True)
class Locations:
    """Where the server keeps artifacts.

    Attributes
    ----------
    places
        The destination of its own artifacts, and what the operator lists.
    """

    places: tuple[Place, ...]

    def allows(self, location: str) -> bool:
        """Say whether artifacts may be at the location."""
        place = place_of(location)
        if place is None:
            return False
        if place.scheme == OWN:
            return place.store == ""
        return any(listed.holds(place) for listed in self.places)

    def check(self, location: str, field: str, invalid: Invalid) -> None:
        """Raise what `invalid` makes of a message, unless artifacts may be at the location."""
        if not self.allows(location):
            raise invalid(
                f"{field}: {location!r} is not a valid location: artifacts are kept in"
                " mlflow-artifacts:/ and below. An administrator can list other places in"
                " mlflow_allowed_artifact_locations."
            )

    def check_opened(self, location: str, invalid: Invalid) -> None:
        """Check a location that is about to be opened, which may also be a reference."""
        parts = urlsplit(location)
        if parts.scheme not in REFERENCES or parts.netloc:
            self.check(location, "artifact location", invalid)


def read_locations() -> Locations:
    """Return the locations of the environment."""
    words = [setting("MLFLOW_ARTIFACTS_DESTINATION"), *os.environ.get(VARIABLE, "").split(",")]
    return Locations(tuple(place for word in words if word and (place := place_of(word))))


def apply(_server: Server) -> None:
    """Check locations when they are written, and whenever one is used."""
    locations = read_locations()
    invalid = importlib.import_module("mlflow.exceptions").MlflowException.invalid_parameter_value
    _limit_writing(locations, invalid)
    _limit_opening(locations, invalid)
    _limit_proxying(locations, invalid)


def spare_other_places() -> None:
    """Let `mlflow gc` delete rows, and no artifacts that are elsewhere.

    It would end at the first of them, and delete nothing more. For a location that it cannot
    resolve it prints a warning and goes on.
    """
    locations = read_locations()
    cli = vars(importlib.import_module("mlflow.cli"))
    unresolved = importlib.import_module("mlflow.exceptions").InvalidUrlException
    open_repository = cli["get_artifact_repository"]

    class Spared:
        def __init__(self, location: str) -> None:
            self._location = location

        def __repr__(self) -> str:
            return self._location

        def delete_artifacts(self) -> NoReturn:
            locations.check(self._location, "artifact location", unresolved)
            raise AssertionError(self._location)

    def spare(location: str) -> Any:
        return open_repository(location) if locations.allows(location) else Spared(location)

    cli["get_artifact_repository"] = spare


def _limit_writing(locations: Locations, invalid: Invalid) -> None:
    handlers = _names_of("mlflow.server.handlers")
    check_form = handlers["_validate_storage_location_uri"]

    def validate_storage_location_uri(value: str, field_name: str) -> str:
        locations.check(value, field_name, invalid)
        checked: str = check_form(value, field_name)
        return checked

    handlers["_validate_storage_location_uri"] = validate_storage_location_uri


def _limit_opening(locations: Locations, invalid: Invalid) -> None:
    # Every repository of artifacts is made here, also those that a reference leads to.
    registry = _names_of("mlflow.store.artifact.artifact_repository_registry")
    kind = registry["ArtifactRepositoryRegistry"]
    open_repository = kind.get_artifact_repository

    def get_artifact_repository(self: Any, artifact_uri: str, *args: Any, **settings: Any) -> Any:
        locations.check_opened(str(artifact_uri), invalid)
        return open_repository(self, artifact_uri, *args, **settings)

    kind.get_artifact_repository = get_artifact_repository


def _limit_proxying(locations: Locations, invalid: Invalid) -> None:
    # MLflow takes http://, https:// and mlflow-artifacts:// with any host for its own artifacts.
    handlers = _names_of("mlflow.server.handlers")
    is_own = handlers["_is_servable_proxied_run_artifact_root"]

    def is_servable(run_artifact_root: str) -> bool:
        locations.check(run_artifact_root, "artifact location", invalid)
        servable: bool = is_own(run_artifact_root)
        return servable

    handlers["_is_servable_proxied_run_artifact_root"] = is_servable


def _names_of(module: str) -> dict[str, Any]:
    """Return the names of a module of MLflow; it calls what is put there from now on."""
    return vars(importlib.import_module(module))
