"""A small TCP proxy for faults on the way: delay, drop (a half-open connection), reset, cut after n bytes."""

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field


@dataclass
class Faults:
    """What the proxy does to what passes from now on."""

    delay: float = 0.0  # seconds for each piece, both ways
    silent: bool = False  # swallow everything: both sides believe the connection lives
    refuse: bool = False  # close new connections at once
    cut_after: int | None = None  # bytes from the server per connection, then close


@dataclass
class Proxy:
    """Listens on a free port and forwards to (host, port); runs in a thread of its own."""

    host: str
    port: int
    faults: Faults = field(default_factory=Faults)
    accepted: int = 0

    def __enter__(self) -> "Proxy":
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        self.listen_port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # aborted transports close their sockets in the loop's next rounds

    def reset_all(self) -> None:
        """Reset every connection there is."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            connection = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.faults.refuse:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        await asyncio.gather(self._pipe(reader, back, None), self._pipe(there, writer, self.faults.cut_after))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bound: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.faults.delay:
                    await asyncio.sleep(self.faults.delay)
                if self.faults.silent:
                    continue
                if bound is not None and passed + len(data) >= bound:
                    writer.write(data[: bound - passed])
                    break
                passed += len(data)
                writer.write(data)
                await writer.drain()
        if not self.faults.silent:  # else neither side may notice; it is closed with the proxy
            writer.close()
            self._writers.discard(writer)
