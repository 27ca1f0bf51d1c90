"""Replaces what identifies an account or gives access to it.

By shape: members that botocore's models call sensitive, members with the name of a secret, bytes.
By value: a secret is sought in every later text; account ids, addresses, host names, resource
ids, keys, signed URLs and e-mail addresses are replaced wherever they occur.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aws_transcript import addresses
from aws_transcript.placeholders import SECRET, SHORTEST_SOUGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.model import Shape

    from aws_transcript.placeholders import Placeholders

ID = "id"
SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|private_?-?key|credential|user_?data|key_?material|api_?key",
    re.IGNORECASE,
)
# Names of members about a secret, which hold none.
ABOUT_SECRET = re.compile(
    r"(id|ids|name|names|arn|arns|type|status|days|policy|stages?|list|length|date)$", re.IGNORECASE
)
PAGE_TOKEN = re.compile(r"(next|client|request|continuation).*token$", re.IGNORECASE)
# Members of which every part is secret.
WHOLE_SECRET = re.compile(r"^user_?data$", re.IGNORECASE)
# Ids without a form by which they are recognised.
OPAQUE_ID = re.compile(
    r"^(Api|Route|Integration|Deployment|Authorizer|Version|Canonical)Id$|^(Next)?VersionIdMarker$"
    r"|^ETag$"
)
# Members that name the value of a neighbouring member, as {"Key": "password", "Value": "…"}.
LABELS = ("Key", "Name", "ParameterName", "key", "name")
LABELLED = re.compile(r"^(Parameter)?Value$", re.IGNORECASE)
# A value that a model calls sensitive is sought elsewhere if it is as long as this: shorter ones,
# as of a function's environment, are often ordinary words.
SHORTEST_SENSITIVE_SOUGHT = 16

# In messages and commands: password=…, "session_token": "…", Authorization: Bearer ….
ASSIGNED = re.compile(
    r"((?:\w*passw(?:or)?d|passphrase|secret_?(?:access_?)?key|secret_?string|client_?secret|\w*token"
    r"|api_?key|authorization)[\"'\\]*\s*[=:]\s*[\"'\\]*(?:bearer |basic )?)([^\s\"',;&}<>\\]+)",
    re.IGNORECASE,
)
HARMLESS = {"true", "false", "null", "none", "required", "optional", "yes", "no"}
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
REGION = r"[a-z]{2}(?:-[a-z]+)+-\d"
SUFFIX = r"(?:amazonaws\.com(?:\.cn)?|api\.aws|on\.aws)"
# Kind of placeholder and pattern, in the order in which they are applied; group 1, if there is
# one, is what is replaced.
PATTERNS: list[tuple[str, re.Pattern[str]]] = [
    (
        SECRET,
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
    ),
    (
        "url",
        re.compile(
            r"https?://[^\s\"'<>]*[?&](?:X-Amz-)?(?:Signature|Credential)=[^\s\"'<>]*",
            re.IGNORECASE,
        ),
    ),
    (SECRET, re.compile(r"encoded authorization failure message: ([\w+/=-]+)", re.IGNORECASE)),
    ("email", re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")),
    ("suffix", re.compile(r":secret:[\w/+=.@-]+?-([A-Za-z0-9]{6})(?![\w/+=.@-])")),
    ("unique-id", re.compile(r"(?<![A-Za-z0-9])A[A-Z]{2}A[A-Z0-9]{12,124}(?![A-Za-z0-9])")),
    (
        "host",
        re.compile(
            rf"(?<![\w.-])(?:[\w-]+\.)+(?:{REGION}\.rds|{REGION}\.compute|compute-1"
            rf"|execute-api\.{REGION}|lambda-url\.{REGION}|{REGION}\.elb|elb\.{REGION}"
            rf"|s3\.{REGION}|s3)\.{SUFFIX}(?![\w-])",
            re.IGNORECASE,
        ),
    ),
    ("host", re.compile(r"(?<![\w.-])(?:[\w-]+\.)+(?:compute|ec2)\.internal(?![\w-])")),
    ("host", re.compile(r"(?<![\w-])(?:ip|ec2)-\d{1,3}(?:-\d{1,3}){3}(?![\w-])")),
    ("uuid", re.compile(rf"(?<![\w-]){UUID}(?![\w-])")),
    ("digest", re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{64}(?![0-9A-Za-z])")),
    ("db", re.compile(r"(?<![\w-])(?:db|cluster)-[A-Z0-9]{26}(?![\w-])")),
]
RESOURCE_ID = re.compile(
    r"(?<![A-Za-z0-9-])([a-z]{1,16}(?:-attach|-assoc)?)-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![\w-])"
)
ACCOUNT = re.compile(r"(?<!\d)(?:\d{12}|\d{4}-\d{4}-\d{4})(?!\d)")
IPV4 = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(/\d{1,2})?(?!\d|\.\d)")
IPV6 = re.compile(r"(?<![0-9A-Fa-f:.])([0-9A-Fa-f:.]++)(/\d{1,3})?(?![G-Zg-z_])")


class Scrubber:
    """Replaces values in what a call sends and gets."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders

    def learn(self, secret: str) -> str:
        """Replace this value from now on, wherever it occurs; return its placeholder.

        As it is, and as it is written in JSON, in a URL and in base 64.
        """
        name = self._placeholders.of(SECRET, secret, sought=True)
        encoded = secret.encode("utf-8", "surrogatepass")
        for written in (
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            quote(encoded, safe=""),
            base64.b64encode(encoded).decode().rstrip("="),
        ):
            if written != secret:
                self._placeholders.of(SECRET, written, sought=True, same_as=name)
        return name

    def clean(self, value: Any, shape: Shape | None = None) -> Any:
        """Return a JSON value without what is to be replaced; `shape` is botocore's model of it."""
        self._placeholders.refresh()
        # Secrets first: one may occur in another member before it is named.
        self._learn_all(value, shape, "")
        return self._clean(value, shape, "")

    def text(self, text: str) -> str:
        """Return a text without what is to be replaced."""
        self._placeholders.refresh()
        for match in ASSIGNED.finditer(text):
            if not _harmless(match.group(2)):
                self._placeholders.of(SECRET, match.group(2), sought=True)
        return self._text(text)

    def _learn_all(self, value: Any, shape: Shape | None, name: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                self._learn_all(part, _part(shape, key), _member_name(value, key, name))
        elif isinstance(value, list | tuple):
            for part in value:
                self._learn_all(part, _part(shape, None), name)
        elif isinstance(value, str):
            kind = _secret_kind(value, shape, name)
            named = bool(SECRET_NAME.search(name))
            if kind == SECRET and (named or len(value) >= SHORTEST_SENSITIVE_SOUGHT):
                self.learn(value)
            if kind == SECRET:
                self._learn_document(value)
            elif kind == ID:
                # Ids without a form are parts of ARNs and URLs as well.
                name = self._placeholders.of(ID, value)
                self._placeholders.of(SECRET, value, sought=True, same_as=name)
            elif kind is None:
                self._learn_embedded(value)

    def _learn_document(self, text: str) -> None:
        """Learn the values of a secret that is a JSON document, as databases' are."""
        document = _json(text)
        if isinstance(document, dict):
            for key, value in document.items():
                if isinstance(value, str) and _is_secret_name(str(key)):
                    self.learn(value)

    def _learn_embedded(self, text: str) -> None:
        """Learn the secrets of a JSON document in a member that is not secret as a whole."""
        document = _json(text)
        if isinstance(document, dict | list):
            self._learn_all(document, None, "")

    def _clean(self, value: Any, shape: Shape | None, name: str) -> Any:
        if isinstance(value, dict):
            return {
                self._key(key, shape): self._clean(
                    part, _part(shape, key), _member_name(value, key, name)
                )
                for key, part in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._clean(part, _part(shape, None), name) for part in value]
        return self._leaf(value, shape, name)

    def _leaf(self, value: Any, shape: Shape | None, name: str) -> Any:
        if isinstance(value, str):
            kind = _secret_kind(value, shape, name)
            return self._placeholders.of(kind, value) if kind else self._text(value)
        if isinstance(value, bool | None):
            return value
        if isinstance(value, int | float):
            return self._placeholders.of(SECRET, str(value)) if _sensitive(shape) else value
        if isinstance(value, dt.datetime):
            return value.astimezone(dt.UTC).isoformat()
        if isinstance(value, bytes | bytearray):
            kind = SECRET if _sensitive(shape) else "bytes"
            return self._placeholders.of(kind, hashlib.sha256(value).hexdigest())
        return "<stream>"

    def _key(self, key: Any, shape: Shape | None) -> str:
        """Return a key: those of structures are names of the model, others are data."""
        text = str(key)
        if shape is None:
            return self._text(text)
        if shape.type_name != "map":
            return text
        return self._placeholders.of(SECRET, text) if _sensitive(shape.key) else self._text(text)

    def _text(self, text: str) -> str:
        pieces, last = [], 0
        for start, end, name in self._placeholders.sought_in(text):
            pieces += [text[last:start], name]
            last = end
        text = "".join(pieces) + text[last:]
        text = ASSIGNED.sub(self._assigned, text)
        for kind, pattern in PATTERNS:
            text = pattern.sub(self._replacement(kind), text)
        text = RESOURCE_ID.sub(lambda found: self._placeholders.of(found[1], found[0]), text)
        text = ACCOUNT.sub(
            lambda found: self._placeholders.of("account", found[0].replace("-", "")), text
        )
        text = IPV6.sub(self._ipv6, text)
        return IPV4.sub(self._ipv4, text)

    def _replacement(self, kind: str) -> Callable[[re.Match[str]], str]:
        def replace(found: re.Match[str]) -> str:
            group = 1 if found.re.groups else 0
            start, end = found.start(group) - found.start(), found.end(group) - found.start()
            name = self._placeholders.of(kind, found[group])
            return found[0][:start] + name + found[0][end:]

        return replace

    def _assigned(self, found: re.Match[str]) -> str:
        if _harmless(found[2]):
            return found[0]
        return found[1] + self._placeholders.of(SECRET, found[2])

    def _ipv6(self, found: re.Match[str]) -> str:
        text, prefix = found[1], found[2] or ""
        before = found.string[found.start() - 1 : found.start()]
        part_of_word = before.isalnum() or before == "_"
        stripped = text[: len(text) - len(text.lstrip(":"))]
        # In "iam::aws" and "address:2001:db8::1" the first part belongs to the word before.
        heads = [stripped] if part_of_word and stripped else ["", text[: text.find(":") + 1]]
        for head in dict.fromkeys((*heads, stripped)):
            body = text[len(head) :]
            for address in dict.fromkeys((body, body.rstrip("."), body.rstrip(":."))):
                rest = body[len(address) :]
                if address.count(":") > 1 and not (head and address.startswith(":")):
                    new = addresses.replaced(self._placeholders, address, "" if rest else prefix)
                    if new is not None:
                        return head + new + (rest + prefix if rest else "")
        return found[0]

    def _ipv4(self, found: re.Match[str]) -> str:
        new = addresses.replaced(self._placeholders, found[1], found[2] or "")
        return found[0] if new is None else new


def _sensitive(shape: Shape | None) -> bool:
    return bool(shape is not None and shape.metadata.get("sensitive"))


def _is_secret_name(name: str) -> bool:
    return bool(SECRET_NAME.search(name) and not ABOUT_SECRET.search(name))


def _secret_kind(value: str, shape: Shape | None, name: str) -> str | None:
    """Return the kind of placeholder that takes the place of a whole text, or None."""
    if not value or (shape is not None and getattr(shape, "enum", None)):
        return None
    if PAGE_TOKEN.search(name):
        return "token"
    if _sensitive(shape) or _is_secret_name(name):
        return SECRET
    if OPAQUE_ID.search(name) and len(value) >= SHORTEST_SOUGHT and not re.fullmatch(UUID, value):
        return ID
    return None


def _part(shape: Shape | None, key: Any) -> Shape | None:
    """Return the model of a part of a structure, map or list."""
    if shape is None:
        return None
    if shape.type_name == "structure":
        return shape.members.get(str(key))
    if shape.type_name == "map":
        return shape.value
    return shape.member if shape.type_name == "list" else None


def _member_name(structure: dict[Any, Any], key: Any, parent: str) -> str:
    """Return what a member is called: by its key, or by the member beside it or above it."""
    if WHOLE_SECRET.match(parent):
        return parent
    if LABELLED.match(str(key)):
        return next((str(structure[label]) for label in LABELS if label in structure), str(key))
    return str(key)


def _json(text: str) -> Any:
    if text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _harmless(value: str) -> bool:
    return value.lower() in HARMLESS or value.startswith(("{{", "$", "<"))
