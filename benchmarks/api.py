"""The API that all rows are measured against: answers every action after a fixed time, notes what came.

It checks nothing, so that it costs little: a raw asyncio protocol beside the measured processes. Our worker and the
peers send it the same body (delete-relation as onOffice wants it) and get the same answer.

    python benchmarks/api.py PORT
    GET /reset?latency_ms=50   forget everything; GET /stats   figures; GET /times   [[arrival, actions], ...]
"""

import asyncio
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
OK = '"resourceid":"","resourcetype":"relation","cacheable":false,"identifier":%s,'
RESULT = (
    '{"actionid":%s,' + OK + '"data":{"meta":{"cntabsolute":null},"records":[{"id":0,"type":"","elements":'
    '{"success":"success"}}]},"status":{"errorcode":0,"message":"OK"}}'
)
REPLY = '{"status":{"code":200,"errorcode":0,"message":"OK"},"response":{"results":[%s]}}'


@dataclass
class Seen:
    """What came since the last reset."""

    latency: float = 0.05  # seconds
    arrivals: list[tuple[float, int]] = field(default_factory=list)  # Unix seconds, actions
    links: set[tuple[int, int]] = field(default_factory=set)  # parentid, childid
    last_answer: float = 0.0
    in_flight: int = 0
    most_in_flight: int = 0

    def stats(self) -> dict[str, float]:
        """Figures."""
        return {
            "requests": len(self.arrivals),
            "actions": sum(actions for _, actions in self.arrivals),
            "links": len(self.links),
            "first": self.arrivals[0][0] if self.arrivals else 0.0,
            "last_arrival": self.arrivals[-1][0] if self.arrivals else 0.0,
            "last_answer": self.last_answer,
            "most_in_flight": self.most_in_flight,
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, api: "Api") -> None:
        self._api = api
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio: answer every whole request."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            size = _content_length(head)
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._api.handle(head, body, self.send)

    def send(self, body: bytes) -> None:
        """Answer."""
        if not self._transport.is_closing():
            self._transport.write(HEAD % len(body) + body)  # type: ignore[attr-defined]  # a TCP transport has write


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return 0 if at < 0 else int(head[at + 15 :].split(b"\r\n", 1)[0])


class Api:
    """All connections."""

    def __init__(self) -> None:
        self.seen = Seen()

    def handle(self, head: bytes, body: bytes, send: Callable[[bytes], None]) -> None:
        """One request."""
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        if method == "GET":
            send(json.dumps(self._ask(target)).encode())
            return
        actions = json.loads(body)["request"]["actions"]
        seen = self.seen
        seen.arrivals.append((time.time(), len(actions)))
        seen.in_flight += 1
        seen.most_in_flight = max(seen.most_in_flight, seen.in_flight)
        asyncio.get_running_loop().call_later(seen.latency, self._answer, seen, actions, send)

    def _ask(self, target: str) -> object:
        url = urlsplit(target)
        if url.path == "/reset":
            self.seen = Seen(latency=float(parse_qs(url.query).get("latency_ms", ["50"])[0]) / 1000)
            return {}
        return self.seen.arrivals if url.path == "/times" else self.seen.stats()

    def _answer(self, seen: Seen, actions: list[dict[str, Any]], send: Callable[[bytes], None]) -> None:
        seen.in_flight -= 1
        seen.last_answer = time.time()
        results = []
        for action in actions:
            link = action["parameters"]
            seen.links.add((link["parentid"], link["childid"]))
            results.append(RESULT % (json.dumps(action["actionid"]), json.dumps(action["identifier"])))
        send((REPLY % ",".join(results)).encode())


async def serve(port: int) -> None:
    """Run for ever; says its address."""
    api = Api()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(api), "127.0.0.1", port, backlog=4096)
    sys.stdout.write(f"api: http://127.0.0.1:{server.sockets[0].getsockname()[1]}/\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Run for ever, on uvloop where there is one."""
    uvloop = importlib.import_module("uvloop") if importlib.util.find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        runner.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))


if __name__ == "__main__":
    main()
