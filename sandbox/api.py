"""api.php: one request from bytes to bytes, with the fault that was drawn for it."""

import asyncio
import gzip
import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from sandbox.actions import ACTION_PREFIX, Result, kind_of, run
from sandbox.auth import Checker, find_account
from sandbox.echo import Sent, echo_instead, echo_into
from sandbox.envelope import answer, request_error
from sandbox.faults import Faults, Rule
from sandbox.options import SandboxAccount, SandboxOptions
from sandbox.state import LoggedAction, LoggedRequest, State

HTML = "<!DOCTYPE html><html><head><title>Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
LIES = {"delete": (168, "Entry could not be deleted"), "create": (78, "Entry could not be created")}
SERVER_FAULTS = ("throttle_429", "unavailable_503", "bad_gateway_502", "html_200", "forbidden_403", "reset_before")
Actions = Sequence[Mapping[str, Any]]


class Dropped(Exception):  # not an error: the connection is gone, as was asked for
    """The connection was closed on purpose; there is nothing to answer."""


class Api:
    """The API of one sandbox."""

    def __init__(self, state: State, options: SandboxOptions, faults: Faults) -> None:
        self.state = state
        self.options = options
        self.faults = faults

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Handler of api.php."""
        state = self.state
        state.in_flight += 1
        state.most_in_flight = max(state.most_in_flight, state.in_flight)
        try:
            return await self._answer(request, await request.read())
        except Dropped:
            return web.Response(status=500)
        finally:
            state.in_flight -= 1

    async def _answer(self, request: web.Request, raw: bytes) -> web.StreamResponse:
        document = _load(raw)
        actions = _actions(document)
        account = find_account(self.options.accounts, document.get("token") if document else None)
        name = account.name if isinstance(account, SandboxAccount) else None
        logged = self.state.arrived(name)
        rule = self.faults.draw(actions, name) if actions else None
        logged.fault = rule.kind if rule else None
        self._work_unseen(document, actions, account, rule, logged)
        early = await self._early_fault(request, rule, name)
        if early is not None:
            logged.http_status = early.status
            return early
        body = self._work(document, actions, account, rule, logged)
        if self.options.latency_ms:
            await asyncio.sleep(self.options.latency_ms / 1000)
        return await self._send(request, body, rule)

    def _work_unseen(
        self,
        document: dict[str, Any] | None,
        actions: Actions,
        account: SandboxAccount | tuple[int, str],
        rule: Rule | None,
        logged: LoggedRequest,
    ) -> None:
        """Work whose answer nobody gets: done before a server's error, long after it, or once before a second time."""
        if rule is None or not isinstance(account, SandboxAccount):
            return
        if (rule.kind in SERVER_FAULTS and rule.params.get("done")) or rule.kind == "doubled":
            self._work(document, actions, account, rule, logged)
        if rule.kind in SERVER_FAULTS and rule.params.get("done_after") is not None:
            later = float(rule.params["done_after"])
            asyncio.get_running_loop().call_later(later, self._work, document, actions, account, rule, logged)

    async def _early_fault(self, request: web.Request, rule: Rule | None, account: str | None) -> web.Response | None:
        """Faults that keep the work from being done."""
        limit = self.options.limit_per_second
        if limit is not None and account is not None and self._too_fast(account, limit):
            return web.Response(status=429, headers={"Retry-After": "1"})
        if rule is None:
            return None
        match rule.kind:
            case "throttle_429" | "unavailable_503":
                after = rule.params.get("retry_after")
                headers = {} if after is None else {"Retry-After": str(after)}
                return web.Response(status=int(rule.kind[-3:]), headers=headers)
            case "bad_gateway_502" | "html_200":
                return web.Response(status=int(rule.kind[-3:]), text=HTML, content_type="text/html")
            case "forbidden_403":
                return web.Response(status=403, text=HTML, content_type="text/html")
            case "redirect_302":
                return web.Response(status=302, headers={"Location": "/elsewhere"})
            case "echo":
                return echo_instead(rule.params, Sent(await request.read(), self.options.accounts))
            case "slow":
                await asyncio.sleep(float(rule.params.get("seconds", 1)))
            case "hang_before" | "reset_before":
                await _drop(request, rule)
        return None

    def _too_fast(self, account: str, limit: float) -> bool:
        times = self.state.times[account]
        allowed = int(limit) + 1
        return len(times) > allowed and times[-1] - times[-1 - allowed] < 1.0

    def _work(
        self,
        document: dict[str, Any] | None,
        actions: Actions,
        account: SandboxAccount | tuple[int, str],
        rule: Rule | None,
        logged: LoggedRequest,
    ) -> dict[str, Any]:
        if document is None:
            return request_error(4, "Invalid or malformed JSON")
        if not isinstance(account, SandboxAccount):
            return request_error(*account)
        if not actions:
            return request_error(15, "Missing or invalid element: actions")
        if rule is not None and rule.kind == "request_code":
            if rule.params.get("done"):
                self._run_all(actions, account, rule, logged)
            return request_error(int(rule.params.get("code", 1)), str(rule.params.get("text", "made to fail")))
        if self.options.max_actions is not None and len(actions) > self.options.max_actions:
            return request_error(1, "Unknown error occurred")
        results = self._run_all(actions, account, rule, logged)
        if self.options.auth_shape == "request" and results[0].errorcode in (136, 137):
            return request_error(results[0].errorcode, results[0].message)
        return answer(self.options, actions, results)

    def _run_all(
        self, actions: Actions, account: SandboxAccount, rule: Rule | None, logged: LoggedRequest
    ) -> list[Result]:
        checker = Checker(account, time.time(), self.options.timestamp_window_s)
        results: list[Result] = []
        for action in actions:
            fault = checker.fault(action)
            result = self._run_one(action, account, rule) if fault is None else Result(*fault)
            results.append(result)
            logged.actions.append(_logged(action, result))
            if result.errorcode and self.options.stop_after_failure:
                break
        return results

    def _run_one(self, action: Mapping[str, Any], account: SandboxAccount, rule: Rule | None) -> Result:
        if rule is None or not rule.matches(action, account.name):
            return run(self.state, self.options, action)
        name = str(action.get("actionid", "")).removeprefix(ACTION_PREFIX)
        match rule.kind:
            case "action_code":
                effect = run(self.state, self.options, action).effect if rule.params.get("done") else ""
                return Result(int(rule.params.get("code", 1)), str(rule.params.get("text", "made to fail")), [], effect)
            case "lie_ok" if name in LIES:
                return Result(records=[{"id": 0, "type": "relation", "elements": {"success": "success"}}])
            case "lie_error" if name in LIES:
                effect = run(self.state, self.options, action).effect
                return Result(*LIES[name], [], effect)
        return run(self.state, self.options, action)

    async def _send(self, request: web.Request, body: dict[str, Any], rule: Rule | None) -> web.StreamResponse:
        """Faults that spoil the answer to work that was done."""
        kind = rule.kind if rule else ""
        params = rule.params if rule else {}
        _spoil_results(kind, params, body)
        if kind == "echo":
            echo_into(params, Sent(await request.read(), self.options.accounts), body)
        data = json.dumps(body).encode()
        match kind:
            case "hang_after" | "reset_after" if rule is not None:
                await _drop(request, rule)
            case "cut_body":
                await _cut(request, data, int(params.get("bytes", 40)))
            case "empty_body":
                data = b""
            case "truncated_json":
                data = data[: len(data) // 2]
            case "wrong_shape":
                data = b'{"status": [], "response": {"results": {"0": "no list"}}}'
            case "gzip_bomb":
                bomb = gzip.compress(b" " * (int(params.get("megabytes", 64)) * 1024 * 1024))
                headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
                return web.Response(body=bomb, headers=headers)
        response = web.Response(body=data, content_type="application/json")
        if len(data) > 1400:
            response.enable_compression()
        return response


def _load(raw: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _actions(document: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    request = document.get("request") if document else None
    actions = request.get("actions") if isinstance(request, dict) else None
    if not isinstance(actions, list) or not all(isinstance(action, dict) for action in actions):
        return []
    return actions


def _logged(action: Mapping[str, Any], result: Result) -> LoggedAction:
    raw = action.get("parameters")
    parameters = raw if isinstance(raw, dict) else {}
    return LoggedAction(
        action=str(action.get("actionid", "")).removeprefix(ACTION_PREFIX),
        relationtype=kind_of(parameters) or "",
        parentid=parameters.get("parentid", parameters.get("parentids")) or action.get("resourceid"),
        childid=parameters.get("childid", parameters.get("childids")),
        identifier=str(action.get("identifier", "")),
        errorcode=result.errorcode,
        effect=result.effect,
    )


def _spoil_results(kind: str, params: Mapping[str, Any], body: dict[str, Any]) -> None:
    results = body["response"]["results"]
    if kind == "drop_results":
        del results[max(0, len(results) - int(params.get("count", 1))) :]
    elif kind == "swap_results" and len(results) > 1:
        results[0], results[1] = results[1], results[0]
    elif kind == "foreign_identifier" and results:
        results[0]["identifier"] = "somebody-else"
    elif kind in ("drop_records", "repeat_records", "wrong_count"):
        for result in results:
            _spoil_records(kind, params, result["data"])


def _spoil_records(kind: str, params: Mapping[str, Any], data: Any) -> None:
    if not data:
        return
    records, meta = data["records"], data["meta"]
    if kind == "drop_records":
        del records[max(0, len(records) - int(params.get("count", 1))) :]
    elif kind == "repeat_records" and records:
        before = int(records[0]["id"]) - 1
        data["records"] = [{**records[0], "id": before}, *records[:-1]]
    elif kind == "wrong_count" and isinstance(meta["cntabsolute"], int):
        meta["cntabsolute"] += int(params.get("by", 1))


async def _drop(request: web.Request, rule: Rule) -> None:
    """Close the connection, after a while for a hang, with a reset for a reset. Raises Dropped."""
    if rule.kind.startswith("hang"):
        await asyncio.sleep(float(rule.params.get("seconds", 60)))
    transport = request.transport
    if transport is not None:
        if rule.kind.startswith("reset"):
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    raise Dropped


async def _cut(request: web.Request, data: bytes, count: int) -> None:
    """Promise the whole answer, send the first bytes, close. Raises Dropped."""
    response = web.StreamResponse(headers={"Content-Length": str(len(data)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(data[: min(count, len(data) - 1)])
    if request.transport is not None:
        request.transport.close()
    raise Dropped
