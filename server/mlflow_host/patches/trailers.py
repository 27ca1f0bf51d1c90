"""Read HTTP requests as uvicorn does, without taking trailer fields for header fields.

uvicorn adds what follows a chunked body to the header fields, `Authorization` included, so that a
trailer could change what a proxy has looked at. RFC 9110, section 6.5.1, forbids merging them.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """One connection; uvicorn calls its methods while it parses."""

    _is_past_headers = False

    def on_message_begin(self) -> None:
        """Expect a new request's header fields."""
        self._is_past_headers = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, and no trailer field."""
        if not self._is_past_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request; what is parsed from now on is its body and its trailer."""
        self._is_past_headers = True
        super().on_headers_complete()
