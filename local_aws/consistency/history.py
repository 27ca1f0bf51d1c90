"""What collections of moto's backends held some time ago.

Several times a second the collections of each backend are recorded. A read that AWS documents as
eventually consistent is answered from the recording of `stale_seconds` ago, and everything else
from the present. So a change becomes visible as a whole, once, and in order; AWS does not promise
even that.

Resources that change by themselves (instances, DB instances) are recorded by reference: they
appear and disappear late, but their states are current.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from moto.core.responses import BaseResponse
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.internet_gateways import InternetGateway
from moto.ec2.models.key_pairs import KeyPair
from moto.ec2.models.route_tables import RouteTable
from moto.ec2.models.security_groups import SecurityGroup
from moto.ec2.models.subnets import Subnet
from moto.ec2.models.vpcs import VPC, VPCEndPoint
from moto.iam.models import IAMBackend, InstanceProfile, Role, iam_backends
from moto.logs.models import LogsBackend, logs_backends
from moto.rds.models import RDSBaseModel, rds_backends
from moto.secretsmanager.models import SecretsManagerBackend, secretsmanager_backends

from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.core.base_backend import BackendDict

    from local_aws.settings import Settings

LONGEST_PERIOD = 1.0
_READS = ("Describe", "Get", "List")
# Of these the attributes are recorded as well.
_RECORDED = (
    ElasticAddress,
    InstanceProfile,
    InternetGateway,
    KeyPair,
    Role,
    RouteTable,
    SecurityGroup,
    Subnet,
    VPC,
    VPCEndPoint,
)
_COLLECTIONS = (dict, list)
_BACKENDS: dict[str, BackendDict[Any]] = {
    "ec2": ec2_backends,
    "iam": iam_backends,
    "logs": logs_backends,
    "rds": rds_backends,
    "secretsmanager": secretsmanager_backends,
}
# What is looked at through a recording: its class, and which of its attributes (None: all that are
# collections).
_VIEWED: dict[type, tuple[str, ...] | None] = {
    EC2Backend: None,
    IAMBackend: None,
    LogsBackend: None,
    RDSBaseModel: ("_tags",),
    SecretsManagerBackend: ("secrets",),
}
_Frame = tuple[float, dict[str, Any]]


class _Look:
    """One look back; of each owner the same recording throughout."""

    def __init__(self, history: History, seconds: float) -> None:
        self._history = history
        self._then = time.monotonic() - seconds
        self._seen: dict[int, dict[str, Any]] = {}

    def attributes(self, owner: Any) -> dict[str, Any]:
        if id(owner) not in self._seen:
            self._seen[id(owner)] = self._history.attributes(owner, self._then)
        return self._seen[id(owner)]


_LOOK: ContextVar[_Look | None] = ContextVar("look", default=None)


class History:
    """The recordings of all backends."""

    def __init__(self, settings: Settings) -> None:
        """Record nothing yet."""
        self._settings = settings
        self._longest = max(settings.stale_seconds, settings.stale_secret_list_seconds)
        shortest = min(filter(None, (settings.stale_seconds, settings.stale_secret_list_seconds)))
        self._period = min(LONGEST_PERIOD, shortest / 4)
        self._frames: WeakKeyDictionary[Any, deque[_Frame]] = WeakKeyDictionary()
        self._lock = threading.RLock()

    def seconds(self, service: str, operation: str) -> float:
        """Return for how many seconds the answers of an operation lag."""
        if service == "secretsmanager":
            return self._settings.stale_secret_list_seconds if operation == "ListSecrets" else 0.0
        if service in _BACKENDS and operation.startswith(_READS):
            return self._settings.stale_seconds
        return 0.0

    @contextmanager
    def looking_back(self, seconds: float) -> Iterator[None]:
        """Let backends be seen as they were some seconds ago; 0 is the present."""
        before = _LOOK.set(_Look(self, seconds) if seconds else None)
        try:
            yield
        finally:
            _LOOK.reset(before)

    def attributes(self, owner: Any, then: float) -> dict[str, Any]:
        """Return the recorded attributes of a backend or a resource at a moment in the past."""
        with self._lock:
            frames = list(self._frames.get(owner, ()))
        # What was made later began with what it has.
        first = frames[0][1] if frames else {}
        return next((found for moment, found in reversed(frames) if moment <= then), first)

    def know(self, service: str, account: str, region: str) -> None:
        """Record a backend before its first change."""
        backend = _BACKENDS[service][account]["aws" if service == "iam" else region]
        if backend not in self._frames:
            self._record(backend)

    def keep_recording(self) -> None:
        """Record until the process ends."""
        while True:
            time.sleep(self._period)
            for backends in _BACKENDS.values():
                for _, _, backend in list(backends.iter_backends()):
                    self._record(backend)

    def _record(self, backend: Any) -> None:
        for owner, names in _owners(backend):
            try:
                attributes = _collections(owner, names)
            except RuntimeError:
                # It was changed meanwhile; the next recording has it.
                continue
            now = time.monotonic()
            with self._lock:
                frames = self._frames.setdefault(owner, deque())
                frames.append((now, attributes))
                while len(frames) > 1 and frames[1][0] <= now - self._longest:
                    frames.popleft()


def apply(settings: Settings) -> History:
    """Record from now on, and answer reads from the recordings."""
    past = History(settings)
    for cls in _VIEWED:
        _look_through(cls)
    for service in _BACKENDS:
        past.know(service, settings.account, settings.region)
    threading.Thread(target=past.keep_recording, daemon=True).start()

    def call_action(self: BaseResponse) -> Any:
        service = str(self.boto3_service_name)
        if service in _BACKENDS:
            past.know(service, self.current_account, self.region)
        with past.looking_back(past.seconds(service, self._get_action())):
            return call_any_action(self)

    call_any_action = replace(BaseResponse, "call_action", call_action)
    return past


def _look_through(cls: Any) -> None:
    """Let the attributes of a class be those of the current look back."""

    def get(self: Any, name: str) -> Any:
        look = _LOOK.get()
        if look is not None:
            attributes = look.attributes(self)
            if name in attributes:
                return attributes[name]
        return object.__getattribute__(self, name)

    cls.__getattribute__ = get


def _owners(backend: Any) -> Iterator[tuple[Any, tuple[str, ...] | None]]:
    """Yield what is recorded of a backend: itself, or its resources."""
    for cls, names in _VIEWED.items():
        if isinstance(backend, cls):
            yield backend, names
            return
    for collection in list(vars(backend).values()):
        if isinstance(collection, MutableMapping):
            for resource in list(collection.values()):
                if isinstance(resource, RDSBaseModel):
                    yield resource, _VIEWED[RDSBaseModel]


def _collections(owner: Any, names: tuple[str, ...] | None) -> dict[str, Any]:
    """Return copies of the attributes that are collections."""
    return {
        name: _copy(value)
        for name, value in list(vars(owner).items())
        if isinstance(value, _COLLECTIONS) and (names is None or name in names)
    }


def _copy(value: Any) -> Any:
    """Copy collections and what is recorded with its attributes; the rest is shared."""
    if isinstance(value, dict):
        copied = copy.copy(value)
        for key in list(copied):
            dict.__setitem__(copied, key, _copy(dict.__getitem__(copied, key)))
        return copied
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, _RECORDED):
        copied = copy.copy(cast("Any", value))
        vars(copied).update(
            {
                name: _copy(item)
                for name, item in vars(copied).items()
                if isinstance(item, _COLLECTIONS)
            }
        )
        return copied
    return value
