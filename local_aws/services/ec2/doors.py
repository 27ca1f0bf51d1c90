"""The sockets through which a host reaches the metadata service and the API, and nothing else.

They are files in a folder that is mounted into the host: no packet leaves it, and nothing listens
on a network that hosts share.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from local_aws.services.ec2 import metadata, seed, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

T = TypeVar("T")

CHUNK = 1 << 16


class Doors:
    """The doors of one host."""

    def __init__(
        self,
        folder: Path,
        port: int,
        answers: metadata.Metadata,
        instance_id: str,
        may_call: Callable[[], bool],
    ) -> None:
        """Open them: sockets in `folder`, the API being on `port` of this machine's loopback.

        Parameters
        ----------
        may_call
            Whether the host's security groups let a connection to the API out.
        """
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True)
        self._metadata = metadata.Server(_listen(folder, seed.METADATA_SOCKET), answers)
        self._relay = _Relay(_listen(folder, seed.ENDPOINT_SOCKET), port, instance_id, may_call)

    def close(self) -> None:
        """Close them and remove the folder."""
        self._metadata.shutdown()
        self._metadata.server_close()
        self._relay.close()
        shutil.rmtree(self._folder)


class _Relay:
    """Carries bytes between a listening unix socket and the API's port."""

    def __init__(
        self,
        listening: socket.socket,
        port: int,
        instance_id: str,
        may_call: Callable[[], bool],
    ) -> None:
        self._port = port
        self._may_call = may_call
        self._instance_id = instance_id
        self._connections: set[asyncio.Task[None]] = set()
        # Since Python 3.13 start_unix_server looks up the name that the socket was bound to.
        self._server = _in_loop(asyncio.start_server(self._serve, sock=listening))

    def close(self) -> None:
        _in_loop(self._close())

    async def _close(self) -> None:
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        if not self._may_call():
            # On AWS the client would wait for an answer in vain.
            writer.close()
            return
        with contextlib.suppress(OSError):
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                writer.close()
                return
            own_port = far_writer.get_extra_info("sockname")[1]
            sources.add(own_port, self._instance_id)
            try:
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
            finally:
                sources.remove(own_port)
                far_writer.close()
                writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


_loop_lock = threading.Lock()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True, name="relays").start()
    return loop


def _in_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the thread that all relays share, and wait for its result."""
    with _loop_lock:
        loop = _loop()
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def _listen(folder: Path, name: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # A socket's path may have 107 bytes; the clone may lie deeper than that.
        listening.bind(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)
    listening.listen(128)
    return listening
