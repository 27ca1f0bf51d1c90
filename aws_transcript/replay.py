"""Repeats the calls of a transcript on local AWS and compares the answers."""

from __future__ import annotations

import io
import re
import time
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from aws_transcript import comparison
from local_aws import profile
from local_aws.services.ec2.debian_images import DEBIAN_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aws_transcript.transcript import Call
    from local_aws.settings import Settings

# A placeholder, or an address, which is replaced by another one.
REPLACED = re.compile(r"<[A-Za-z][\w-]*-\d+>|(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
UNKNOWN = re.compile(r"<(?:bytes-\d+|stream)>")
POLL_SECONDS = 1.0


def _public_key() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def _package() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        package.writestr("handler.py", "def handler(event, context):\n    return {}\n")
    return content.getvalue()


# Members whose bytes a transcript does not hold, with something that AWS takes instead.
GENERATED_BYTES: dict[str, Callable[[], bytes]] = {
    "PublicKeyMaterial": _public_key,
    "ZipFile": _package,
    "Payload": lambda: b"{}",
}


class UnboundError(Exception):
    """A call needs a value that the transcript does not hold and no answer has brought."""


@dataclass
class Bindings:
    """The values of the target by what stands for them in the transcript."""

    values: dict[str, str] = field(default_factory=dict)

    def fill(self, recorded: Any, name: str = "") -> Any:
        """Return parameters with the target's values; `name` is that of the member.

        Raises
        ------
        UnboundError
            When one is not known.
        """
        if isinstance(recorded, dict):
            return {self.fill(key): self.fill(part, key) for key, part in recorded.items()}
        if isinstance(recorded, list):
            return [self.fill(part, name) for part in recorded]
        if not isinstance(recorded, str):
            return recorded
        if name in GENERATED_BYTES:
            return GENERATED_BYTES[name]()
        if UNKNOWN.fullmatch(recorded):
            raise UnboundError(recorded)
        return REPLACED.sub(lambda found: self._value(found[0]), recorded)

    def learn(self, recorded: Any, found: Any) -> None:
        """Take the values that an answer of the target has where the recorded one has others."""
        if isinstance(recorded, dict) and isinstance(found, dict):
            for key in recorded.keys() & found.keys():
                self.learn(recorded[key], found[key])
        elif isinstance(recorded, list) and isinstance(found, list):
            for one, other in zip(recorded, found, strict=False):
                self.learn(one, other)
        elif isinstance(recorded, str) and isinstance(found, str):
            self._learn_text(recorded, found)

    def _learn_text(self, recorded: str, found: str) -> None:
        names = REPLACED.findall(recorded)
        pattern = "(.+?)".join(map(re.escape, REPLACED.split(recorded)))
        match = re.fullmatch(pattern, found, re.DOTALL) if names else None
        if match:
            for name, value in zip(names, match.groups(), strict=True):
                self.values.setdefault(name, value)

    def _value(self, name: str) -> str:
        if name not in self.values:
            kind, _, number = name.strip("<>").rpartition("-")
            if kind in ("secret", "token"):
                # Valid as a password of RDS and of MLflow, and as a token of idempotence.
                self.values[name] = f"Replayed{kind}{int(number):032d}"
            elif kind == "account":
                # Beside its own, a run names the account that publishes the images.
                self.values[name] = DEBIAN_ACCOUNT
            elif not kind:
                self.values[name] = name
            else:
                raise UnboundError(name)
        return self.values[name]


@dataclass
class Outcome:
    """What a replay has shown: how many calls were made, a line for each difference."""

    calls: int = 0
    differences: list[str] = field(default_factory=list)
    not_replayed: list[str] = field(default_factory=list)


class Target:
    """Local AWS, as its administrator: the policy of a deployment is of another name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[tuple[str, str | None], Any] = {}

    def call(self, recorded: Call, parameters: dict[str, Any]) -> Call:
        """Make a call and return it with its answer or error."""
        client = self._client(recorded.service, recorded.region)
        try:
            answer = getattr(client, xform_name(recorded.operation))(**parameters)
        except ClientError as error:
            status = error.response["ResponseMetadata"].get("HTTPStatusCode")
            return replace(
                recorded, status=status, answer=None, error=error.response["Error"]["Code"]
            )
        except BotoCoreError as error:
            return replace(recorded, status=None, answer=None, error=type(error).__name__)
        status = answer.pop("ResponseMetadata")["HTTPStatusCode"]
        return replace(recorded, status=status, answer=_plain(answer), error=None)

    def _client(self, service: str, region: str | None) -> Any:
        key = service, region
        if key not in self._clients:
            self._clients[key] = boto3.client(
                service,
                region_name=region or self._settings.region,
                endpoint_url=self._settings.endpoint,
                verify=str(self._settings.ca_file),
                aws_access_key_id=profile.ADMINISTRATOR.access_key,
                aws_secret_access_key=profile.ADMINISTRATOR.secret_key,
                config=Config(proxies={}, ignore_configured_endpoint_urls=True),
            )
        return self._clients[key]


def replay(calls: list[Call], target: Target, wait_seconds: float) -> Outcome:
    """Make the calls one after the other; those that were polled are, until they agree."""
    outcome, bindings = Outcome(), _own_account(calls, target)
    for recorded, repeated in _groups(calls):
        where = f"line {recorded.line}: {recorded.name}"
        try:
            parameters = bindings.fill(recorded.parameters)
        except UnboundError as missing:
            outcome.not_replayed.append(f"{where} needs {missing}")
            continue
        found = target.call(recorded, parameters)
        outcome.calls += 1
        end = time.monotonic() + wait_seconds
        while repeated and comparison.differences(recorded, found) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            found = target.call(recorded, parameters)
        bindings.learn(recorded.answer, found.answer)
        outcome.differences += [
            f"{where}: {line}" for line in comparison.differences(recorded, found)
        ]
    return outcome


def compare(recorded: list[Call], other: list[Call]) -> Outcome:
    """Compare two recorded runs: the order of their calls, and the outcome of each."""
    one, two = map(comparison.without_repetitions, (recorded, other))
    outcome = Outcome(differences=comparison.order_differences(one, two))
    for before, after in comparison.pairs(one, two):
        outcome.calls += 1
        outcome.differences += [
            f"line {before.line}: {before.name}: {line}"
            for line in comparison.differences(before, after)
        ]
    return outcome


def _groups(calls: list[Call]) -> Iterator[tuple[Call, bool]]:
    """Give the calls that are made, and whether each was repeated until it answered so."""
    last_lines = {call.line for call in comparison.without_repetitions(calls)}
    repeated = False
    for call in calls:
        if call.line in last_lines:
            yield call, repeated
            repeated = False
        else:
            repeated = True


def _own_account(calls: list[Call], target: Target) -> Bindings:
    """Return bindings with the caller's account: names are made of it before any answer has it."""
    bindings = Bindings()
    for call in calls:
        if call.name == "sts:GetCallerIdentity" and call.answer:
            bindings.learn({"Account": call.answer["Account"]}, target.call(call, {}).answer)
            break
    return bindings


def _plain(value: Any) -> Any:
    """Return an answer in JSON's types."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | bool | int | float | None) else str(value)
