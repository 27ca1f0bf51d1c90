"""The instance metadata service (IMDS), versions 1 and 2, of one instance.

It answers from moto's state at the moment of the question, and hands out credentials of the
instance profile's role that moto's STS and IAM know, if the role's trust policy names EC2.
"""

from __future__ import annotations

import hmac
import http.server
import json
import secrets
import socketserver
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from local_aws.authorization.service_roles import HOSTS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from local_aws.authorization.service_roles import ServiceRoles

MAXIMUM_TTL = 21600
CREDENTIALS_LIFE = timedelta(hours=6)
RENEW_BEFORE = timedelta(hours=1)

Tree = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: HTTPStatus
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Metadata:
    """What an instance can ask about itself."""

    def __init__(
        self, instance: Any, user_data: Callable[[], bytes | None], roles: ServiceRoles
    ) -> None:
        """Speak for an instance of moto's."""
        self._instance = instance
        self._user_data = user_data
        self._roles = roles
        self._lock = threading.Lock()
        self._tokens: dict[str, float] = {}
        self._credentials: dict[str, Any] = {}

    def put(self, path: str, headers: Any) -> Answer:
        """Answer a PUT, which is how a session begins."""
        if self._instance.metadata_options.http_endpoint == "disabled":
            return Answer(HTTPStatus.FORBIDDEN)
        if headers.get("X-Forwarded-For") is not None:
            return Answer(HTTPStatus.FORBIDDEN)
        if path != "/latest/api/token":
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED)
        ttl = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not (ttl.isascii() and ttl.isdecimal() and 1 <= int(ttl) <= MAXIMUM_TTL):
            return Answer(HTTPStatus.BAD_REQUEST)
        token = secrets.token_urlsafe(40) + "=="
        now = time.monotonic()
        with self._lock:
            self._tokens = {known: end for known, end in self._tokens.items() if end > now}
            self._tokens[token] = now + int(ttl)
        ttl_header = ("X-aws-ec2-metadata-token-ttl-seconds", ttl)
        return Answer(HTTPStatus.OK, token.encode(), (ttl_header,))

    def get(self, path: str, headers: Any) -> Answer:
        """Answer a GET."""
        options = self._instance.metadata_options
        if options.http_endpoint == "disabled":
            return Answer(HTTPStatus.FORBIDDEN)
        token = headers.get("X-aws-ec2-metadata-token")
        if token is None:
            if options.http_tokens == "required":
                return Answer(HTTPStatus.UNAUTHORIZED)
        elif not self._valid(token):
            return Answer(HTTPStatus.UNAUTHORIZED)
        found = self._look_up(path.partition("?")[0])
        return Answer(HTTPStatus.NOT_FOUND) if found is None else Answer(HTTPStatus.OK, found)

    def _valid(self, token: str) -> bool:
        now = time.monotonic()
        with self._lock:
            return any(
                hmac.compare_digest(known.encode(), token.encode("utf-8", "replace")) and end > now
                for known, end in self._tokens.items()
            )

    def _look_up(self, path: str) -> bytes | None:
        words = [word for word in path.split("/") if word]
        if not words:
            return b"latest"
        node: Any = {"meta-data": self._meta_data, "dynamic": self._dynamic}
        user_data = self._user_data()
        if user_data is not None:
            node["user-data"] = user_data
        for word in words[1:]:
            node = node() if callable(node) else node
            if not isinstance(node, dict) or word not in node:
                return None
            node = node[word]
        node = node() if callable(node) else node
        if isinstance(node, _Keys):
            return node.listing.encode()
        if isinstance(node, dict):
            return "\n".join(
                name if _is_leaf(child) else f"{name}/" for name, child in node.items()
            ).encode()
        return node if isinstance(node, bytes) else str(node).encode()

    def _dynamic(self) -> Tree:
        return {"instance-identity": {"document": _Leaf(self._document)}}

    def _document(self) -> str:
        instance = self._instance
        return json.dumps(
            {
                "accountId": instance.owner_id,
                "architecture": instance.architecture,
                "availabilityZone": instance.availability_zone,
                "billingProducts": None,
                "devpayProductCodes": None,
                "imageId": instance.image_id,
                "instanceId": instance.id,
                "instanceType": instance.instance_type,
                "kernelId": None,
                "marketplaceProductCodes": None,
                "pendingTime": instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "privateIp": instance.private_ip,
                "ramdiskId": None,
                "region": instance.region_name,
                "version": "2017-09-30",
            },
            indent=2,
        )

    def _meta_data(self) -> Tree:
        instance = self._instance
        nic = instance.nics[0]
        tree: Tree = {
            "ami-id": instance.image_id,
            "ami-launch-index": instance.ami_launch_index,
            "hostname": instance.private_dns_name,
            "iam": self._iam,
            "instance-action": "none",
            "instance-id": instance.id,
            "instance-life-cycle": instance.lifecycle or "on-demand",
            "instance-type": instance.instance_type,
            "local-hostname": instance.private_dns_name,
            "local-ipv4": instance.private_ip,
            "mac": nic.mac_address,
            "network": {"interfaces": {"macs": {nic.mac_address: _interface(instance, nic)}}},
            "placement": {
                "availability-zone": instance.availability_zone,
                "availability-zone-id": nic.subnet.availability_zone_id,
                "region": instance.region_name,
            },
            "security-groups": "\n".join(sorted(group.name for group in nic.group_set)),
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }
        if instance.public_ip:
            tree["public-hostname"] = instance.public_dns_name
            tree["public-ipv4"] = instance.public_ip
        if instance.key_name:
            key = instance.ec2_backend.key_pairs.get(instance.key_name)
            tree["public-keys"] = _Keys(
                {"0": {"openssh-key": key.public_key.strip() if key else ""}},
                listing=f"0={instance.key_name}",
            )
        if instance.metadata_options.instance_metadata_tags == "enabled":
            tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
            tree["tags"] = {"instance": tags}
        return dict(sorted(tree.items()))

    def _iam(self) -> Tree:
        profile = self._profile()
        if profile is None:
            return {}
        tree: Tree = {
            "info": json.dumps(
                {
                    "Code": "Success",
                    "LastUpdated": _time(datetime.now(UTC)),
                    "InstanceProfileArn": profile.arn,
                    "InstanceProfileId": profile.id,
                },
                indent=2,
            ),
        }
        if profile.roles:
            role = profile.roles[0]
            tree["security-credentials"] = {role.name: _Leaf(lambda: self._role(role))}
        return tree

    def _profile(self) -> Any:
        association = self._instance.ec2_backend.iam_instance_profile_associations.get(
            self._instance.id
        )
        return association.iam_instance_profile if association else None

    def _role(self, role: Any) -> str:
        if not self._roles.trusts(role.arn, HOSTS):
            return json.dumps(
                {
                    "Code": "AssumeRoleUnauthorizedAccess",
                    "Message": f"EC2 cannot assume the role {role.name}.",
                    "LastUpdated": _time(datetime.now(UTC)),
                },
                indent=2,
            )
        with self._lock:
            held = self._credentials.get(role.arn)
            if held is None or _left(held) < RENEW_BEFORE:
                held = self._assume(role)
                self._credentials = {role.arn: held}
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": _time(held.expiration - CREDENTIALS_LIFE),
                "Type": "AWS-HMAC",
                "AccessKeyId": held.access_key_id,
                "SecretAccessKey": held.secret_access_key,
                "Token": held.session_token,
                "Expiration": _time(held.expiration),
            },
            indent=2,
        )

    def _assume(self, role: Any) -> Any:
        region = self._instance.region_name
        backend = sts_backends[self._instance.owner_id][get_partition(region)]
        return backend.assume_role(
            region_name=region,
            role_session_name=self._instance.id,
            role_arn=role.arn,
            policy="",
            duration=int(CREDENTIALS_LIFE.total_seconds()),
            external_id="",
        )


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves the metadata of one instance on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, metadata: Metadata) -> None:
        """Serve from a thread of its own until `shutdown`."""
        super().__init__("", _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.metadata = metadata
        threading.Thread(target=self.serve_forever, daemon=True, name="metadata").start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that leave."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    server_version = "EC2ws"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._answer(self.server.metadata.get(self.path, self.headers))

    def do_HEAD(self) -> None:
        self._answer(self.server.metadata.get(self.path, self.headers))

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(self.server.metadata.put(self.path, self.headers))

    def _answer(self, answer: Answer) -> None:
        body = answer.body
        if answer.status != HTTPStatus.OK:
            body = f"{answer.status.value} - {answer.status.phrase}\n".encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Keep quiet: hosts ask often."""


class _Leaf:
    """A text that is made when it is asked for."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make

    def __str__(self) -> str:
        return self._make()


class _Keys(dict[str, Any]):
    """The one folder whose listing is not the names in it."""

    def __init__(self, content: Tree, listing: str) -> None:
        super().__init__(content)
        self.listing = listing


def _is_leaf(node: Any) -> bool:
    return not (isinstance(node, dict) or callable(node))


def _interface(instance: Any, nic: Any) -> Tree:
    vpc = instance.ec2_backend.get_vpc(nic.subnet.vpc_id)
    tree: Tree = {
        "device-number": nic.device_index,
        "interface-id": nic.id,
        "local-hostname": instance.private_dns_name,
        "local-ipv4s": instance.private_ip,
        "mac": nic.mac_address,
        "owner-id": instance.owner_id,
        "security-group-ids": "\n".join(sorted(group.id for group in nic.group_set)),
        "security-groups": "\n".join(sorted(group.name for group in nic.group_set)),
        "subnet-id": nic.subnet.id,
        "subnet-ipv4-cidr-block": nic.subnet.cidr_block,
        "vpc-id": nic.subnet.vpc_id,
        "vpc-ipv4-cidr-block": vpc.cidr_block,
    }
    if nic.public_ip:
        tree["public-ipv4s"] = nic.public_ip
    return tree


def _left(credentials: Any) -> timedelta:
    expiration: datetime = credentials.expiration
    if expiration.tzinfo is None:
        expiration = expiration.replace(tzinfo=UTC)
    return expiration - datetime.now(UTC)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
