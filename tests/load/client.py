"""A client of several threads that logs runs, metrics, parameters, tags, models and artifacts.

It speaks MLflow's REST API, because MLflow's own client repeats requests by itself: here each
request is sent once, so that its outcome is known, or known to be unknown. After an unknown outcome
a thread leaves the run or the model, and begins another.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import requests

from tests.load.oracle import LATEST, Event, Outcome, Place, Read, Write, acknowledged

if TYPE_CHECKING:
    from collections.abc import Iterable

THREADS = 4
METRICS = 40
BATCHES_OF_A_RUN = 8
ARTIFACT_BYTES = 96 * 1024
# Seconds to connect, and between two bytes of an answer.
TIMEOUT = (5.0, 20.0)
PAUSE = 0.15
PAUSE_AFTER_FAILURE = 0.25
POLL = 0.05


class UnansweredError(Exception):
    """A request without the answer that it needs; what it is about is left alone from now on."""


@dataclass(frozen=True)
class Target:
    """A tracking server, and a login.

    Attributes
    ----------
    url
        The server's address, without a path.
    ca
        The file of the authority that signs its certificate.
    """

    url: str
    username: str
    password: str
    ca: str


@dataclass
class Answers:
    """When a thread has got answers, in seconds of the monotonic clock.

    Attributes
    ----------
    times
        Of each acknowledgement.
    latest
        When the newest request that was answered had been sent, by kind.
    """

    times: list[float] = field(default_factory=list)
    latest: dict[str, float] = field(default_factory=dict)


class Thread:
    """One thread, with runs and models of its own."""

    def __init__(self, target: Target, experiment: str, stopped: threading.Event) -> None:
        self.history: list[Event] = []
        self.answers = Answers()
        self.refusals: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._target = target
        self._experiment = experiment
        self._stopped = stopped
        self._session = new_session(target)
        self._model = ""
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                self._log_run()
            except UnansweredError:
                time.sleep(PAUSE_AFTER_FAILURE)

    def _log_run(self) -> None:
        """Log one run with all that belongs to it."""
        name = uuid.uuid4().hex
        run = self._post(
            "runs/create",
            {("run", name): name},
            experiment_id=self._experiment,
            run_name=name,
            start_time=1,
        )["run"]["info"]
        run_id, uri = run["run_id"], run["artifact_uri"]
        for step in range(BATCHES_OF_A_RUN):
            if self._stopped.is_set():
                return
            self._log_batch(run_id, step)
            self._read_run(run_id, step)
            if step % 4 == 1:
                self._log_single(run_id, step)
                self._log_artifact(run_id, uri, f"file{step}.bin")
            time.sleep(PAUSE)
        self._log_model(run_id, uri)

    def _log_batch(self, run_id: str, step: int) -> None:
        """Log many metrics, two parameters and two tags by one request."""
        values = {f"m{number}": step + number / 64 for number in range(METRICS)}
        writes: dict[Place, str] = {
            ("metric", run_id, key, str(step)): point(1000 + step, value)
            for key, value in values.items()
        }
        writes[LATEST, run_id, "m0"] = point(1000 + step, values["m0"])
        params = {f"p{step}": f"value {step}", f"q{step}": "≤" * (step + 1)}
        writes |= {("param", run_id, key): value for key, value in params.items()}
        tags = {"t": f"step {step}", f"u{step}": uuid.uuid4().hex}
        writes |= {("tag", run_id, key): value for key, value in tags.items()}
        self._post(
            "runs/log-batch",
            writes,
            run_id=run_id,
            metrics=[
                {"key": key, "value": value, "timestamp": 1000 + step, "step": step}
                for key, value in values.items()
            ],
            params=pairs(params),
            tags=pairs(tags),
        )

    def _log_single(self, run_id: str, step: int) -> None:
        """Use the requests for one value each."""
        value = step / 8
        self._post(
            "runs/log-metric",
            {("metric", run_id, "single", str(step)): point(1, value)},
            run_id=run_id,
            key="single",
            value=value,
            timestamp=1,
            step=step,
        )
        self._post(
            "runs/log-parameter",
            {("param", run_id, f"single{step}"): "x"},
            run_id=run_id,
            key=f"single{step}",
            value="x",
        )
        self._post(
            "runs/set-tag",
            {("tag", run_id, "single"): str(step)},
            run_id=run_id,
            key="single",
            value=str(step),
        )

    def _read_run(self, run_id: str, step: int) -> None:
        """Read what the latest batch has written."""
        found = self._get("runs/get", run_id=run_id)
        data = found["run"]["data"] if found else {}
        params, tags = (values_of(data.get(kind, [])) for kind in ("params", "tags"))
        latest = {one["key"]: point_of(one) for one in data.get("metrics", [])}
        self._read(("param", run_id, f"p{step}"), params.get(f"p{step}"))
        self._read(("param", run_id, f"q{step}"), params.get(f"q{step}"))
        self._read(("tag", run_id, "t"), tags.get("t"))
        self._read(("tag", run_id, f"u{step}"), tags.get(f"u{step}"))
        self._read((LATEST, run_id, "m0"), latest.get("m0"))

    def _log_artifact(self, run_id: str, uri: str, name: str) -> None:
        """Upload a file, and download it again."""
        content = os.urandom(ARTIFACT_BYTES)
        place = ("artifact", run_id, name)
        path = f"2.0/mlflow-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:/')}/{name}"
        self._write("PUT", path, "upload", {place: digest(content)}, data=content)
        answer = self._ask("GET", path, "download")
        found = None if answer.status_code == requests.codes.not_found else digest(answer.content)
        self._read(place, found)

    def _log_model(self, run_id: str, uri: str) -> None:
        """Register a version of a model, and lead an alias to it."""
        try:
            if not self._model:
                name = f"model-{uuid.uuid4().hex}"
                self._post("registered-models/create", {("model", name): name}, name=name)
                self._model = name
            operation = uuid.uuid4().hex
            version = self._post(
                "model-versions/create",
                {("version", self._model, operation): operation},
                name=self._model,
                source=f"{uri}/file1.bin",
                run_id=run_id,
                tags=pairs({"operation": operation}),
            )["model_version"]["version"]
            place = ("alias", self._model, "champion")
            self._post(
                "registered-models/alias",
                {place: version},
                name=self._model,
                alias="champion",
                version=version,
            )
            found = self._get("registered-models/alias", name=self._model, alias="champion")
            self._read(place, found["model_version"]["version"] if found else None)
        except UnansweredError:
            self._model = ""
            raise

    def _post(self, path: str, writes: dict[Place, str], **body: Any) -> Any:
        """Write something, and note the outcome of each value."""
        return self._write("POST", f"2.0/mlflow/{path}", path, writes, json=body).json()

    def _get(self, path: str, **query: Any) -> Any:
        """Read something that was written; None if the server does not know it."""
        answer = self._ask("GET", f"2.0/mlflow/{path}", path, params=query)
        return None if answer.status_code == requests.codes.not_found else answer.json()

    def _write(
        self, method: str, path: str, kind: str, writes: dict[Place, str], **options: Any
    ) -> requests.Response:
        outcome = Outcome.UNKNOWN
        try:
            answer = self._send(method, path, kind, **options)
            if answer.ok:
                outcome = Outcome.ACKNOWLEDGED
            elif answer.status_code < requests.codes.internal_server_error:
                outcome = Outcome.REFUSED
        finally:
            now = time.monotonic()
            self.history += [Write(place, value, outcome, now) for place, value in writes.items()]
        if outcome is not Outcome.ACKNOWLEDGED:
            raise UnansweredError
        self.answers.times.append(now)
        return answer

    def _ask(self, method: str, path: str, kind: str, **options: Any) -> requests.Response:
        """Read; the answer is a success, or that it does not exist."""
        answer = self._send(method, path, kind, **options)
        if not answer.ok and answer.status_code != requests.codes.not_found:
            raise UnansweredError
        return answer

    def _send(self, method: str, path: str, kind: str, **options: Any) -> requests.Response:
        sent = time.monotonic()
        try:
            answer = self._session.request(
                method, f"{self._target.url}/api/{path}", timeout=TIMEOUT, **options
            )
        except requests.RequestException as error:
            self._session.close()
            self._session = new_session(self._target)
            self.failures[type(error).__name__] += 1
            raise UnansweredError from error
        if answer.ok:
            self.answers.latest[kind] = sent
        elif answer.status_code < requests.codes.internal_server_error:
            self.refusals[f"{kind}: {answer.status_code} {answer.text[:200]}"] += 1
        else:
            self.failures[str(answer.status_code)] += 1
        return answer

    def _read(self, place: Place, value: str | None) -> None:
        self.history.append(Read(place, value, time.monotonic()))


class Load:
    """The client: a context manager that writes from its beginning to its end."""

    def __init__(self, target: Target, threads: int = THREADS) -> None:
        """Create an experiment of its own; this must be answered."""
        self.experiment = create_experiment(target)
        self._stopped = threading.Event()
        self._threads = [Thread(target, self.experiment, self._stopped) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def history(self) -> list[Event]:
        """Events of all threads, in order for each place."""
        return [event for thread in self._threads for event in tuple(thread.history)]

    @property
    def acknowledged(self) -> int:
        """The number of acknowledged operations."""
        return acknowledged(self.history)

    @property
    def refusals(self) -> Counter[str]:
        """Requests that were refused, by reason."""
        return sum((thread.refusals for thread in self._threads), Counter[str]())

    @property
    def failures(self) -> Counter[str]:
        """Requests without an answer, or with a status of 500 or more, by kind."""
        return sum((thread.failures for thread in self._threads), Counter[str]())

    def wait_until_answered(self, since: float, seconds: float) -> float:
        """Wait until all threads get answers, and files pass both ways; return the seconds.

        Only requests count that were sent after `since`, a time of the monotonic clock.
        """
        while not self._is_answered(since):
            assert time.monotonic() - since < seconds, (
                f"no answers for {seconds:.0f} s: {self.failures} {self.refusals}"
            )
            time.sleep(POLL)
        return time.monotonic() - since

    def _is_answered(self, since: float) -> bool:
        latest = [dict(thread.answers.latest) for thread in self._threads]
        batches = all(times.get("runs/log-batch", 0) > since for times in latest)
        files = [max(times.get(kind, 0) for times in latest) for kind in ("upload", "download")]
        return batches and min(files) > since

    def longest_silence(self, since: float, until: float) -> float:
        """Return the longest time in seconds without an acknowledgement of any thread."""
        times = sorted(
            moment
            for thread in self._threads
            for moment in tuple(thread.answers.times)
            if since < moment < until
        )
        edges = [since, *times, until]
        return max(later - earlier for earlier, later in pairwise(edges))


def new_session(target: Target) -> requests.Session:
    """Return a session without retries."""
    session = requests.Session()
    # Authorities that the environment names would go before the given one.
    session.trust_env = False
    session.auth = (target.username, target.password)
    session.verify = target.ca
    return session


def create_experiment(target: Target) -> str:
    """Create an experiment with a name that nobody else has; return its id."""
    with new_session(target) as session:
        answer = session.post(
            f"{target.url}/api/2.0/mlflow/experiments/create",
            json={"name": f"load {uuid.uuid4().hex}"},
            timeout=TIMEOUT,
        )
    assert answer.ok, answer.text
    return str(answer.json()["experiment_id"])


def point(timestamp: int, value: float) -> str:
    """Return a point of a metric as text."""
    return f"{timestamp} {float(value)!r}"


def point_of(metric: dict[str, Any]) -> str:
    """Return a point of a metric in an answer as text."""
    return point(int(metric["timestamp"]), metric["value"])


def pairs(values: dict[str, str]) -> list[dict[str, str]]:
    """Return values as MLflow's API has them."""
    return [{"key": key, "value": value} for key, value in values.items()]


def values_of(found: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return values that MLflow's API has as pairs."""
    return {one["key"]: one["value"] for one in found}


def digest(content: bytes) -> str:
    """Return the checksum of a file."""
    return hashlib.sha256(content).hexdigest()
