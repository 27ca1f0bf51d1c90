"""HTTPS on loopback for a WSGI application, with cheroot.

What botocore sends and cheroot or moto would stumble over is put right here: chunked bodies are
taken in whole (on disk when large), and the path is given both as it came and decoded.
"""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection
from cheroot.ssl import Adapter
from cheroot.wsgi import Gateway_10, Server

from local_aws import certificates

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from local_aws.settings import Settings

# An invocation of a function holds a thread for as long as the function runs.
THREADS = 48
IDLE_SECONDS = 60
# Chunked bodies above this size wait on disk.
SPOOL_BYTES = 1 << 20
# Each may take as long as the socket's timeout says.
SEND_BYTES = 1 << 20

PLAIN_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 29\r\n\r\nThis port speaks HTTPS only.\n"
)


def create(settings: Settings, application: WSGIApplication) -> Server:
    """Return a server for `application`, bound to nothing yet."""
    authority = certificates.endpoint_authority(settings)
    authority.ensure()
    leaf = authority.issue(["127.0.0.1", "localhost", "::1"])
    chain = settings.keys_dir / "endpoint.pem"
    certificates.write_private(chain, leaf.certificate + leaf.key)
    server: Any = Server(  # cheroot's stubs lack what can be set below
        ("127.0.0.1", settings.port),
        application,
        numthreads=THREADS,
        request_queue_size=128,
        timeout=IDLE_SECONDS,
        shutdown_timeout=1,
    )
    server.ssl_adapter = _Tls(str(chain))
    server.gateway = _Gateway
    server.ConnectionClass = _Connection
    # The default of ten kept connections makes clients with a pool reconnect all the time.
    server.keep_alive_conn_limit = None
    return server


class _Tls(Adapter):
    """TLS without a handshake at once: a silent client must not keep the others waiting."""

    def __init__(self, chain: str) -> None:
        super().__init__(chain, chain)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(chain)

    def bind(self, sock: Any) -> Any:
        return sock

    def wrap(self, sock: Any) -> tuple[ssl.SSLSocket, dict[str, str]]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, self.get_environ()

    def get_environ(self) -> dict[str, str]:
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: ssl.SSLSocket, mode: str = "r", bufsize: int = -1) -> Any:
        return MakeFile(sock, mode, bufsize)


class _Connection(HTTPConnection):
    """Shakes hands in the thread of a worker."""

    greeted = False

    def communicate(self) -> bool:
        if not self.greeted:
            try:
                self.socket.do_handshake()
            except ssl.SSLError as error:
                if error.reason == "HTTP_REQUEST":
                    os.write(self.socket.fileno(), PLAIN_HTTP_ANSWER)
                return False
            except OSError:
                # The client has left: port checks do that.
                return False
            self.greeted = True
        return bool(super().communicate())  # type: ignore[no-untyped-call]  # cheroot's stubs


class _Gateway(Gateway_10):
    """Hands the request on in the way that moto expects it."""

    def write(self, chunk: bytes) -> None:
        """Send a part of the body; cheroot would copy all that is left for each 16 KiB sent."""
        self.req.ensure_headers_sent()
        view = memoryview(chunk)
        for start in range(0, len(view), SEND_BYTES):
            part = view[start : start + SEND_BYTES]
            if self.req.chunked_write:
                self.req.conn.socket.sendall(b"%x\r\n" % len(part))
                self.req.conn.socket.sendall(part)
                self.req.conn.socket.sendall(b"\r\n")
            else:
                self.req.conn.socket.sendall(part)

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]  # cheroot's stubs say None
        environ: Any = super().get_environ()  # type: ignore[no-untyped-call]  # cheroot's stubs
        environ["RAW_URI"] = environ["REQUEST_URI"]
        # cheroot leaves %2F in the path; werkzeug's own server, for which moto is made, does not.
        path = environ["REQUEST_URI"].partition("?")[0]
        environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
        environ["moto.preserved_header_names"] = {
            f"HTTP_{name.upper().replace('-', '_')}": name.lower()
            for name in (raw.decode("latin-1") for raw in self.req.inheaders)
            if "_" in name and name.lower().startswith("x-amz-meta-")
        }
        if self.req.chunked_read:
            body, length = dechunk(self.req.conn.rfile)
            environ["wsgi.input"] = body
            environ["CONTENT_LENGTH"] = str(length)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        return environ


def dechunk(stream: Any) -> tuple[IO[bytes], int]:
    """Read an HTTP body in chunked coding to its end, trailers included.

    Returns
    -------
    tuple
        A file at its beginning with the decoded body, and its length in bytes.

    Raises
    ------
    ValueError
        When the coding is broken.
    """
    body = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - outlives this function
    length = 0
    while size := _chunk_size(stream.readline()):
        chunk = stream.read(size)
        if len(chunk) != size or stream.readline() != b"\r\n":
            raise ValueError("The chunked body ends in the middle of a chunk.")
        body.write(chunk)
        length += size
    while (line := stream.readline()) != b"\r\n":
        if not line:
            raise ValueError("The chunked body ends without an empty line.")
    body.seek(0)
    return body, length


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if re.fullmatch(rb"[0-9A-Fa-f]+", digits) is None:
        raise ValueError(f"No chunk size: {line[:32]!r}")
    return int(digits, 16)
