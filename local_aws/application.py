"""The application behind the endpoint: our own paths, and moto with our departures for the rest."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

from local_aws import __version__, certificates, forms
from local_aws.machine.podman import Podman

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from local_aws.settings import Settings


def prepare_environment(settings: Settings) -> None:
    """Set what moto reads from the environment; to be called before moto is imported."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        # The caller's profile and endpoint do not concern the server.
        del os.environ[name]
    os.environ["AWS_DEFAULT_REGION"] = settings.region
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    os.environ["MOTO_ENABLE_KEYPAIR_VALIDATION"] = "true"
    os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "true"
    os.environ["MOTO_PORT"] = str(settings.port)
    scratch = settings.data_dir / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(scratch)


class Application:
    """WSGI application of one local AWS."""

    def __init__(self, settings: Settings) -> None:
        """Apply every departure to moto, which must not have been used before."""
        from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - after prepare_environment
            DomainDispatcherApplication,
            create_backend_app,
        )

        from local_aws import (  # noqa: PLC0415 - as above
            authorization,
            consistency,
            departures,
        )
        from local_aws.accounts import opening, tagger  # noqa: PLC0415 - as above
        from local_aws.services.apigatewayv2 import gateway  # noqa: PLC0415 - as above
        from local_aws.services.awslambda import api as awslambda  # noqa: PLC0415 - as above
        from local_aws.services.ec2 import api as ec2  # noqa: PLC0415 - as above
        from local_aws.services.rds import api as rds  # noqa: PLC0415 - as above

        self._settings = settings
        certificates.rds_authority(settings).ensure()
        podman = Podman(settings)
        departures.apply(settings)
        ec2.apply(settings, podman)
        databases = rds.apply(settings, podman)
        self._functions = awslambda.apply(settings, podman)
        self._gateway = gateway.Gateway(settings, self._functions)
        consistency.apply(settings)
        authorization.apply(settings)
        opening.open_account(settings)
        self._tagger = tagger.start(settings)
        for part in (databases, self._functions):
            # So that the first request need not wait.
            threading.Thread(target=part.warm_up, daemon=True).start()
        self._aws: WSGIApplication = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path: str = environ["PATH_INFO"]
        if path.startswith("/_local/"):
            return self._local(path.removeprefix("/_local/"), environ, start_response)
        if path.startswith("/moto-api"):
            # Its reset would forget resources whose containers run on.
            return _answer(start_response, "404 Not Found", b"Not found\n")
        forms.keep(environ)
        return self._aws(environ, start_response)

    def close(self) -> None:
        """End what runs beside the requests."""
        self._tagger.set()
        self._gateway.close()
        self._functions.close()

    def _local(
        self, path: str, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if path == "health":
            return _answer(
                start_response, "200 OK", self._health(), content_type="application/json"
            )
        if path == "checkip":
            return _answer(start_response, "200 OK", f"{environ['REMOTE_ADDR']}\n".encode())
        if path == "rds-ca.pem":
            certificate = self._settings.rds_ca_file.read_bytes()
            return _answer(
                start_response, "200 OK", certificate, content_type="application/x-pem-file"
            )
        if path.startswith("execute-api/"):
            return self._gateway(path.removeprefix("execute-api/"), environ, start_response)
        return _answer(start_response, "404 Not Found", b"Not found\n")

    def _health(self) -> bytes:
        return json.dumps(
            {
                "status": "ok",
                "version": __version__,
                "pid": os.getpid(),
                "data_dir": str(self._settings.data_dir),
            }
        ).encode()


def _answer(
    start_response: StartResponse,
    status: str,
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
) -> list[bytes]:
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]
