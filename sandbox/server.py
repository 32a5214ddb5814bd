"""The sandbox as a server: in a test on a free port, or alone until it is stopped."""

import asyncio
import signal
import sys
from types import TracebackType

from aiohttp import web

from sandbox.api import Api
from sandbox.control import Control, fresh_state
from sandbox.faults import Faults
from sandbox.options import SandboxOptions
from sandbox.state import State

PATHS = ("/api/stable/api.php", "/api/latest/api.php")
MAX_BODY = 64 * 1024 * 1024  # bytes


class Sandbox:
    """`async with Sandbox(options) as box`: `box.url` is the whole address of api.php."""

    def __init__(self, options: SandboxOptions | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        options = options or SandboxOptions()
        self.api = Api(State(options.log_size), options, Faults())
        self.api.state = fresh_state(self.api)
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "Sandbox":
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes([web.post(path, self.api.post) for path in PATHS])
        app.add_routes(Control(self.api).routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """The whole address of api.php."""
        return self.address + PATHS[0]


def serve(options: SandboxOptions, host: str, port: int) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code. A taken port is one line and code 2."""
    return asyncio.run(_serve(options, host, port))


async def _serve(options: SandboxOptions, host: str, port: int) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with Sandbox(options, host, port) as box:
            sys.stdout.write(f"sandbox: {box.url}  control: {box.address}/_sandbox/state\n")
            sys.stdout.flush()
            await stop.wait()
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port\n")
        return 2
    return 0
